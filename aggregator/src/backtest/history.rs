//! A recorded history: for each scope, and care type where the record has them, the counts in the order
//! of time.
//!
//! In: a CSV file ([`super::recording`]) or a store, whose samples are read while the aggregator runs. Out: a
//! [`History`] whose series have strictly increasing times. It is held in memory, 40 bytes a sample.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Figures;

use super::recording::{self, RecordingError};
use crate::store::{Store, StoreError};

/// For so many of its usual steps a sample holds where none follows.
const STEPS_VALID: u32 = 3;

/// What every SQLite file begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Why a history cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("the history {}: cannot be read: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The recording is not one.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No counts in it.
    #[error("the history {} has no samples{}", file.display(), care.map(|care| format!(" of {care}")).unwrap_or_default())]
    Empty {
        /// Which file.
        file: PathBuf,
        /// Of which care type.
        care: Option<CareType>,
    },
}

/// What was known at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beds {
    /// Staffed, above zero.
    pub staffed: f64,
    /// Occupied.
    pub occupied: f64,
    /// Available: recorded in a store; else what occupied leaves of staffed.
    pub available: f64,
}

impl Beds {
    /// From the two counts; none without staffed beds.
    pub fn of(staffed: f64, occupied: f64) -> Option<Beds> {
        (staffed > 0.0).then(|| Beds { staffed, occupied, available: (staffed - occupied).max(0.0) })
    }

    fn of_figures(figures: &Figures) -> Option<Beds> {
        let beds = Beds::of(figures.staffed?.into(), figures.occupied?.into())?;
        Some(Beds { available: figures.available.map_or(beds.available, f64::from), ..beds })
    }
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub time: Time,
    /// What was known then; none where nothing was.
    pub beds: Option<Beds>,
}

/// The samples of one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Of what, as the record names it.
    pub scope: String,
    /// Of which beds; none where they are not told apart.
    pub care: Option<CareType>,
    /// The usual time between two samples.
    pub step: Duration,
    /// In the order of time.
    pub samples: Vec<Sample>,
}

impl Series {
    /// Of samples whose times strictly increase, at least one.
    pub fn new(scope: String, care: Option<CareType>, samples: Vec<Sample>) -> Series {
        let mut steps: Vec<Duration> = samples.windows(2).map(|pair| pair[1].time.since(pair[0].time)).collect();
        let middle = steps.len() / 2;
        let step = if steps.is_empty() { Duration::from_hours(1) } else { *steps.select_nth_unstable(middle).1 };
        Series { scope, care, step, samples }
    }

    /// How long a sample holds where none follows.
    pub fn validity(&self) -> Duration {
        self.step * STEPS_VALID
    }

    /// Until when the sample at `place` holds: the next one, at most its validity; the last for a step.
    pub fn holds_until(&self, place: usize) -> Time {
        let time = self.samples[place].time;
        match self.samples.get(place + 1) {
            Some(next) => next.time.min(time.plus(self.validity())),
            None => time.plus(self.step),
        }
    }

    /// By how much less a time between samples is still long enough: recorded hours jitter.
    pub fn grace(&self) -> Duration {
        (self.step / 4).min(Duration::from_mins(15))
    }

    /// The first time.
    pub fn start(&self) -> Time {
        self.samples[0].time
    }

    /// When the last sample ends.
    pub fn end(&self) -> Time {
        self.holds_until(self.samples.len() - 1)
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// By scope and care type, in the order of the record. None is empty.
    pub series: Vec<Series>,
    /// Whether the record tells care types apart.
    pub by_care: bool,
}

impl History {
    /// Reads a store or a CSV file. `zone`: whose clock times without offset show. `care`: what a record
    /// that does not say so is about, or else the only type that is taken of it.
    /// It waits for the disk: not for use in a runtime.
    pub fn load(file: &Path, zone: &TimeZone, care: Option<CareType>) -> Result<History, HistoryError> {
        let unreadable = |reason| HistoryError::Unreadable { file: file.to_owned(), reason };
        let mut start = Vec::new();
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(SQLITE.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
        let history = if start == SQLITE { History::of_store(file, care)? } else { recording::read(file, zone, care)? };
        if history.series.is_empty() {
            return Err(HistoryError::Empty { file: file.to_owned(), care });
        }
        Ok(history)
    }

    fn of_store(file: &Path, only: Option<CareType>) -> Result<History, HistoryError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|reason| HistoryError::Unreadable { file: file.to_owned(), reason })?;
        let mut found: HashMap<Option<CareType>, Vec<Sample>> = HashMap::new();
        let (mut scope, mut series) = (String::new(), Vec::new());
        let mut close = |scope: &str, found: &mut HashMap<Option<CareType>, Vec<Sample>>| {
            let mut of_scope: Vec<_> =
                found.drain().map(|(care, samples)| Series::new(scope.to_owned(), care, samples)).collect();
            of_scope.sort_by_key(|series| series.care.map(CareType::number));
            series.append(&mut of_scope);
        };
        runtime.block_on(Store::samples(file, |sample| {
            let name = sample.scope.to_string();
            if name != scope {
                close(&scope, &mut found);
                scope = name;
            }
            let all = std::iter::once((None, sample.total));
            for (care, figures) in all.chain(sample.care.iter().map(|(care, figures)| (Some(*care), *figures))) {
                if only.is_none() || only == care {
                    let beds = Beds::of_figures(&figures);
                    found.entry(care).or_default().push(Sample { time: sample.time, beds });
                }
            }
        }))?;
        close(&scope, &mut found);
        Ok(History { series, by_care: true })
    }

    /// From the first sample to the end of the last one.
    pub fn span(&self) -> (Time, Time) {
        let start = self.series.iter().map(Series::start).min().unwrap_or_default();
        let end = self.series.iter().map(Series::end).max().unwrap_or_default();
        (start, end)
    }
}
