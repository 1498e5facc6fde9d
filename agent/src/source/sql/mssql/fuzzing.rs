//! The way to a server up to its login, for the fuzzer alone: the parts that it joins stay private.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake::encrypted;

/// One that trusts nobody.
static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("the provider has TLS 1.2")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
});

/// What a client writes that wants encryption of a server that says this, a piece after the other, and then hangs up;
/// and what it finds wrong. None where it would go on to the login, though it trusts nobody.
pub fn encrypt<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Option<String>) {
    let mut peer = Peer { says: pieces.into_iter().collect(), heard: vec![] };
    let done = encrypted(&mut peer, "sql.example", CLIENT.clone()).now_or_never().expect("the peer is always ready");
    let fault = done.err().map(|fault| fault.to_string());
    (peer.heard, fault)
}

struct Peer<'p> {
    says: VecDeque<&'p [u8]>,
    heard: Vec<u8>,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(piece) = self.says.pop_front() else { return Poll::Ready(Ok(())) };
        let (now, later) = piece.split_at(piece.len().min(out.remaining()));
        out.put_slice(now);
        if !later.is_empty() {
            self.says.push_front(later);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.heard.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
