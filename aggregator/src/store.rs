//! The centre's memory: one SQLite file with every signed report and roster, the history, and
//! the journal of alarms.
//!
//! In: batches of what `verify` has let through, rollup samples, journal entries. Out: a verdict on
//! each report *after* it is durable, what the live state is rebuilt from, the history and the journal.
//!
//! On disk, `path` being the configured file:
//!
//! | file | what |
//! |---|---|
//! | `path`, `path-wal`, `path-shm` | SQLite in WAL mode; tables in `migrations/`, numbered by `user_version` |
//! | `path.lock` | empty; locked by the aggregator that has the store open |
//!
//! Invariants:
//! 1. [`Store::commit`] is one transaction with `synchronous=FULL`: when it returns, all of the
//!    batch has survived a power cut; when it fails, none of the batch is there.
//! 2. A report is stored once for each (hospital, position, digest). The first digest at a position
//!    stays the first for good; others are kept as evidence. So a verdict never changes: the same
//!    report gets the same answer however often it is sent, also after a restart.
//! 3. Envelopes are the bytes that the hospital signed: anybody can verify them again.
//! 4. What is kept of a hospital is an unbroken end of its order. [`Store::prune`] takes from the
//!    beginning only, and never the newest position. Rosters are few and small and every kept report
//!    needs its own: they are never pruned.
//! 5. The journal only grows (`journal`), and is never pruned.
//! 6. One aggregator at a time, one writer in it; readers never wait for the writer.

mod error;
mod file;
mod history;
mod journal;
mod reports;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Figures};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::report::Position;
use vardpuls_shared::topic::Scope;

use crate::config::StoreConfig;

use error::Fault;
pub use error::StoreError;
pub use file::Condition;
pub use history::{HistoryPoint, HistoryQuery, MAX_POINTS};
pub use journal::{JournalQuery, JournalRecord, Mark};

/// A verified report as it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Whose.
    pub hospital: HospitalId,
    /// Where it stands in the hospital's order.
    pub position: Position,
    /// When its counts held, by the agent's clock.
    pub observed_at: Time,
    /// When the centre received it.
    pub received_at: Time,
    /// SHA-256 of the envelope.
    pub digest: [u8; 32],
    /// The signed envelope, as received.
    pub envelope: Vec<u8>,
}

/// A verified roster as it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoster {
    /// Whose.
    pub hospital: HospitalId,
    /// Taken from its content.
    pub version: u32,
    /// When the centre first received it.
    pub received_at: Time,
    /// The signed envelope, as first received.
    pub envelope: Vec<u8>,
}

/// A rollup at one instant, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Of what.
    pub scope: Scope,
    /// When, by the centre's clock.
    pub time: Time,
    /// All care types together.
    pub total: Figures,
    /// By care type.
    pub care: BTreeMap<CareType, Figures>,
    /// What stands behind the figures.
    pub coverage: Coverage,
}

/// What one transaction stores. Reports are in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Reports.
    pub reports: Vec<StoredReport>,
    /// Rosters; one that is stored already changes nothing.
    pub rosters: Vec<StoredRoster>,
    /// Samples; a later one replaces that of the same scope and time.
    pub samples: Vec<Sample>,
    /// Journal entries, each with the number after the one before it.
    pub journal: Vec<JournalRecord>,
    /// What points remember; the last word on each holds.
    pub marks: Vec<Mark>,
}

impl Batch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        let Batch { reports, rosters, samples, journal, marks } = self;
        reports.is_empty() && rosters.is_empty() && samples.is_empty() && journal.is_empty() && marks.is_empty()
    }
}

/// What a report was to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first at its position.
    New,
    /// The first at its position, sent again.
    Duplicate,
    /// Another report was first at its position; this one is kept as evidence.
    Equivocation,
}

/// What pruning removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Reports.
    pub reports: u64,
    /// Samples.
    pub samples: u64,
}

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    keep_reports: Duration,
    keep_history: Duration,
    /// One connection.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held for as long as the store is open.
    lock: File,
}

