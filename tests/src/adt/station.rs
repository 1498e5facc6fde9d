//! An agent's listener for ADT messages, alone: its socket, keeper and store, without what makes reports.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::source::adt::event::Habits;
use vardpuls_agent::source::adt::keeper::{self, Handle, Keeping, Picture};
use vardpuls_agent::source::adt::listener::{self, Door, Limits};
use vardpuls_agent::source::adt::tally;
use vardpuls_agent::source::adt::visits::Rules;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::Clock;

/// The longest message that it takes.
pub const MOST: usize = 1 << 20;

/// A listener that runs in this process.
#[derive(Debug)]
pub struct Station {
    /// Where it listens.
    pub address: SocketAddr,
    /// The counts; as a message left them before it is answered.
    pub picture: watch::Receiver<Picture>,
    /// What it tells about itself.
    pub tally: tally::Shared,
    /// The keeper of its visits.
    pub keeper: Handle,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    kept: JoinHandle<()>,
}

impl Station {
    /// Begins, with the visits that are kept in `state`.
    pub async fn start(state: &Path, rules: Rules, habits: Habits, clock: Clock) -> io::Result<Station> {
        let keeping = Keeping { folder: state.to_owned(), source: "pas".into(), rules, rotate_key: Duration::MAX };
        let (keeper, mut picture, kept) =
            keeper::start(keeping, clock.clone(), Vitals::default().part("keeper", Duration::from_hours(1)));
        // The first picture, of what was kept, is no message's doing.
        picture.changed().await.map_err(io::Error::other)?;
        let limits = Limits { connections: 64, per_address: 64, max_message: MOST, idle: Duration::from_hours(1) };
        let tally = tally::Shared::default();
        let door = Door::new(limits, habits, keeper.clone(), tally.clone(), clock);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let serving = tokio::spawn(listener::serve(listener, None, Arc::new(door), stop.clone()));
        Ok(Station { address, picture, tally, keeper, stop, serving, kept })
    }

    /// Ends, with the store closed. A panic of one of its parts is an error.
    pub async fn stop(self) -> io::Result<()> {
        let Station { stop, serving, kept, keeper, .. } = self;
        stop.cancel();
        let served = serving.await;
        drop(keeper);
        let closed = kept.await;
        served.and(closed).map_err(io::Error::other)
    }
}
