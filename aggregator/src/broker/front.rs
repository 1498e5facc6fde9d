//! The front of the embedded broker: the only way to it, for every client.
//!
//! In: clients. Out: to the embedded broker, on a port that nobody else is told, the packets that each
//! of them may send; to the clients, its answers. rumqttd has no access control, and a client that it
//! meets itself can stop it for everybody in several ways; none of them gets past here.
//!
//! | what | file |
//! |---|---|
//! | a listener's seats, and who shares what | [`seats`], [`house`] |
//! | one client, from first byte to last | [`session`], then [`pipe`] |
//! | packets and what is in them (pure) | [`frame`], [`connect`] |
//! | who may say what (pure) | [`rights`], applied to bytes by [`inspector`] |
//! | whom the network listener believes | [`trust`], by [`tls`] and [`logins`] |
//! | why somebody is turned away, counted | [`denial`], [`counts`] |
//!
//! The front ends with the value that stands for it.

mod connect;
pub mod counts;
pub mod denial;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub(super) mod house;
mod inspector;
pub mod logins;
mod pipe;
mod rights;
mod seats;
mod session;
pub(super) mod tls;
pub(super) mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use vardpuls_shared::clock::Clock;

use super::embedded::Embedded;
use super::{BrokerError, descriptors};
use crate::config::EmbeddedBroker;
use counts::FrontCounts;
use house::{Door, House};
use seats::{Limits, Seats};
use session::Session;
use trust::Trust;

pub use tls::{Described, describe};

/// How long a listener rests when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Seats of the plain listener: this machine's own programs, a whole simulated nation among them.
const LOCAL: Limits = Limits { connections: 15_000, per_address: usize::MAX, strangers: 1_000 };

/// Seats of the listener for the centre's own client.
const OWN: Limits = Limits { connections: 64, per_address: usize::MAX, strangers: 32 };

/// A front that is open as long as this lives.
#[derive(Debug)]
pub struct Front {
    /// Where it listens for this machine's programs.
    pub local: Option<SocketAddr>,
    /// Where it listens with TLS.
    pub network: Option<SocketAddr>,
    /// Where it listens for the centre's own client.
    pub(super) own: SocketAddr,
    pub(super) house: Arc<House>,
    pub(super) trust: Option<watch::Receiver<Arc<Trust>>>,
    _open: JoinSet<()>,
}

impl Front {
    /// Listens, and takes clients to `embedded`.
    pub(super) async fn open(
        config: &EmbeddedBroker,
        embedded: Embedded,
        clock: Clock,
        counts: FrontCounts,
    ) -> Result<Front, BrokerError> {
        let house = Arc::new(House::new(embedded, clock, counts));
        let mut open = JoinSet::new();
        let mut seats = OWN.connections;
        let local = match config.listen {
            Some(listen) => {
                seats += LOCAL.strangers;
                Some(
                    listener("broker.listen", listen, Door::Local { seats: Seats::new(LOCAL) }, &house, &mut open)
                        .await?,
                )
            }
            None => None,
        };
        let (mut network, mut trust) = (None, None);
        if let Some(config) = &config.network {
            let (tell, told) = watch::channel(Arc::new(Trust::load(config)?));
            open.spawn(trust::follow(config.clone(), tell));
            let strangers = (config.max_connections / 8).max(16);
            let limits = Limits { connections: config.max_connections, per_address: config.max_per_address, strangers };
            let door = Door::Network { seats: Seats::new(limits), trust: told.clone() };
            network = Some(listener("broker.network.listen", config.listen, door, &house, &mut open).await?);
            trust = Some(told);
            seats += config.max_connections;
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let own = listener("broker.listen", any, Door::Own { seats: Seats::new(OWN) }, &house, &mut open).await?;
        descriptors::make_room_for(seats);
        Ok(Front { local, network, own, house, trust, _open: open })
    }
}

/// Opens one listener; where it is.
async fn listener(
    key: &'static str,
    listen: SocketAddr,
    door: Door,
    house: &Arc<House>,
    open: &mut JoinSet<()>,
) -> Result<SocketAddr, BrokerError> {
    let failed = |e| BrokerError::Listen(key, listen, e);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    open.spawn(accept(listener, Arc::new(door), house.clone()));
    Ok(address)
}

async fn accept(listener: TcpListener, door: Arc<Door>, house: Arc<House>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            client = listener.accept() => match client {
                Ok((client, from)) => {
                    let seat = if house.expects(from) { Ok(None) } else { door.seats().take(from.ip()).map(Some) };
                    match seat {
                        Ok(seat) => {
                            let session = Session { house: house.clone(), door: door.clone(), seat };
                            sessions.spawn(session.serve(client, from));
                        }
                        Err(denial) => house.counts.deny(denial, door.name(), from),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, listener = door.name(), "no client can be taken; trying again in {NO_ROOM:?}");
                    sleep(NO_ROOM).await;
                }
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}
