//! The stream that tiberius speaks over: its own PRELOGIN is answered here, and no more comes through than a turn may take.
//!
//! The exchange about encryption is over when tiberius begins (`handshake.rs`), but tiberius, which knows nothing of it, begins with its
//! own: that message ends here, and the answer is ours. So tiberius hears of a server only what the login's encryption covers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::prelogin::{self, Encryption, HEADER};

/// How many bytes may still come; whoever asks for rows sets it, and none are left once it was too much.
pub(super) type Allowance = Arc<AtomicUsize>;

/// Where tiberius's own PRELOGIN stands.
#[derive(Debug)]
enum Opening {
    /// It is being written.
    Question(Vec<u8>),
    /// This much of the answer has been read.
    Answer(Vec<u8>, usize),
    /// Over: the server is heard.
    Over,
}

/// A stream to a server, once encryption is settled.
#[derive(Debug)]
pub(in super::super) struct Wire<S> {
    stream: S,
    opening: Opening,
    allowance: Allowance,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, allowance: Allowance) -> Wire<S> {
        Wire { stream, opening: Opening::Question(Vec::new()), allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.opening {
            Opening::Question(_) => Poll::Ready(Err(io::Error::other("tiberius listens before it has spoken"))),
            Opening::Answer(answer, read) => {
                let part = &answer[*read..];
                let part = &part[..part.len().min(out.remaining())];
                out.put_slice(part);
                *read += part.len();
                if *read == answer.len() {
                    self.opening = Opening::Over;
                }
                Poll::Ready(Ok(()))
            }
            Opening::Over => {
                let before = out.filled().len();
                ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
                let read = out.filled().len() - before;
                let left = self.allowance.load(Ordering::Relaxed).checked_sub(read);
                self.allowance.store(left.unwrap_or_default(), Ordering::Relaxed);
                Poll::Ready(left.map(drop).ok_or_else(|| io::Error::other("more comes than may come")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Opening::Question(question) = &mut self.opening else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        let before = question.len();
        let mut taken = bytes.len().min(HEADER.saturating_sub(before));
        question.extend(&bytes[..taken]);
        if let Some(&header) = question.first_chunk() {
            let announced = prelogin::announced(header).ok().filter(|(kind, _)| *kind == prelogin::PRELOGIN);
            let Some((_, payload)) = announced else {
                return Poll::Ready(Err(io::Error::other("tiberius does not begin with a PRELOGIN")));
            };
            let more = (bytes.len() - taken).min(HEADER + payload - question.len());
            question.extend(&bytes[taken..taken + more]);
            taken += more;
            if question.len() == HEADER + payload {
                self.opening = Opening::Answer(prelogin::answer(Encryption::NotSupported), 0);
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
