//! The hospital's daemon: reads ward occupancy, signs it, and keeps it until it is receipted.
//!
//! ```text
//! source → census → reporter → signer → outbox → publisher ─ MQTT
//!                                         ▲          │
//!                                         └─ receipt ┘
//! ```
//!
//! One direction; a file knows its upstream neighbour only. [`shift`] joins them for as long as one
//! config holds, this file opens what outlives a config and changes shifts on reload.
//!
//! | file | owns |
//! |---|---|
//! | [`cli`] | the command line and its words |
//! | [`config`] | the TOML file, strictly read |
//! | [`source`] | reading local files into observations |
//! | [`census`] | what is known of each ward now |
//! | [`reporter`] | when a report is due |
//! | [`signer`] | the private key; bytes of reports and of the roster |
//! | [`outbox`] | every report from its position to its receipt |
//! | [`publisher`] | MQTT: what to send when, receipts |
//! | [`status`], [`headline`] | what the agent tells about itself |
//! | [`word`] | what the centre's feed says of this hospital |
//! | [`preview`], [`check`] | what people see before anything is sent |
//! | [`core_dumps`] | that there are none |

pub mod census;
pub mod check;
pub mod cli;
pub mod config;
pub mod core_dumps;
pub mod grouping;
pub mod headline;
pub mod outbox;
pub mod preview;
pub mod publisher;
pub mod reporter;
mod shift;
pub mod signer;
pub mod source;
pub mod status;
pub mod word;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::{Clock, Time};

use crate::config::Config;
use crate::outbox::{Outbox, OutboxError, Summary};
use crate::publisher::connection::{self, ConnectionFileError};
use crate::shift::Shift;
use crate::signer::{Signer, SignerError};
use crate::status::{Board, Bounds};

/// How long a start waits for an outbox in use: `status` and `check` hold it while they look at it, another agent for ever.
const LOOKED_AT: Duration = Duration::from_secs(3);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The key or the roster.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A file of the `[broker]` section.
    #[error(transparent)]
    Connection(#[from] ConnectionFileError),
}

/// An agent with everything open, not yet at work.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    clock: Clock,
    signer: Arc<Signer>,
    outbox: outbox::Shared,
    board: Board,
    socket: Option<UnixListener>,
    vitals: Vitals,
}

/// Opens the agent of `config` and runs it until `shutdown`; see [`Agent`].
pub async fn run(
    config: Config,
    reloads: mpsc::Receiver<Config>,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    Agent::open(config, clock).await?.run(reloads, shutdown).await;
    Ok(())
}

/// Opens the outbox and counts what it holds.
async fn open_outbox(config: &Config, now: Time) -> Result<(Outbox, Summary), OutboxError> {
    let deadline = Instant::now() + LOOKED_AT;
    loop {
        let (folder, limits) = (config.state_dir.clone(), config.outbox.limits());
        let opened = tokio::task::spawn_blocking(move || {
            let mut outbox = Outbox::open(&folder, limits, now)?;
            let summary = outbox.summary(now)?;
            Ok((outbox, summary))
        });
        match opened.await.expect("opening the outbox catches its panics") {
            Err(OutboxError::Locked { path }) if Instant::now() < deadline => {
                debug!(outbox = %path.display(), "the outbox is in use; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

impl Agent {
    /// Checks and opens everything that can fail: key, roster, broker files, outbox.
    pub async fn open(config: Config, clock: Clock) -> Result<Agent, RunError> {
        let signer = Arc::new(prepare(&config)?);
        let now = clock.now();
        let (outbox, summary) = open_outbox(&config, now).await?;
        let fingerprint = signer.public_key().fingerprint().to_string();
        let board = Board::new(&config, fingerprint, signer.roster_version(), now);
        board.update(|status| status.outbox = Some(summary));
        let socket = match status::socket::bind(&config.status_socket) {
            Ok(socket) => Some(socket),
            Err(e) => {
                // A convenience must not stop the reports.
                let path = config.status_socket.display();
                warn!(name: Event::StatusSocketFails.name(), hospital = %config.hospital, socket = %path, error = %e, "no status socket");
                None
            }
        };
        Ok(Agent {
            config,
            clock,
            signer,
            outbox: Arc::new(Mutex::new(outbox)),
            board,
            socket,
            vitals: Vitals::default(),
        })
    }

    /// Whether its parts move, for a watchdog.
    pub fn vitals(&self) -> Vitals {
        self.vitals.clone()
    }

    /// What it tells about itself.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Runs until `shutdown`, then sends what is due, says goodbye to the broker and returns,
    /// within five seconds. A config from `reloads` replaces the one in force, if it can.
    pub async fn run(mut self, mut reloads: mpsc::Receiver<Config>, shutdown: CancellationToken) {
        info!(name: Event::AgentStarted.name(), hospital = %self.config.hospital, key = %self.signer.public_key(), broker = %self.config.broker,
            version = env!("CARGO_PKG_VERSION"), "agent starts");
        let mut serving = JoinSet::new();
        if let Some(socket) = self.socket.take() {
            serving.spawn(status::socket::serve(socket, self.board.clone(), self.clock.clone(), shutdown.clone()));
        }
        while !shutdown.is_cancelled() {
            let stop = shutdown.child_token();
            let shift = Shift {
                config: self.config.clone(),
                clock: self.clock.clone(),
                signer: Arc::clone(&self.signer),
                outbox: Arc::clone(&self.outbox),
                board: self.board.clone(),
                vitals: self.vitals.clone(),
            };
            let mut work = std::pin::pin!(shift.run(stop.clone()));
            loop {
                tokio::select! {
                    () = &mut work => break,
                    Some(config) = reloads.recv() => {
                        if self.accept(config) {
                            stop.cancel();
                        }
                    }
                }
            }
        }
        info!(name: Event::AgentStopped.name(), hospital = %self.config.hospital, "agent stopped");
    }

    /// Takes a new config if it can work; else says why, and the old one stays in force.
    fn accept(&mut self, config: Config) -> bool {
        let fixed = |config: &Config| (config.hospital.clone(), config.state_dir.clone(), config.status_socket.clone());
        if fixed(&config) != fixed(&self.config) {
            error!(name: Event::ReloadRefused.name(), hospital = %self.config.hospital,
                "reload: hospital, state-dir and status-socket cannot change while running; restart the agent. The old config stays");
            return false;
        }
        match prepare(&config) {
            Ok(signer) => {
                info!(name: Event::ConfigReloaded.name(), hospital = %config.hospital, "config reloaded");
                self.signer = Arc::new(signer);
                self.board.update(|status| {
                    status.fingerprint = self.signer.public_key().fingerprint().to_string();
                    status.connection.broker = config.broker.to_string();
                    status.bounds = Bounds::of(&config);
                    status.roster = format!("{:08x}", self.signer.roster_version());
                    status.sources.retain(|name, _| config.sources.iter().any(|s| s.name == *name));
                });
                self.outbox
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .set_limits(config.outbox.limits());
                self.config = config;
                true
            }
            Err(e) => {
                error!(name: Event::ReloadRefused.name(), hospital = %self.config.hospital, error = %e,
                    "reload: the old config stays");
                false
            }
        }
    }
}

/// Everything of a config that can be checked without the network.
fn prepare(config: &Config) -> Result<Signer, RunError> {
    let signer = Signer::load(config)?;
    connection::options(&config.hospital, &config.broker)?;
    Ok(signer)
}
