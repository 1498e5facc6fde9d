//! The source itself: listens, keeps, and tells what the wards hold.
//!
//! In: a spec, the state folder, and the snapshots of the source that it is reconciled with. Out: an observation for
//! every change, at most one every [`COALESCE`], and one every [`AGAIN`] without a change.
//!
//! # As of when a count holds
//! A census of messages holds now as long as messages would come: while a sender is connected, and for `silence` after
//! the last message or connection. After that it is as old as the last thing heard, and ages like any source.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::hospital::WardId;

use super::event::Habits;
use super::keeper::{self, Keeping, Picture};
use super::listener::{self, Door, Limits};
use super::store::{self, Store, StoreError};
use super::tally::{self, Tally};
use super::tls::{self, TlsError, TlsFiles};
use super::visits::{Rules, Visits};
use super::wards::WardCount;
use crate::source::{MAX_UNKNOWN, Observation, Origin, SourceError, Teller, WardObservation};

/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(100);
/// What stands unchanged is told again this often.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon an address that cannot be listened on is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often old visits are looked for.
const EXPIRE: Duration = Duration::from_hours(1);

/// What the config says of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct AdtSpec {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The state folder.
    pub state_dir: PathBuf,
    /// How its senders write.
    pub habits: Habits,
    /// How visits are counted.
    pub rules: Rules,
    /// The source whose counts correct the census.
    pub reconcile_with: Option<String>,
    /// How old the key of the visits may grow.
    pub rotate_key: Duration,
    /// For how long silence is taken for no news.
    pub silence: Duration,
    /// What connections are held to.
    pub limits: Limits,
    /// TLS; none in clear.
    pub tls: Option<TlsFiles>,
}

/// What is wrong with the source as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdtFault {
    /// The address.
    #[error("cannot be listened on ({0}); give listen an address of this machine and a port that is free")]
    Address(String),
    /// The TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The visits cannot be kept.
    #[error("{0}")]
    Store(String),
    /// Asked to be read once, while an agent holds the visits or none ever did.
    #[error("listens for messages and cannot be read once; ask the running agent: vardpuls-agent status")]
    OnlyListens,
}

/// Counts of the source that this one is reconciled with; none until it was read.
pub(in crate::source) type Snapshots = watch::Receiver<Option<Observation>>;

/// Listens until shutdown.
pub(in crate::source) async fn follow(
    name: String,
    spec: AdtSpec,
    mut snapshots: Option<Snapshots>,
    mut teller: Teller,
    pulse: Pulse,
    shutdown: CancellationToken,
) {
    let clock = teller.clock.clone();
    let origin = Origin::Listener(spec.listen);
    let (listener, acceptor) = loop {
        let fault = match open(&spec).await {
            Ok(open) => break open,
            Err(fault) => fault,
        };
        if !teller.tell(Err(SourceError::new(origin.clone(), fault))).await {
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    };
    let tally = tally::Shared::default();
    let listens = listener.local_addr().map_or(spec.listen, |address| address);
    tally.update(|tally| tally.listens = listens.to_string());
    info!(source = name, %listens, tls = acceptor.is_some(), "listening for HL7 v2 over MLLP");

    let keeping = Keeping {
        folder: spec.state_dir.clone(),
        source: name,
        rules: spec.rules.clone(),
        rotate_key: spec.rotate_key,
    };
    let (keeper, mut picture, kept) = keeper::start(keeping, clock.clone(), pulse);
    let door = Door::new(spec.limits.clone(), spec.habits.clone(), keeper.clone(), tally.clone(), clock.clone());
    let serving = tokio::spawn(listener::serve(listener, acceptor, Arc::new(door), shutdown.clone()));

    let mut age = tokio::time::interval(EXPIRE);
    let mut voice = Voice { spec: &spec, clock, tally, line_stood: None };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = picture.changed() => {
                if changed.is_err() {
                    break;
                }
                // More may come at once.
                tokio::time::sleep(COALESCE).await;
            }
            () = tokio::time::sleep(AGAIN) => {}
            Some(snapshot) = next(&mut snapshots) => {
                keeper.reconcile(counts(&snapshot)).await;
                continue;
            }
            _ = age.tick() => {
                keeper.expire().await;
                continue;
            }
        }
        let seen = picture.borrow_and_update().clone();
        let (result, tally) = voice.say(&seen);
        let result = result.map_err(|fault| SourceError::new(origin.clone(), fault));
        if !teller.tell_with(result, Some(Box::new(tally))).await {
            break;
        }
    }
    // The store is closed when this ends, so that whoever comes next can open it.
    drop(keeper);
    let _ = serving.await;
    let _ = kept.await;
}

