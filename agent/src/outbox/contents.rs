//! The outbox's account of itself: for `status` when no agent runs, and for auditors.
//!
//! Every sequence from 1 to `next − 1` that is neither held, nor refused, nor dropped was let go on
//! a receipt, so it must stand in the centre's store. The kill -9 checker computes just that.

use std::path::Path;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use serde::Serialize;
use vardpuls_shared::clock::Time;
use vardpuls_shared::refusal::Refusal;

use super::tables::{DROPPED, HELD, LEDGER, REFUSED, entry};
use super::{OutboxError, Summary, file};

/// Everything that an outbox knows, except the envelopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contents {
    /// When this outbox was created, ms since 1970.
    pub epoch: u64,
    /// The sequence that the next report gets; those below it were given out.
    pub next: u64,
    /// Sequences that wait for a receipt, rising.
    pub held: Vec<u64>,
    /// Bytes of what is held.
    pub bytes: u64,
    /// When the oldest of it was appended.
    pub oldest: Option<Time>,
    /// How many the centre has stored.
    pub released: u64,
    /// How many were refused, also those no longer listed.
    pub refused_count: u64,
    /// Refused reports, rising; the newest [`super::MAX_REFUSED`].
    pub refused: Vec<Refused>,
    /// How many were dropped, also those no longer listed.
    pub dropped_count: u64,
    /// Closed ranges of dropped sequences, rising; the newest [`super::MAX_GAPS`].
    pub dropped: Vec<(u64, u64)>,
}

/// A report that the centre will never take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// Its sequence.
    pub sequence: u64,
    /// The reason's name.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// When the agent heard of it.
    pub at: Time,
}

impl Refused {
    /// A refusal as `status` tells it.
    pub fn new(sequence: u64, reason: Refusal, at: Time) -> Refused {
        Refused { sequence, reason: reason.to_string(), remedy: reason.remedy().to_owned(), at }
    }
}

impl Contents {
    pub(super) fn read(transaction: &ReadTransaction) -> Result<Contents, redb::Error> {
        let ledger = transaction.open_table(LEDGER)?;
        let mut held = Vec::new();
        let mut oldest = None;
        for report in transaction.open_table(HELD)?.iter()? {
            let (sequence, report) = report?;
            oldest.get_or_insert(Time(report.value().0));
            held.push(sequence.value());
        }
        let mut refused = Vec::new();
        for report in transaction.open_table(REFUSED)?.iter()? {
            let (sequence, report) = report?;
            let (reason, at) = report.value();
            refused.push(Refused::new(sequence.value(), Refusal::from_number(reason), Time(at)));
        }
        let mut dropped = Vec::new();
        for range in transaction.open_table(DROPPED)?.iter()? {
            let (first, last) = range?;
            dropped.push((first.value(), last.value()));
        }
        Ok(Contents {
            epoch: entry(&ledger, "epoch")?,
            next: entry(&ledger, "next")?,
            held,
            bytes: entry(&ledger, "bytes")?,
            oldest,
            released: entry(&ledger, "released")?,
            refused_count: entry(&ledger, "refused")?,
            refused,
            dropped_count: entry(&ledger, "dropped")?,
            dropped,
        })
    }

    /// The same in numbers.
    pub fn summary(&self) -> Summary {
        Summary {
            epoch: self.epoch,
            next: self.next,
            held: self.held.len() as u64,
            bytes: self.bytes,
            oldest: self.oldest,
            released: self.released,
            refused: self.refused_count,
            dropped: self.dropped_count,
        }
    }

    /// Sequences that were let go on a receipt: each must stand in the centre's store.
    ///
    /// Exact as long as no more than the listed refusals and gaps were ever made.
    pub fn released(&self) -> Vec<u64> {
        let refused: Vec<u64> = self.refused.iter().map(|r| r.sequence).collect();
        let was_dropped = |s: u64| self.dropped.iter().any(|&(first, last)| (first..=last).contains(&s));
        (1..self.next)
            .filter(|s| self.held.binary_search(s).is_err() && refused.binary_search(s).is_err() && !was_dropped(*s))
            .collect()
    }
}

/// Reads the account of the outbox in `folder` while no agent runs on it; none when there is no
/// outbox. Changes nothing, except that a file that its agent did not close is repaired first.
pub fn inspect(folder: &Path) -> Result<Option<Contents>, OutboxError> {
    let path = file::path(folder);
    if !path.exists() {
        return Ok(None);
    }
    let mut builder = file::builder();
    let read = |transaction: Result<ReadTransaction, redb::TransactionError>| Contents::read(&transaction?);
    let contents = match builder.open_read_only(&path) {
        Ok(database) => read(database.begin_read()),
        // An agent that was killed leaves a file that only a writer may repair.
        Err(redb::DatabaseError::RepairAborted) => match builder.set_check_integrity_on_open(true).open(&path) {
            Ok(database) => read(database.begin_read()),
            Err(e) => Err(e.into()),
        },
        Err(e) => Err(e.into()),
    };
    contents.map(Some).map_err(|e| file::named(&path, e))
}
