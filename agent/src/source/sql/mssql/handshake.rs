//! The way to a server from its first byte to the login: the exchange about encryption, and TLS inside it.
//!
//! SQL Server does TLS inside its own protocol (MS-TDS 2.2.6.5, 3.2.5.2 and 3.2.5.3): while the handshake lasts its records travel in packets
//! of the PRELOGIN kind, after it they travel bare. TLS 1.2 only: what 1.3 sends after its handshake would have to be
//! wrapped or not, and the protocol does not say.
//!
//! Invariant: where TLS is asked for, nothing but the PRELOGIN goes in clear, and nothing that came in clear is used but
//! the server's word that it encrypts. No length is believed; nothing is allocated by what a server says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::prelogin::{self, Encryption, HEADER, LONGEST, NoAnswer};
use crate::source::sql::fault::SqlFault;

/// The most of our own records that wait to be wrapped: a handshake without a client certificate needs less.
const MOST_WAITING: usize = 64 * 1024;

/// A client that trusts these.
pub(super) fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, SqlFault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .map_err(|e| SqlFault::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Begins a connection in clear, with a server that allows it.
pub(super) async fn plain<S>(stream: &mut S) -> Result<(), SqlFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match ask(stream, Encryption::NotSupported).await? {
        Encryption::NotSupported | Encryption::Off => Ok(()),
        Encryption::On | Encryption::Required => Err(SqlFault::EncryptionNeeded),
    }
}

/// Begins an encrypted connection with the server that `host` is the name of.
pub(super) async fn encrypted<S>(
    mut stream: S,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<Wrapped<S>>, SqlFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|e| SqlFault::Tls(e.to_string()))?;
    match ask(&mut stream, Encryption::On).await? {
        Encryption::On | Encryption::Required => (),
        Encryption::Off | Encryption::NotSupported => return Err(SqlFault::NoEncryption),
    }
    let mut stream = TlsConnector::from(config).connect(name, Wrapped::new(stream)).await.map_err(|e| tls_fault(&e))?;
    stream.get_mut().0.handshaking = false;
    Ok(stream)
}

async fn ask<S>(stream: &mut S, wanted: Encryption) -> Result<Encryption, SqlFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broke = |e: io::Error| SqlFault::Unreachable(e.to_string());
    let strange = |e: NoAnswer| SqlFault::Unreachable(format!("no SQL Server answers there: {e}"));
    stream.write_all(&prelogin::question(wanted)).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.map_err(broke)?;
    let mut answer = [0; LONGEST];
    let answer = &mut answer[..prelogin::answer_length(header).map_err(strange)?];
    stream.read_exact(answer).await.map_err(broke)?;
    prelogin::encryption(answer).map_err(strange)
}

/// A handshake fails for what rustls finds wrong, or because the way breaks.
fn tls_fault(error: &io::Error) -> SqlFault {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => SqlFault::Tls(inner.to_string()),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            SqlFault::Tls("the server hung up in the handshake".to_owned())
        }
        _ => SqlFault::Unreachable(error.to_string()),
    }
}

/// A stream whose bytes travel in packets while the handshake lasts.
#[derive(Debug)]
pub(in super::super) struct Wrapped<S> {
    stream: S,
    handshaking: bool,
    /// The header of the packet that is coming, as far as it has come.
    header: [u8; HEADER],
    got: usize,
    /// How much of that packet's content is still to come.
    left: usize,
    /// What TLS wrote since the last flush.
    records: Vec<u8>,
    /// Whole packets, and how much of them has gone.
    packets: Vec<u8>,
    gone: usize,
}

impl<S> Wrapped<S> {
    fn new(stream: S) -> Wrapped<S> {
        Wrapped {
            stream,
            handshaking: true,
            header: [0; HEADER],
            got: 0,
            left: 0,
            records: vec![],
            packets: vec![],
            gone: 0,
        }
    }

    /// Makes one message of what was written.
    fn wrap(&mut self) {
        let mut parts = self.records.chunks(LONGEST - HEADER).peekable();
        while let Some(part) = parts.next() {
            self.packets.extend(prelogin::header(prelogin::PRELOGIN, parts.peek().is_none(), part.len()));
            self.packets.extend(part);
        }
        self.records.clear();
    }
}

impl<S: AsyncRead + Unpin> Wrapped<S> {
    /// Reads on until some content is due; false where the stream ended.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.left == 0 {
            let mut part = ReadBuf::new(&mut self.header[self.got..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            self.got += part.filled().len();
            if self.got == HEADER {
                self.got = 0;
                self.left = match prelogin::announced(self.header) {
                    Ok((prelogin::PRELOGIN, payload)) => payload,
                    Ok(_) => return Poll::Ready(Err(invalid(NoAnswer::OtherProtocol))),
                    Err(e) => return Poll::Ready(Err(invalid(e))),
                };
            }
        }
        Poll::Ready(Ok(true))
    }
}

fn invalid(why: NoAnswer) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<S: AsyncRead + Unpin> AsyncRead for Wrapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.handshaking {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        if !ready!(self.poll_header(cx))? {
            return Poll::Ready(Ok(()));
        }
        let most = self.left.min(out.remaining());
        let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        out.advance(read);
        self.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wrapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.handshaking {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if self.records.len() + bytes.len() > MOST_WAITING {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        self.records.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.wrap();
        while this.gone < this.packets.len() {
            match ready!(Pin::new(&mut this.stream).poll_write(cx, &this.packets[this.gone..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => this.gone += written,
            }
        }
        this.packets.clear();
        this.gone = 0;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
