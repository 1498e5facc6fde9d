//! Where counts come from: what a source observes, how that can go wrong, and the tasks that watch.
//!
//! In: the sources of the config. Out: a [`SourceEvent`] for every reading that says something new.
//! A source does not judge what it reads against other sources; that is the census. The one exception is a census of
//! messages, which counts from what another source has counted: it is handed that source's observations.
//!
//! Each kind has a spec, a reader and faults of its own in a module of its own. Nothing here holds or shows more of a
//! source than counts and what can only be codes of wards: rows may hold what is nobody's business, and a config may
//! name the wrong column (`shape`).

pub mod adt;
pub mod csv;
pub mod fhir;
pub mod file;
mod gathering;
pub mod http;
pub mod json;
pub mod mapping;
pub mod polled;
mod shape;
pub mod sql;
pub mod time;
mod wake;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::mpsc;
use tokio::sync::watch::{self as latest, Sender as Snapshots};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vardpuls_service::vitals::{Pulse, Vitals};
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

pub use adt::AdtFault;
pub use csv::FileFault;
pub use fhir::FhirFault;
pub use json::JsonFault;
pub use sql::SqlFault;

use self::adt::tally::Tally;
use crate::config::{SourceConfig, SourceKind};

/// One source's view of the hospital, as a whole: a later one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// When it held: the oldest time of the rows that count, or the file's own.
    pub at: Time,
    /// What it says about each ward; a ward that it cannot vouch for is absent.
    pub wards: BTreeMap<WardId, WardObservation>,
    /// Wards that are absent because a value of theirs is wrong.
    pub spoiled: BTreeMap<WardId, CellFault>,
    /// Wards that are absent because the source says that they did not report.
    pub not_reported: BTreeSet<WardId>,
    /// What it calls wards that are no ward of the roster, as far as that may be shown; at most [`MAX_UNKNOWN`].
    pub unknown: BTreeSet<String>,
}

/// How many unknown ward names an observation keeps.
pub const MAX_UNKNOWN: usize = 16;

/// What a source says about one ward: any subset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WardObservation {
    /// When it held.
    pub at: Time,
    /// Staffed beds.
    pub staffed: Option<u16>,
    /// Patients in them.
    pub occupied: Option<u16>,
    /// Extra counts.
    pub extras: BTreeMap<Extra, u16>,
}

/// A value that cannot be read. It spoils its ward, not the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct CellFault {
    /// Where it stands.
    pub at: CellPlace,
    /// What is wrong, and what is right.
    pub problem: String,
}

/// Where a value stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellPlace {
    /// In a file of lines.
    Line {
        /// The line, from 1.
        line: u64,
        /// The header of its column.
        column: String,
    },
    /// In the result of a query.
    Row {
        /// The row, from 1.
        row: u64,
        /// Its column.
        column: String,
    },
    /// In a JSON document.
    Pointer(String),
}

impl fmt::Display for CellPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CellPlace::Line { line, column } => write!(f, "line {line}, column {column:?}"),
            CellPlace::Row { row, column } => write!(f, "row {row}, column {column:?}"),
            CellPlace::Pointer(pointer) => write!(f, "at {pointer}"),
        }
    }
}

/// Why a source could not be read. What it said before stands until it is too old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {fault}")]
pub struct SourceError {
    /// What was to be read.
    pub origin: Origin,
    /// What is wrong with it.
    pub fault: Fault,
}

impl SourceError {
    /// An error of one kind of source.
    pub fn new(origin: Origin, fault: impl Into<Fault>) -> SourceError {
        SourceError { origin, fault: fault.into() }
    }
}

/// What a source reads, as errors call it. It never holds a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// An address, without a login and without what follows its `?`.
    Url(String),
    /// An address that is listened on.
    Listener(SocketAddr),
}

impl Origin {
    /// An address that may be shown: what follows its `?` may be a key.
    pub(crate) fn url(url: &Uri) -> Origin {
        let text = url.to_string();
        Origin::Url(text.split_once('?').map_or(text.as_str(), |(shown, _)| shown).to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::Url(url) => url.fmt(f),
            Origin::Listener(address) => address.fmt(f),
        }
    }
}

