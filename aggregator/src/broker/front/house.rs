//! What all clients of the front share: the way to the embedded broker, and what lets our own in.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;

use super::connect::Connect;
use super::counts::FrontCounts;
use super::frame::CONNACK;
use super::inspector::Filters;
use super::rights::Rights;
use super::seats::Seats;
use super::trust::Trust;
use crate::broker::embedded::Embedded;
use crate::operators::Token;

/// The user name of our own clients.
pub(in crate::broker) const OWN_USER: &str = "vardpuls-own";

/// One listener: who may come in there.
#[derive(Debug)]
pub(super) enum Door {
    /// On a loopback port that nobody is told: the centre's own client.
    Own { seats: Arc<Seats> },
    /// On loopback, without TLS: every program on this machine.
    Local { seats: Arc<Seats> },
    /// With TLS: holders of a certificate or login.
    Network { seats: Arc<Seats>, trust: watch::Receiver<Arc<Trust>> },
}

impl Door {
    /// What it is called in logs and metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Door::Own { .. } => "own",
            Door::Local { .. } => "local",
            Door::Network { .. } => "network",
        }
    }

    pub(super) fn seats(&self) -> &Arc<Seats> {
        match self {
            Door::Own { seats } | Door::Local { seats } | Door::Network { seats, .. } => seats,
        }
    }
}

/// What all clients share.
pub(in crate::broker) struct House {
    pub(super) clock: Clock,
    pub(super) counts: FrontCounts,
    embedded: Embedded,
    /// What our own clients log in with; made anew by every process.
    own: Token,
    /// From where the watchdog is coming just now.
    ours: Mutex<HashSet<SocketAddr>>,
    /// What each name has subscribed to.
    filters: Mutex<HashMap<HospitalId, Filters>>,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl House {
    pub(super) fn new(embedded: Embedded, clock: Clock, counts: FrontCounts) -> House {
        let (ours, filters) = (Mutex::default(), Mutex::default());
        House { clock, counts, embedded, own: Token::make(), ours, filters }
    }

    /// The password of our own clients.
    pub(in crate::broker) fn own_password(&self) -> &str {
        self.own.text()
    }

    /// Counts a round of the watchdog that did not come back.
    pub(in crate::broker) fn count_missed(&self) {
        self.counts.missed.inc();
    }

    /// Whether this is the login of our own clients, where it claims to be.
    pub(super) fn own(&self, login: Option<(&str, &[u8])>) -> Option<bool> {
        let (_, password) = login.filter(|(user, _)| *user == OWN_USER)?;
        Some(self.own.text().as_bytes().ct_eq(password).into())
    }

    /// Lets whoever comes from `address` in without a seat, until the returned value is dropped.
    pub(in crate::broker) fn expect(self: &Arc<House>, address: SocketAddr) -> Expected {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
        Expected { house: self.clone(), address }
    }

    pub(super) fn expects(&self, from: SocketAddr) -> bool {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(&from)
    }

    /// Where the filters that this one subscribes to are remembered.
    pub(super) fn filters(&self, rights: &Rights) -> Filters {
        match rights {
            Rights::Named(name) => {
                self.filters.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default().clone()
            }
            // Our own machine is believed, as long as each connection keeps to its measure.
            Rights::Own | Rights::Local => Filters::default(),
        }
    }

    /// A client's CONNECT as the embedded broker wants it.
    pub(super) fn rewritten(&self, connect: &Connect<'_>, prefix: &str) -> Vec<u8> {
        connect.rewritten(prefix, self.embedded.user, self.embedded.password.text())
    }

    /// A connection to the embedded broker that has taken `connect`.
    pub(super) async fn enter(&self, connect: &[u8]) -> io::Result<TcpStream> {
        let mut broker = TcpStream::connect(self.embedded.address).await?;
        broker.set_nodelay(true)?;
        broker.write_all(connect).await?;
        let mut answer = [0; 4];
        broker.read_exact(&mut answer).await?;
        match answer {
            [CONNACK, 2, _, 0] => Ok(broker),
            _ => Err(io::Error::other("the embedded broker refuses a login")),
        }
    }

    /// A connection to the embedded broker that no judge looks at.
    #[cfg(test)]
    pub(in crate::broker) async fn past_the_front(&self, client_id: &str) -> io::Result<TcpStream> {
        let connect = Connect { client_id, keep_alive: 30, will: None, login: None };
        self.enter(&self.rewritten(&connect, "past-")).await
    }
}

/// Somebody who is let in without a seat.
#[derive(Debug)]
pub(in crate::broker) struct Expected {
    house: Arc<House>,
    address: SocketAddr,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.house.ours.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

/// The address to come to a listener from on this machine: its own, or loopback where it listens on all.
pub(in crate::broker) fn own_address(listener: SocketAddr) -> IpAddr {
    match listener.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}