impl Store {
    /// Opens the store, makes it where there is none, and brings its tables up to date.
    pub async fn open(config: &StoreConfig) -> Result<Store, StoreError> {
        let lock = file::lock(&config.path)?;
        file::examine(&config.path).await?;
        let (writer, readers) = file::open(&config.path).await?;
        let open = Open {
            path: config.path.clone(),
            keep_reports: config.keep_reports,
            keep_history: config.keep_history,
            writer,
            readers,
            lock,
        };
        Ok(Store { open: Arc::new(open) })
    }

    /// Looks at the store without opening it for writing, making it, or locking it.
    pub async fn examine(config: &StoreConfig) -> Result<Condition, StoreError> {
        file::examine(&config.path).await
    }

    /// Stores a batch in one durable transaction; a verdict for each report, in their order.
    ///
    /// After an error nothing of the batch is stored; after cancelling either nothing or all of it.
    pub async fn commit(&self, batch: &Batch) -> Result<Vec<Verdict>, StoreError> {
        self.at_path(self.write(batch).await)
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<Verdict>, Fault> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.open.writer.begin_with("BEGIN IMMEDIATE").await?;
        let verdicts = reports::insert(&mut transaction, &batch.reports).await?;
        reports::insert_rosters(&mut transaction, &batch.rosters).await?;
        history::insert(&mut transaction, &batch.samples).await?;
        journal::append(&mut transaction, &batch.journal).await?;
        journal::mark(&mut transaction, &batch.marks).await?;
        transaction.commit().await?;
        Ok(verdicts)
    }

    /// The reports at the newest positions of every hospital, at most `per_hospital` positions each:
    /// hospital by hospital, oldest first, with all digests of a position.
    pub async fn newest(&self, per_hospital: u32) -> Result<Vec<StoredReport>, StoreError> {
        self.at_path(reports::newest(&self.open.readers, per_hospital).await)
    }

    /// Every roster.
    pub async fn rosters(&self) -> Result<Vec<StoredRoster>, StoreError> {
        self.at_path(reports::rosters(&self.open.readers).await)
    }

    /// The last sample of each step, in the order of time; steps without a sample have no point.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryPoint>, StoreError> {
        let steps = query.check()?;
        self.at_path(history::read(&self.open.readers, query, steps).await)
    }

    /// Gives every sample of the store at `path`, scope by scope in the order of time. Reads only and takes
    /// no lock: an aggregator may have the store open.
    pub async fn samples(path: &Path, each: impl FnMut(Sample)) -> Result<(), StoreError> {
        match file::examine(path).await? {
            Condition::Absent => Ok(()),
            Condition::Present { .. } => {
                let read = async { history::all(&mut file::reader(path).await?, each).await };
                read.await.map_err(|e| StoreError::of(path, e))
            }
        }
    }

    /// Removes what is older than the config keeps, a little at a time, so that commits go on in between.
    pub async fn prune(&self, now: Time) -> Result<Pruned, StoreError> {
        let reports = reports::prune(&self.open.writer, now.minus(self.open.keep_reports)).await;
        let samples = history::prune(&self.open.writer, now.minus(self.open.keep_history)).await;
        Ok(Pruned { reports: self.at_path(reports)?, samples: self.at_path(samples)? })
    }

    /// Position and digest of every stored report of a hospital, in order: for audits and tests.
    pub async fn stored_positions(&self, hospital: &HospitalId) -> Result<Vec<(Position, [u8; 32])>, StoreError> {
        self.at_path(reports::positions(&self.open.readers, hospital).await)
    }

    /// Lets go of the file and its lock, for all clones.
    pub async fn close(&self) {
        // The last connection to close folds the WAL into the file, and only the writer can.
        self.open.readers.close().await;
        self.open.writer.close().await;
        if let Err(e) = self.open.lock.unlock() {
            tracing::debug!(error = %e, "the store's lock goes with the process");
        }
    }

    fn at_path<T>(&self, result: Result<T, impl Into<Fault>>) -> Result<T, StoreError> {
        result.map_err(|fault| StoreError::of(&self.open.path, fault))
    }
}

/// A number as SQLite keeps it. Positions and times on the wire are far below the limit.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as SQLite kept it.
fn number(column: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(column).map_err(unreadable)
}

/// A stored value that is not what was written.
fn unreadable(e: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(e))
}

#[cfg(test)]
mod tests;
