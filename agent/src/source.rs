//! Where counts come from: what a source observes, how that can go wrong, and the tasks that watch.
//!
//! In: the sources of the config. Out: a [`SourceEvent`] for every reading that says something new.
//! A source does not judge what it reads against other sources; that is the census.
//!
//! Nothing here holds or shows more of a file than counts, ward names and single cells: rows may
//! hold what is nobody's business.

pub mod csv;
pub mod file;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use crate::config::{SourceConfig, SourceKind};

/// One source's view of the hospital, as a whole: a later one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// When it held: the oldest time of the rows that count, or the file's own.
    pub at: Time,
    /// What it says about each ward; a ward that it cannot vouch for is absent.
    pub wards: BTreeMap<WardId, WardObservation>,
    /// Wards that are absent because a cell of theirs is wrong.
    pub spoiled: BTreeMap<WardId, CellFault>,
    /// Wards that are absent because the source says that they did not report.
    pub not_reported: BTreeSet<WardId>,
    /// Names in the ward column that are no ward of the roster, shortened; at most [`MAX_UNKNOWN`].
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

/// A cell that cannot be read. It spoils its ward, not the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column:?}: {problem}")]
pub struct CellFault {
    /// The line, from 1.
    pub line: u64,
    /// The header of its column.
    pub column: String,
    /// What is wrong, and what is right.
    pub problem: String,
}

/// Why a source could not be read. What it said before stands until it is too old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct SourceError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: FileFault,
}

/// What is wrong with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Nothing there.
    #[error("there is no such file; check path, and that the exporting system still writes there")]
    Missing,
    /// A folder, a socket or a device.
    #[error("this is not a regular file; path must name the file itself")]
    NotAFile,
    /// The system does not let us.
    #[error("cannot be read ({0}); let the agent's user read the file and enter its folders")]
    Unreadable(String),
    /// Larger than a table of wards can be.
    #[error("has {bytes} bytes, more than the {most} that are read; check that path names the ward counts")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        most: u64,
    },
    /// It changes all the time.
    #[error(
        "keeps changing, never still for the {0} ms of settle; let the exporting system write beside it and rename"
    )]
    Unsettled(u128),
    /// No bytes, or a header without rows.
    #[error("has no rows; the exporting system was perhaps stopped while it wrote")]
    Empty,
    /// Not in the charset.
    #[error("line {line}: not {charset} text; set charset to what the exporting system writes (often windows-1252)")]
    Charset {
        /// The line, from 1.
        line: u64,
        /// What it was read as.
        charset: &'static str,
    },
    /// A column that the config names is not in the header.
    #[error(
        "line 1: no column {column:?} among the {cells} of the header; correct {key} in the config, or delimiter if \
         that number is wrong"
    )]
    NoColumn {
        /// The header that the config gives.
        column: String,
        /// Where the config gives it.
        key: String,
        /// How many columns the header has.
        cells: usize,
    },
    /// A column that the config names stands twice in the header.
    #[error("line 1: column {0:?} stands twice in the header, so it is not clear which is meant; have one renamed")]
    ColumnTwice(String),
    /// A row that ends before a column that is needed.
    #[error(
        "line {line}: the row has {cells} cells, but column {column:?} is number {number}; was the file cut short?"
    )]
    ShortRow {
        /// The line, from 1.
        line: u64,
        /// How many cells it has.
        cells: usize,
        /// The header of a column that is needed.
        column: String,
        /// Its number, from 1.
        number: usize,
    },
    /// A quoted cell that goes on over several lines, where a count, a time or a ward is expected.
    #[error(
        "line {line}: a quoted cell of this row does not end on its line, so rows are lost in it; was the file cut short?"
    )]
    OpenQuote {
        /// The line, from 1.
        line: u64,
    },
    /// Two rows about one ward.
    #[error(
        "lines {first} and {second} are both about ward {ward}, and counts are never added up; select one with \
         [source.rows] or [source.wards]"
    )]
    WardTwice {
        /// The ward.
        ward: WardId,
        /// A line about it.
        first: u64,
        /// Another.
        second: u64,
    },
}

/// A reading that says something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// The source's name.
    pub source: String,
    /// When it was read, by the agent's clock.
    pub at: Time,
    /// What it said, or why it could not be read.
    pub result: Result<Observation, SourceError>,
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
    shutdown: CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for SourceConfig { name, kind, .. } in sources {
        let teller = Teller { source: name, clock: clock.clone(), events: events.clone(), last_fault: None };
        match kind {
            SourceKind::Csv(spec) => tasks.spawn(file::follow(spec, teller, shutdown.clone())),
        };
    }
    tasks
}

/// Reads a source once, waiting for its file to settle.
pub fn read_once(source: &SourceConfig) -> Result<Observation, SourceError> {
    match &source.kind {
        SourceKind::Csv(spec) => file::read_once(spec),
    }
}

/// Tells what one source says.
#[derive(Debug)]
struct Teller {
    source: String,
    clock: Clock,
    events: mpsc::Sender<SourceEvent>,
    last_fault: Option<SourceError>,
}

impl Teller {
    /// Tells a reading; false when nobody listens any more.
    async fn tell(&mut self, result: Result<Observation, SourceError>) -> bool {
        let fault = result.as_ref().err().cloned();
        if fault.is_some() && fault == self.last_fault {
            return true;
        }
        self.last_fault = fault;
        let event = SourceEvent { source: self.source.clone(), at: self.clock.now(), result };
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
        let mut teller = Teller { source: "beds".into(), clock, events, last_fault: None };
        let fault = |fault| Err(SourceError { file: "beds.csv".into(), fault });
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
