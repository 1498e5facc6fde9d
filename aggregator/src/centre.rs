//! The centre as a whole: everything is checked and bound first, then started, then drained.
//!
//! ```text
//! connection → ingest queue → verifying threads → keeper → committer → outgoing → publisher
//! ```
//!
//! Shutting down runs along the same line: the queue is closed, each part ends when the one before it
//! has, and so what was taken in is merged, committed and receipted before the goodbye. Whatever is
//! not done by the deadline is cut; nothing acknowledged depends on it.

mod beside;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::alert::Status;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::key::{PublicKey, SigningKey};

use self::beside::{Telling, follow, prune};
use crate::alert::alarms::Alarms;
use crate::alert::book::Book;
use crate::alert::standing::Standing;
use crate::broker::front::Front;
use crate::broker::watchdog::Dead;
use crate::broker::{self, Broker, BrokerError};
use crate::client::{self, Connection};
use crate::committer::{Committer, Intake};
use crate::config::document::DocumentError;
use crate::config::key_file::{self, KeyFileError};
use crate::config::{AlertStatus, Config};
use crate::enrolment::{EnrolError, Enrolments};
use crate::http::{self, HttpState};
use crate::ingest::IngestQueue;
use crate::keeper::Keeper;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::mishaps::Mishaps;
use crate::nation::Nation;
use crate::operators::Followed;
use crate::publish::ends::Ends;
use crate::publish::{Outgoing, Publisher, place};
use crate::readiness::Readiness;
use crate::rebuild::rebuild;
use crate::receivers::{self, Receiver, ReceiverError};
use crate::rules_file::RulesFile;
use crate::store::{Store, StoreError};
use crate::verifiers::Verifiers;
use crate::view::{Change, View};

/// How long draining may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// How often the operators file is read without a notification.
const OPERATORS_SCAN: Duration = Duration::from_secs(5);

/// How often the rules file is read.
const RULES_SCAN: Duration = Duration::from_secs(5);

/// Orders that may wait for whoever keeps the book.
const ORDERS: usize = 64;

/// How often the enrolment folder is read without a notification.
const ENROLMENT_SCAN: Duration = Duration::from_secs(5);

/// A part that does not come round for so long hangs.
const STALLED: Duration = Duration::from_mins(2);

/// One commit may take this long: the journal of a large store on a slow disk.
const COMMIT_STALLED: Duration = Duration::from_mins(5);

/// Verified messages between the verifying threads and the keeper.
const INBOX: usize = 4096;

/// Changes that a reader of events may lag behind.
const EVENTS: usize = 4096;

