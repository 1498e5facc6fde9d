//! The MLLP listener: connections in, answers out.
//!
//! In: a bound socket and what a connection needs ([`Door`]). Out: answers, and the [`Tally`](super::tally::Tally).
//!
//! # Invariants
//! 1. A message is answered only after the keeper has it on disk, and answers keep the order of their messages.
//! 2. Bounded: connections in all and from one address, bytes of a message, time without a byte, time for one message
//!    and for its answer. A connection reads nothing more while its messages are being kept.
//! 3. Messages live in the memory of their connection only until they are answered.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use vardpuls_shared::clock::{Clock, Time};

use super::ack;
use super::event::{self, Habits};
use super::frame::{Framer, Piece};
use super::hl7::Message;
use super::keeper::{Fingerprint, Handle};
use super::reason::Reason;
use super::tally;

/// How much is read at once; what it holds is kept together.
const READ: usize = 64 * 1024;
/// How long a message may take from its first byte to its last, an answer to be taken, a handshake to be made.
const MOST_FOR_ONE: Duration = Duration::from_mins(1);
/// After a failure of the socket itself.
const PAUSE: Duration = Duration::from_millis(200);

/// What connections are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub per_address: usize,
    /// Bytes of a message.
    pub max_message: usize,
    /// How long a connection may be silent between messages.
    pub idle: Duration,
}

/// What every connection needs.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    habits: Habits,
    keeper: Handle,
    tally: tally::Shared,
    clock: Clock,
    hasher: RandomState,
    answers: AtomicU64,
}

impl Door {
    /// What connections are held to, how their senders write, and who keeps what they say.
    pub fn new(limits: Limits, habits: Habits, keeper: Handle, tally: tally::Shared, clock: Clock) -> Door {
        Door { limits, habits, keeper, tally, clock, hasher: RandomState::new(), answers: AtomicU64::new(1) }
    }
}

