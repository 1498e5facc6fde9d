//! A sender's end of MLLP: frames out, answers in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vardpuls_agent::source::adt::frame::{Framer, Piece};

/// The longest answer.
const MOST: usize = 64 * 1024;

/// A connection to a listener.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    framer: Framer,
    part: Vec<u8>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// MSA-1.
    pub code: String,
    /// MSA-2.
    pub control: String,
    /// MSA-3.
    pub reason: String,
}

impl Answer {
    /// Reads an answer; none where it is none.
    pub fn read(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let field = text.strip_prefix("MSH")?.chars().next()?;
        let line = text.split('\r').find_map(|line| line.strip_prefix("MSA")?.strip_prefix(field))?;
        let mut fields = line.split(field).map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Some(Answer { code: next(), control: next(), reason: next() })
    }
}

impl Line {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> io::Result<Line> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Line { stream, framer: Framer::new(MOST), part: vec![0; MOST] })
    }

    /// Sends frames.
    pub async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames).await
    }

    /// Sends frames, and gives the answers that come next.
    pub async fn exchange(&mut self, frames: &[u8], patience: Duration) -> io::Result<Vec<Vec<u8>>> {
        self.send(frames).await?;
        self.answers(patience).await
    }

    /// The answers that come next, one at least; an error when none comes within `patience`.
    pub async fn answers(&mut self, patience: Duration) -> io::Result<Vec<Vec<u8>>> {
        let mut pieces = Vec::new();
        while pieces.is_empty() {
            let read = timeout(patience, self.stream.read(&mut self.part)).await??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framer.push(&self.part[..read], &mut pieces);
        }
        let message = |piece| match piece {
            Piece::Message(bytes) => Some(bytes),
            _ => None,
        };
        Ok(pieces.into_iter().filter_map(message).collect())
    }
}