/// Why the centre did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The nation file or the rules file.
    #[error(transparent)]
    Nation(#[from] DocumentError),
    /// The enrolment folder.
    #[error(transparent)]
    Enrolment(#[from] EnrolError),
    /// The centre's key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receiver of alarms.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The address for HTTP is taken or not ours.
    #[error("http.listen: cannot listen on {0}: {1}")]
    Http(SocketAddr, #[source] io::Error),
}

/// Why the centre stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The verifying threads could not be started.
    #[error("cannot start the verifying threads: {0}")]
    Threads(#[source] io::Error),
    /// HTTP cannot be served any more.
    #[error("HTTP has ended: {0}")]
    Http(#[source] io::Error),
    /// The embedded broker is dead; the service manager starts the centre again.
    #[error(transparent)]
    Broker(#[from] Dead),
    /// A part ended although nobody asked it to.
    #[error("a part of the centre has ended by itself; see the log above for its reason")]
    Ended,
    /// A part panicked; the service manager starts the centre again, and the store has everything.
    #[error("a part of the centre has failed: {0}")]
    Part(#[from] JoinError),
}

/// What only a started centre uses.
struct Parts {
    enrolments: Enrolments,
    operators: Followed,
    rules: RulesFile,
    receivers: Vec<Receiver>,
    live: Live,
    alarms: Alarms,
    ends: Ends,
    http: TcpListener,
    broker: Broker,
}

/// A centre that is bound and rebuilt, and not started yet.
pub struct Centre {
    /// Where HTTP listens.
    pub http_addr: SocketAddr,
    /// Where the embedded broker listens for this machine's programs, if it does.
    pub mqtt_addr: Option<SocketAddr>,
    /// Where the embedded broker listens with TLS, if it does.
    pub mqtts_addr: Option<SocketAddr>,
    /// The key that receipts and feeds are signed with.
    pub public_key: PublicKey,
    /// The live picture.
    pub view: Arc<ArcSwap<View>>,
    /// The alarms that stand.
    pub standing: Arc<ArcSwap<Standing>>,
    /// The store.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether it can do its work.
    pub readiness: Arc<Readiness>,
    /// Whether its parts move, for a watchdog.
    pub vitals: Vitals,
    config: Config,
    clock: Clock,
    key: Arc<SigningKey>,
    parts: Parts,
}

/// Opens, checks, rebuilds and binds everything. The embedded broker answers when this returns.
pub async fn bind(config: Config, clock: Clock) -> Result<Centre, StartError> {
    let nation = Arc::new(Nation::load(config.nation_file.as_deref())?);
    let key = Arc::new(key_file::load(&config.key_file)?);
    let enrolments = Enrolments::open(&config.hospitals_dir, nation.clone())?;
    let operators = Followed::open(config.alerts.operators_file.as_deref());
    let rules = RulesFile::open(config.alerts.rules_file.as_deref())?;
    let receivers = receivers::open(&config)?;
    let listen = config.http.listen;
    let http = TcpListener::bind(listen).await.map_err(|e| StartError::Http(listen, e))?;
    let http_addr = http.local_addr().map_err(|e| StartError::Http(listen, e))?;
    let store = Store::open(&config.store).await?;
    let registry = enrolments.registry().load_full();
    let mut live = Live::new(nation, &registry, config.feed.clock_tolerance);
    let now = clock.now();
    let seen = rebuild(&mut live, &store, &registry, now).await?;
    // The time makes numbers grow over restarts.
    let view = Arc::new(ArcSwap::from_pointee(View::of(&live, now.0, now)));
    live.take_dirty();
    let book = reopen(&store).await?;
    let ends = place::ends(&store, book.number()).await?;
    let in_force = rules.rules().borrow().clone();
    let standing = Arc::new(ArcSwap::from_pointee(Standing::of(&book, in_force.clone())));
    let status = match config.alerts.status {
        AlertStatus::Actual => Status::Actual,
        AlertStatus::Test => Status::Test,
    };
    let alarms = Alarms::new(in_force, book, &store.marks().await?, status, &live, (seen, now));
    let metrics = Arc::new(Metrics::new());
    let broker = broker::prepare(&config.broker, clock.clone(), metrics.front.clone()).await?;
    let readiness = Arc::new(Readiness::default());
    readiness.set_store_works(true);
    Ok(Centre {
        http_addr,
        mqtt_addr: broker.front.as_ref().and_then(|front| front.local),
        mqtts_addr: broker.front.as_ref().and_then(|front| front.network),
        public_key: key.public(),
        view,
        standing,
        store,
        metrics,
        readiness,
        vitals: Vitals::default(),
        config,
        clock,
        key,
        parts: Parts { enrolments, operators, rules, receivers, live, alarms, ends, http, broker },
    })
}

/// The book of alarms as it stood when the last entry was durable.
async fn reopen(store: &Store) -> Result<Book, StoreError> {
    let (entries, last) = store.journal_standing().await?;
    let mut book = Book::default();
    for entry in &entries {
        book.replay(entry);
    }
    book.continue_after(last);
    Ok(book)
}

/// Binds and runs until `shutdown`.
pub async fn run(
    config: Config,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(bind(config, clock).await?.run(shutdown).await?)
}

impl Centre {
    /// Serves until `shutdown`, then drains.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        self.start(&shutdown)?.until(shutdown).await
    }

    /// Starts every part.
    fn start(self, shutdown: &CancellationToken) -> Result<Running, RunError> {
        let Centre { view, standing, store, metrics, readiness, vitals, config, clock, key, public_key, .. } = self;
        let Parts { enrolments, operators, rules, receivers, live, alarms, ends, http, broker } = self.parts;
        readiness.set_rebuilt();
        metrics.set_hospitals(&live.coverage());
        let queue = Arc::new(IngestQueue::new(config.ingest.queue));
        let intake = Arc::new(Intake::new(metrics.clone()));
        let outgoing = Arc::new(Outgoing::new(&standing.load(), ends));
        let (events, _) = broadcast::channel::<Change>(EVENTS);
        let (journaled, durable) = watch::channel(standing.load().number);
        let (orders, orders_in) = mpsc::channel(ORDERS);
        let mishaps = Arc::new(Mishaps::default());
        let (inbox_in, inbox) = mpsc::channel(INBOX);

        let verifiers = Verifiers {
            queue: queue.clone(),
            registry: enrolments.registry(),
            live: inbox_in,
            intake: intake.clone(),
            mishaps: mishaps.clone(),
            metrics: metrics.clone(),
            vitals: vitals.clone(),
        };
        let keeper = Keeper {
            live,
            inbox,
            registry: enrolments.changes(),
            clock: clock.clone(),
            intake: intake.clone(),
            outgoing: outgoing.clone(),
            view: view.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
            min_gap: config.feed.min_gap,
            sample_every: config.store.sample_every,
            alarms,
            orders: orders_in,
            rules: rules.rules(),
            mishaps: mishaps.clone(),
            pulse: vitals.part("the live picture", STALLED),
        };
        let committer = Committer {
            intake,
            store: store.clone(),
            outgoing: outgoing.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            standing: standing.clone(),
            events: events.clone(),
            journaled,
            mishaps,
            pulse: vitals.part("the store", COMMIT_STALLED),
        };
        let parts = client::Parts {
            clock: clock.clone(),
            queue: queue.clone(),
            outgoing: outgoing.clone(),
            view: view.clone(),
            metrics: metrics.clone(),
            json: config.feed.json,
            readiness: readiness.clone(),
            pulse: vitals.part("the way to the broker", STALLED),
        };
        let (client, connection) = Connection::new(broker.options, parts);
        let said = outgoing.place();
        let publisher = Publisher { outgoing, client, key, json: config.feed.json, metrics: metrics.clone() };
        let counts = metrics.receivers.clone();
        let state = HttpState {
            view,
            standing: standing.clone(),
            events,
            orders,
            operators: operators.operators(),
            store: store.clone(),
            metrics,
            readiness,
            public_key,
            clock: clock.clone(),
            notice: config.http.notice,
        };

        verifiers.start().map_err(RunError::Threads)?;
        let mut line = JoinSet::new();
        line.spawn(keeper.run());
        line.spawn(committer.run(shutdown.clone()));
        line.spawn(publisher.run());
        line.spawn(connection.run(shutdown.clone()));
        let mut beside = JoinSet::new();
        let stop = shutdown.clone();
        beside.spawn(async move { http::serve(http, state, stop).await.map_err(RunError::Http) });
        if let Some(watchdog) = broker.watchdog {
            let stop = shutdown.clone();
            beside.spawn(async move { watchdog.run(stop).await.map_err(RunError::Broker) });
        }
        let telling = Telling { store: store.clone(), durable, standing, clock: clock.clone(), counts };
        telling.spawn(receivers, &mut beside, shutdown);
        follow(&mut beside, place::keep(store.clone(), said, shutdown.clone()));
        follow(&mut beside, rules.watch(RULES_SCAN, shutdown.clone()));
        follow(&mut beside, operators.watch(OPERATORS_SCAN, shutdown.clone()));
        follow(&mut beside, enrolments.watch(ENROLMENT_SCAN, shutdown.clone()));
        beside.spawn(prune(store.clone(), clock, shutdown.clone()));
        Ok(Running { queue, line, beside, store, _front: broker.front })
    }
}

/// A centre that was started.
struct Running {
    queue: Arc<IngestQueue>,
    /// What drains when the queue is closed, each part after the one before it.
    line: JoinSet<()>,
    /// What ends with the shutdown.
    beside: JoinSet<Result<(), RunError>>,
    store: Store,
    /// Open until everything is drained.
    _front: Option<Front>,
}

impl Running {
    /// Waits for `shutdown`, or for a part that fails, and drains.
    async fn until(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            // Nothing ends by itself: whatever does has failed.
            Some(part) = self.beside.join_next() => part.map_err(RunError::Part).flatten().and(Err(RunError::Ended)),
            Some(part) = self.line.join_next() => part.map_err(RunError::Part).and(Err(RunError::Ended)),
        };
        // Both may have happened at once: an end on request is none by itself.
        let ended = if shutdown.is_cancelled() && matches!(ended, Err(RunError::Ended)) { Ok(()) } else { ended };
        shutdown.cancel();
        self.queue.close();
        let drained = tokio::time::timeout(DRAIN_WITHIN, async {
            while self.line.join_next().await.is_some() {}
            while self.beside.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(name: Event::DrainCutShort.name(),
                "not everything was drained in {DRAIN_WITHIN:?}; agents send again what was not receipted");
        }
        drop((self.line, self.beside));
        self.store.close().await;
        ended
    }
}
