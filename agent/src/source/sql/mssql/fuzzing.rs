//! The way to a server up to its login, for the fuzzer alone: the parts that it joins stay private.

use std::io;
use std::sync::{Arc, LazyLock};

use futures_util::{FutureExt as _, stream};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::join;
use tokio_util::io::StreamReader;

use super::handshake::{client, encrypted};

/// One that trusts nobody.
static CLIENT: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| client(RootCertStore::empty()).expect("the provider has TLS 1.2"));

/// What a client writes that wants encryption of a server that says this, a piece after the other, and then hangs up;
/// and what it finds wrong. None where it would go on to the login, though it trusts nobody.
pub fn encrypt<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Option<String>) {
    let says = StreamReader::new(stream::iter(pieces.into_iter().map(Ok::<_, io::Error>)));
    let mut peer = join(says, Vec::new());
    let done = encrypted(&mut peer, "sql.example", CLIENT.clone()).now_or_never().expect("the peer is always ready");
    let fault = done.err().map(|fault| fault.to_string());
    (peer.into_inner().1, fault)
}