/// What is wrong, by kind of source; each kind keeps its own faults beside its reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Of a file.
    #[error(transparent)]
    File(#[from] FileFault),
    /// Of a JSON endpoint.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// Of a FHIR server.
    #[error(transparent)]
    Fhir(#[from] FhirFault),
    /// Of a query.
    #[error(transparent)]
    Sql(#[from] SqlFault),
    /// Of a listener for ADT messages.
    #[error(transparent)]
    Adt(#[from] AdtFault),
}

/// A network folder may hang for minutes, and then come back.
const SOURCES_STALLED: Duration = Duration::from_mins(10);
/// Senders of messages wait for their answers meanwhile: no more than a disk that hangs is given.
const KEEPER_STALLED: Duration = Duration::from_mins(2);

/// A reading that says something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// The source's name.
    pub source: String,
    /// When it was read, by the agent's clock.
    pub at: Time,
    /// What it said, or why it could not be read.
    pub result: Result<Observation, SourceError>,
    /// What a listener for ADT messages tells about itself.
    pub adt: Option<Box<Tally>>,
}

/// Starts to watch. Each source is read at once, and then whenever it changes; a fault is told
/// once, until it changes or is gone. The tasks end at shutdown, or when nobody listens any more.
///
/// Wakes are in real time also under a clock that is set by hand.
#[expect(clippy::needless_pass_by_value, reason = "handed over: every task holds a clone until it ends")]
pub fn spawn(
    sources: Vec<SourceConfig>,
    clock: Clock,
    events: mpsc::Sender<SourceEvent>,
    vitals: &Vitals,
    shutdown: CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    // Shared: one source that hangs must not take down the agent that reads the others.
    let pulse = vitals.part("reading the sources", SOURCES_STALLED);
    let mut snapshots: BTreeMap<String, Snapshots<Option<Observation>>> = BTreeMap::new();
    for with in sources.iter().filter_map(SourceConfig::reconciles_with) {
        snapshots.entry(with.to_owned()).or_insert_with(|| latest::channel(None).0);
    }
    for SourceConfig { name, kind, .. } in sources {
        let teller = Teller {
            source: name.clone(),
            clock: clock.clone(),
            events: events.clone(),
            snapshots: snapshots.get(&name).cloned(),
            pulse: pulse.clone(),
            last_fault: None,
        };
        match kind {
            SourceKind::Adt(spec) => {
                let with = spec.reconcile_with.as_ref().and_then(|with| snapshots.get(with)).map(Snapshots::subscribe);
                let pulse = vitals.part("keeping the visits of ADT messages", KEEPER_STALLED);
                tasks.spawn(adt::follow(name, *spec, with, teller, pulse, shutdown.clone()))
            }
            SourceKind::Csv(spec) => tasks.spawn(file::follow(*spec, teller, shutdown.clone())),
            SourceKind::Polled(spec) => tasks.spawn(polled::follow(*spec, teller, shutdown.clone())),
        };
    }
    tasks
}

/// Reads a source once: a file as soon as it settled.
pub async fn read_once(source: &SourceConfig, clock: &Clock) -> Result<Observation, SourceError> {
    match &source.kind {
        SourceKind::Adt(spec) => adt::read_once(source.name.clone(), (**spec).clone(), clock.clone()).await,
        SourceKind::Csv(spec) => file::read_once(spec).await,
        SourceKind::Polled(spec) => polled::read_once(spec, clock).await,
    }
}

/// Tells what one source says.
#[derive(Debug)]
struct Teller {
    source: String,
    clock: Clock,
    events: mpsc::Sender<SourceEvent>,
    /// Where a census of messages hears what this source counts.
    snapshots: Option<Snapshots<Option<Observation>>>,
    pulse: Pulse,
    last_fault: Option<SourceError>,
}

impl Teller {
    /// Says that the source is about to be looked at. Sources share one pulse: one that hangs on a
    /// dead network folder must not take down the agent that reads the others.
    fn looking(&self) {
        self.pulse.beat();
    }

    /// Says that it was looked at, also where there was nothing new.
    fn looked(&self) {
        self.pulse.rest();
    }

    /// Tells a reading; false when nobody listens any more.
    async fn tell(&mut self, result: Result<Observation, SourceError>) -> bool {
        self.tell_with(result, None).await
    }

    /// Tells a reading and what the source tells about itself.
    async fn tell_with(&mut self, result: Result<Observation, SourceError>, adt: Option<Box<Tally>>) -> bool {
        if let (Some(snapshots), Ok(observation)) = (&self.snapshots, &result) {
            snapshots.send_replace(Some(observation.clone()));
        }
        let fault = result.as_ref().err().cloned();
        if fault.is_some() && fault == self.last_fault {
            return true;
        }
        self.last_fault = fault;
        let event = SourceEvent { source: self.source.clone(), at: self.clock.now(), result, adt };
        self.events.send(event).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_is_told_once_until_it_changes_or_is_gone() {
        let (events, mut heard) = mpsc::channel(16);
        let clock = Clock::standing_at(Time(5));
        let pulse = Vitals::default().part("sources", Duration::ZERO);
        let mut teller = Teller { source: "beds".into(), clock, events, snapshots: None, pulse, last_fault: None };
        let fault = |fault: FileFault| Err(SourceError::new(Origin::File("beds.csv".into()), fault));
        let seen = || Ok(Observation::default());
        for result in [
            fault(FileFault::Missing),
            fault(FileFault::Missing),
            fault(FileFault::Empty),
            seen(),
            seen(),
            fault(FileFault::Empty),
        ] {
            assert!(teller.tell(result).await);
        }
        let mut said = Vec::new();
        while let Ok(event) = heard.try_recv() {
            assert_eq!((event.source.as_str(), event.at), ("beds", Time(5)));
            said.push(event.result);
        }
        let expected = [fault(FileFault::Missing), fault(FileFault::Empty), seen(), seen(), fault(FileFault::Empty)];
        assert_eq!(said, expected);
        drop(heard);
        assert!(!teller.tell(seen()).await);
    }
}