/// Reads the counts as they were last written; only where no agent runs.
pub(in crate::source) async fn read_once(
    name: String,
    spec: AdtSpec,
    clock: Clock,
) -> Result<Observation, SourceError> {
    let origin = Origin::Listener(spec.listen);
    let file = store::path(&spec.state_dir, &name);
    let read = tokio::task::spawn_blocking(move || {
        if !file.exists() {
            return Err(AdtFault::OnlyListens);
        }
        let (store, kept) = Store::open(&spec.state_dir, &name, clock.now()).map_err(|e| match e {
            StoreError::Locked(_) => AdtFault::OnlyListens,
            other => AdtFault::Store(other.to_string()),
        })?;
        let heard = kept.heard().unwrap_or_default();
        let picture =
            Picture { counts: Visits::new(spec.rules.under(store.secret()), kept).counts(), ..Picture::default() };
        Ok(observation(&picture, heard))
    });
    let read = read.await.unwrap_or_else(|e| Err(AdtFault::Store(e.to_string())));
    read.map_err(|fault| SourceError::new(origin, fault))
}

async fn open(spec: &AdtSpec) -> Result<(TcpListener, Option<tokio_rustls::TlsAcceptor>), AdtFault> {
    let acceptor = spec.tls.as_ref().map(tls::acceptor).transpose()?;
    let listener = TcpListener::bind(spec.listen).await.map_err(|e| AdtFault::Address(e.to_string()))?;
    Ok((listener, acceptor))
}

/// The next snapshot; never, where none is to come.
async fn next(snapshots: &mut Option<Snapshots>) -> Option<Observation> {
    let Some(snapshots) = snapshots else { return std::future::pending().await };
    if snapshots.changed().await.is_err() {
        return std::future::pending().await;
    }
    snapshots.borrow_and_update().clone()
}

fn counts(snapshot: &Observation) -> BTreeMap<WardId, (u16, Time)> {
    snapshot.wards.iter().filter_map(|(id, ward)| Some((id.clone(), (ward.occupied?, ward.at)))).collect()
}

fn observation(picture: &Picture, at: Time) -> Observation {
    let ward = |(id, count): (&WardId, &WardCount)| {
        let (occupied, extras) = (Some(count.occupied), count.extras.clone());
        (id.clone(), WardObservation { at, staffed: None, occupied, extras })
    };
    let unknown = picture.unmapped.iter().take(MAX_UNKNOWN).map(|(place, _)| place.clone()).collect();
    Observation { at, wards: picture.counts.iter().map(ward).collect(), unknown, ..Observation::default() }
}

/// Says as of when the picture holds.
struct Voice<'s> {
    spec: &'s AdtSpec,
    clock: Clock,
    tally: tally::Shared,
    /// When a connection was last seen to stand.
    line_stood: Option<Time>,
}

impl Voice<'_> {
    /// What is to be told.
    fn say(&mut self, picture: &Picture) -> (Result<Observation, AdtFault>, Tally) {
        let now = self.clock.now();
        let mut tally = self.tally.read();
        tally.patients = picture.patients;
        tally.visits = picture.visits;
        tally.reconciled_at = picture.reconciled_at;
        tally.drift = picture.drift;
        tally.unmapped = picture.unmapped.iter().cloned().collect();
        if tally.lines > 0 {
            self.line_stood = Some(now);
        }
        if let Some(fault) = &picture.fault {
            return (Err(AdtFault::Store(fault.clone())), tally);
        }
        let heard =
            [picture.heard, picture.reconciled_at, tally.last_message, self.line_stood].into_iter().flatten().max();
        let observed = match heard {
            Some(heard) => observation(picture, holds_at(heard, now, self.spec.silence)),
            // Nobody has ever said anything: nothing is known, not even that a ward is empty.
            None => Observation { at: now, ..Observation::default() },
        };
        (Ok(observed), tally)
    }
}

/// Now, unless nothing was heard for longer than silence is taken for no news.
fn holds_at(heard: Time, now: Time, silence: Duration) -> Time {
    if now.since(heard) <= silence { now } else { heard }
}