/// Accepts until shutdown; open connections end with it.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, door: Arc<Door>, shutdown: CancellationToken) {
    let mut connections: JoinSet<IpAddr> = JoinSet::new();
    let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                // A connection that panicked has no address to give back: begin to count afresh.
                match ended.ok().and_then(|address| by_address.get_mut(&address)) {
                    Some(lines) => *lines = lines.saturating_sub(1),
                    None => by_address.clear(),
                }
                by_address.retain(|_, lines| *lines > 0);
                door.tally.update(|tally| tally.lines = connections.len());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(e) => {
                warn!(error = %e, "MLLP: a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let lines = by_address.entry(address).or_default();
        if connections.len() >= door.limits.connections || *lines >= door.limits.per_address {
            door.tally.update(|tally| tally.turned_away += 1);
            debug!(%address, "MLLP: too many connections; one was turned away");
            by_address.retain(|_, lines| *lines > 0);
            continue;
        }
        *lines += 1;
        let (its_door, tls, stop) = (Arc::clone(&door), tls.clone(), shutdown.clone());
        connections.spawn(async move {
            let ended = tokio::select! {
                () = stop.cancelled() => None,
                ended = talk(stream, tls, &its_door) => Some(ended),
            };
            if let Some(ended) = ended {
                debug!(%address, %ended, "MLLP: a connection ended");
            }
            address
        });
        door.tally.update(|tally| tally.lines = connections.len());
    }
    drop(listener);
    connections.shutdown().await;
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the sender closed it")]
    Closed,
    #[error("nothing came for too long")]
    Idle,
    #[error("a message or its answer took too long")]
    Slow,
    #[error("no TLS: {0}")]
    NoTls(std::io::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn talk(stream: TcpStream, tls: Option<TlsAcceptor>, door: &Door) -> Ended {
    // An answer must not wait for another.
    if let Err(e) = stream.set_nodelay(true) {
        return e.into();
    }
    let result = match tls {
        None => converse(stream, door).await,
        Some(tls) => match timeout(MOST_FOR_ONE, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, door).await,
            Ok(Err(e)) => Err(Ended::NoTls(e)),
            Err(_) => Err(Ended::Slow),
        },
    };
    let ended = result.err().unwrap_or(Ended::Closed);
    if matches!(ended, Ended::NoTls(_)) {
        door.tally.update(|tally| tally.turned_away += 1);
    }
    ended
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, door: &Door) -> Result<(), Ended> {
    let mut framer = Framer::new(door.limits.max_message);
    let mut buffer = vec![0; READ];
    let mut pieces = Vec::new();
    let mut begun: Option<Instant> = None;
    loop {
        let until = begun.map_or_else(|| Instant::now() + door.limits.idle, |at| at + MOST_FOR_ONE);
        let late = if begun.is_some() { Ended::Slow } else { Ended::Idle };
        let read = match timeout_at(until, stream.read(&mut buffer)).await {
            Ok(Ok(read)) => read,
            Ok(Err(e)) => return Err(unfinished(&framer, door, e.into())),
            Err(_) => return Err(unfinished(&framer, door, late)),
        };
        if read == 0 {
            return Err(unfinished(&framer, door, Ended::Closed));
        }
        framer.push(&buffer[..read], &mut pieces);
        begun = match (framer.is_inside(), begun) {
            (true, Some(since)) if pieces.is_empty() => Some(since),
            (true, _) => Some(Instant::now()),
            (false, _) => None,
        };
        if pieces.is_empty() {
            continue;
        }
        let answers = door.take(std::mem::take(&mut pieces)).await;
        match timeout(MOST_FOR_ONE, stream.write_all(&answers)).await {
            Ok(written) => written?,
            Err(_) => return Err(Ended::Slow),
        }
        stream.flush().await?;
    }
}

fn unfinished(framer: &Framer, door: &Door, ended: Ended) -> Ended {
    if framer.is_inside() {
        door.tally.update(|tally| tally.unfinished += 1);
    }
    ended
}

impl Door {
    /// Takes what one read brought, and gives the answers once it is kept.
    async fn take(&self, pieces: Vec<Piece>) -> Vec<u8> {
        let received = self.clock.now();
        let (mut events, mut waiting) = (Vec::new(), Vec::new());
        let mut answered: Vec<(Vec<u8>, Reason)> = Vec::with_capacity(pieces.len());
        let (mut garbage, mut cut) = (0, 0);
        for piece in pieces {
            match piece {
                Piece::Garbage => garbage += 1,
                Piece::Unfinished => cut += 1,
                Piece::TooLong(head) => answered.push((head, Reason::TooLong)),
                Piece::Message(bytes) => {
                    let reason = match self.read(&bytes, received) {
                        Ok(event) => {
                            waiting.push(answered.len());
                            events.push((Fingerprint(self.hasher.hash_one(&bytes)), event));
                            // Until the keeper has said otherwise.
                            Reason::NotKept
                        }
                        Err(reason) => reason,
                    };
                    answered.push((bytes, reason));
                }
            }
        }
        if !events.is_empty() {
            let reasons = self.keeper.take(events).await;
            for (at, reason) in waiting.into_iter().zip(reasons) {
                answered[at].1 = reason;
            }
        }
        let now = self.clock.now();
        let mut out = Vec::with_capacity(answered.len() * 160);
        for (bytes, reason) in &answered {
            let number = self.answers.fetch_add(1, Ordering::Relaxed);
            ack::answer(Message::parse(bytes).as_ref(), *reason, now, number, &mut out);
        }
        self.tally.update(|tally| {
            tally.garbage += garbage;
            tally.unfinished += cut;
            for (_, reason) in &answered {
                tally.count(*reason, now);
            }
        });
        out
    }

    fn read(&self, bytes: &[u8], received: Time) -> Result<event::Event, Reason> {
        event::read(&Message::parse(bytes).ok_or(Reason::NotHl7)?, &self.habits, received)
    }
}
