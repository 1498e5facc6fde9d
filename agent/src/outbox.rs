//! The outbox: every report from the moment it has a position until the centre's receipt.
//!
//! In: envelopes to keep, receipts. Out: what still waits for a receipt, newest first, and an
//! account of everything that was ever let go. Promise 1 of the design ("nothing acknowledged is
//! lost") stands on this file.
//!
//! # Invariants
//! 1. *Nothing is published before it is durable.* [`Outbox::append`] returns a position only after
//!    the envelope and the next sequence are on disk, in one transaction. Whoever publishes reads
//!    from here.
//! 2. *A position is used once.* The next sequence is stored, not derived from what is held, so it
//!    does not go back when everything was settled. A new outbox begins a new epoch, larger than
//!    any that this folder has seen, even if the clock went back (`outbox.epoch` outlives the
//!    outbox).
//! 3. *A report leaves in three ways only*: a verified receipt says stored, a verified receipt says
//!    refused, or it is dropped because the outbox is full or the report too old. Oldest first, and
//!    never the newest.
//! 4. *The books balance*: `next − 1 = held + released + refused + dropped`, in every committed
//!    state. Each transaction changes both sides.
//! 5. *One process*: the file is locked while open.
//!
//! # On disk
//! `outbox.redb` in the state folder, one [redb](https://docs.rs/redb) file with four tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `ledger` | name | `format`, `epoch`, `next`, `bytes`, `released`, `refused`, `dropped` |
//! | `held` | sequence | when it was appended (ms since 1970), envelope |
//! | `refused` | sequence | reason number, when (ms); the newest [`MAX_REFUSED`] |
//! | `dropped` | first sequence | last sequence; the newest [`MAX_GAPS`] ranges |
//!
//! A report's commit is synced (`Durability::Immediate`) before anybody learns its position. A receipt's
//! commit is on disk with the next report's: a crash in between forgets the receipt, not the report, which is
//! sent again and receipted again. The whole file is checked when it is opened; a
//! damaged one is set aside as `outbox.redb.corrupt-<ms>` and a new epoch begins, because a
//! hospital that goes on reporting is worth more than one that waits for a file to be mended.
//! After an I/O error (a full disk) the file is closed, and opened again at the next use.

mod contents;
mod file;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};
use vardpuls_shared::clock::Time;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::{MAX_SEQUENCE, Position};
use vardpuls_shared::wire::MAX_ENVELOPE;

pub use contents::{Contents, Refused, inspect};
pub use tables::{MAX_GAPS, MAX_REFUSED};

use tables::{DROPPED, FORMAT, HELD, LEDGER, REFUSED, add, bound, entry, note_gap, take};

/// How much may wait for a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Older reports are dropped.
    pub max_age: Duration,
    /// Bytes of envelopes; beyond it the oldest are dropped. The file itself is about twice that.
    pub max_bytes: u64,
}

/// Why the outbox could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Another process holds the file.
    #[error("{path}: another agent runs on this outbox; stop it, or give this one a state-dir of its own")]
    Locked {
        /// The outbox file.
        path: PathBuf,
    },
    /// The file system is full.
    #[error(
        "{path}: no space left on this file system; free some, or move state-dir. No new report can be sent until \
         then; what the outbox holds is safe"
    )]
    Full {
        /// The outbox file.
        path: PathBuf,
    },
    /// The file is not readable as an outbox. Opening one for use sets it aside instead.
    #[error("{path}: the file is damaged ({detail}); a started agent sets it aside and begins a new epoch")]
    Damaged {
        /// The outbox file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer agent wrote the file.
    #[error("{path}: written by a newer vardpuls-agent (format {found}, this one knows {FORMAT}); upgrade this one")]
    Newer {
        /// The outbox file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file system said no.
    #[error("{path}: {source}; check that the agent's user may write there and that the disk is healthy")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An envelope that nobody would accept.
    #[error(
        "a report of {bytes} bytes is larger than the {MAX_ENVELOPE} that the centre accepts; split the hospital's wards"
    )]
    Oversize {
        /// Its size.
        bytes: usize,
    },
}

/// A report that waits for its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where it stands.
    pub position: Position,
    /// The signed bytes.
    pub envelope: Vec<u8>,
}

/// What a receipt did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// How many held reports are stored at the centre, and were let go.
    pub stored: u64,
    /// Held reports that the centre will never take; moved to the refused list.
    pub refused: Vec<(u64, Refusal)>,
    /// The receipt names a sequence that this outbox has not given out: the state folder was
    /// restored from an old copy, or another agent uses the same key.
    pub ahead: bool,
}

/// The outbox of one agent. See the module's invariants.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    limits: Limits,
    /// None after an I/O error, until the next use opens the file again.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    database: Database,
    epoch: u64,
}

/// The outbox as the reporter and the publisher share it.
pub type Shared = Arc<Mutex<Outbox>>;

/// Runs `work` on the outbox on a thread that may block, as every disk access must.
pub async fn with<T: Send + 'static>(shared: &Shared, work: impl FnOnce(&mut Outbox) -> T + Send + 'static) -> T {
    let shared = Arc::clone(shared);
    let done =
        tokio::task::spawn_blocking(move || work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))).await;
    done.expect("the runtime lives as long as its tasks, and work on the outbox catches its panics")
}

impl Outbox {
    /// Opens the outbox in `folder`, which is made if missing, or begins a new one.
    pub fn open(folder: &Path, limits: Limits, now: Time) -> Result<Outbox, OutboxError> {
        let mut outbox = Outbox { folder: folder.to_owned(), limits, open: None };
        outbox.database(now)?;
        Ok(outbox)
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Gives the next position to `make` and keeps the envelope that it returns.
    ///
    /// Drops what is too old or too much, oldest first and counted, in the same transaction.
    pub fn append(&mut self, now: Time, make: impl FnOnce(Position) -> Vec<u8>) -> Result<Position, OutboxError> {
        let limits = self.limits;
        self.write(now, Durability::Immediate, |transaction, epoch| {
            let mut ledger = transaction.open_table(LEDGER)?;
            let mut held = transaction.open_table(HELD)?;
            let sequence = entry(&ledger, "next")?;
            let position = Position { epoch, sequence };
            let envelope = make(position);
            if envelope.len() > MAX_ENVELOPE {
                return Ok((Change::None, Err(OutboxError::Oversize { bytes: envelope.len() })));
            }
            held.insert(sequence, (now.0, envelope.as_slice()))?;
            ledger.insert("next", sequence + 1)?;
            add(&mut ledger, "bytes", envelope.len() as u64)?;
            let oldest_kept = now.minus(limits.max_age);
            let mut gaps = transaction.open_table(DROPPED)?;
            while let Some(first) = {
                let first = held.first()?.map(|(sequence, report)| {
                    let (at, envelope) = report.value();
                    (sequence.value(), Time(at), envelope.len() as u64)
                });
                let bytes = entry(&ledger, "bytes")?;
                first.filter(|&(s, at, _)| s != sequence && (at < oldest_kept || bytes > limits.max_bytes))
            } {
                held.remove(first.0)?;
                take(&mut ledger, "bytes", first.2)?;
                add(&mut ledger, "dropped", 1)?;
                note_gap(&mut gaps, first.0)?;
            }
            Ok((Change::Some, Ok(position)))
        })?
    }

    /// Lets go of what `receipt` says is stored, and moves what it refuses to the refused list.
    ///
    /// The receipt must be verified. One for another epoch settles nothing. It is on disk with the next
    /// report, or when the outbox is closed.
    pub fn settle(&mut self, receipt: &Receipt, now: Time) -> Result<Settled, OutboxError> {
        self.write(now, Durability::None, |transaction, epoch| {
            let mut settled = Settled::default();
            if receipt.epoch != epoch {
                return Ok((Change::None, settled));
            }
            let mut ledger = transaction.open_table(LEDGER)?;
            let mut held = transaction.open_table(HELD)?;
            let next = entry(&ledger, "next")?;
            settled.ahead = receipt.stored.iter().any(|&(_, last)| last >= next);
            let mut bytes = 0;
            for &(first, last) in &receipt.stored {
                for gone in held.extract_from_if(first..=last, |_, _| true)? {
                    bytes += gone?.1.value().1.len() as u64;
                    settled.stored += 1;
                }
            }
            let mut refused = transaction.open_table(REFUSED)?;
            for &(sequence, reason) in &receipt.refused {
                let Some(size) = held.remove(sequence)?.map(|report| report.value().1.len() as u64) else { continue };
                bytes += size;
                settled.refused.push((sequence, reason));
                refused.insert(sequence, (reason.number(), now.0))?;
                bound(&mut refused, MAX_REFUSED)?;
            }
            if bytes == 0 && settled.stored == 0 && settled.refused.is_empty() {
                return Ok((Change::None, settled));
            }
            take(&mut ledger, "bytes", bytes)?;
            add(&mut ledger, "released", settled.stored)?;
            add(&mut ledger, "refused", settled.refused.len() as u64)?;
            Ok((Change::Some, settled))
        })
    }

    /// The position that the next report gets.
    pub fn next(&mut self, now: Time) -> Result<Position, OutboxError> {
        self.read(now, |transaction, epoch| {
            Ok(Position { epoch, sequence: entry(&transaction.open_table(LEDGER)?, "next")? })
        })
    }

    /// The newest report that waits for a receipt.
    pub fn newest(&mut self, now: Time) -> Result<Option<Held>, OutboxError> {
        Ok(self.backlog(MAX_SEQUENCE + 1, 1, now)?.pop())
    }

    /// The report of one sequence, if it still waits.
    pub fn get(&mut self, sequence: u64, now: Time) -> Result<Option<Held>, OutboxError> {
        self.read(now, |transaction, epoch| {
            let held = transaction.open_table(HELD)?.get(sequence)?;
            let position = Position { epoch, sequence };
            Ok(held.map(|report| Held { position, envelope: report.value().1.to_vec() }))
        })
    }

    /// At most `n` waiting reports with sequences below `below`, newest first.
    pub fn backlog(&mut self, below: u64, n: usize, now: Time) -> Result<Vec<Held>, OutboxError> {
        self.read(now, |transaction, epoch| {
            let held = transaction.open_table(HELD)?;
            let newest_first = held.range(..below)?.rev().take(n).map(|report| {
                let (sequence, report) = report?;
                let position = Position { epoch, sequence: sequence.value() };
                Ok(Held { position, envelope: report.value().1.to_vec() })
            });
            newest_first.collect()
        })
    }

    /// Every position that waits for a receipt, rising.
    pub fn held(&mut self, now: Time) -> Result<Vec<Position>, OutboxError> {
        let contents = self.contents(now)?;
        Ok(contents.held.iter().map(|&sequence| Position { epoch: contents.epoch, sequence }).collect())
    }

    /// The whole account: what is held, and what became of everything else.
    pub fn contents(&mut self, now: Time) -> Result<Contents, OutboxError> {
        self.read(now, |transaction, _| Contents::read(transaction))
    }

    /// What `status` shows of it, without walking what is held.
    pub fn summary(&mut self, now: Time) -> Result<Summary, OutboxError> {
        self.read(now, |transaction, epoch| {
            let ledger = transaction.open_table(LEDGER)?;
            let held = transaction.open_table(HELD)?;
            let oldest = held.first()?.map(|(_, report)| Time(report.value().0));
            let next = entry(&ledger, "next")?;
            let (released, refused, dropped) =
                (entry(&ledger, "released")?, entry(&ledger, "refused")?, entry(&ledger, "dropped")?);
            let held = next - 1 - released - refused - dropped;
            Ok(Summary { epoch, next, held, bytes: entry(&ledger, "bytes")?, oldest, released, refused, dropped })
        })
    }

    fn read<T>(
        &mut self,
        now: Time,
        work: impl FnOnce(&redb::ReadTransaction, u64) -> Result<T, redb::Error>,
    ) -> Result<T, OutboxError> {
        self.attempt(now, |open| work(&open.database.begin_read()?, open.epoch))
    }

    /// One transaction, or none at all.
    fn write<T>(
        &mut self,
        now: Time,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction, u64) -> Result<(Change, T), redb::Error>,
    ) -> Result<T, OutboxError> {
        self.attempt(now, |open| {
            let mut transaction = open.database.begin_write()?;
            transaction.set_durability(durability)?;
            let (change, out) = work(&transaction, open.epoch)?;
            match change {
                Change::Some => transaction.commit()?,
                Change::None => transaction.abort()?,
            }
            Ok(out)
        })
    }

    /// Runs `work` on the open file. Any failure closes it: redb asks for that after an I/O error,
    /// and the check at the next opening decides whether a damaged file has to be set aside.
    fn attempt<T>(&mut self, now: Time, work: impl FnOnce(&Open) -> Result<T, redb::Error>) -> Result<T, OutboxError> {
        let open = self.database(now)?;
        let result = catch_unwind(AssertUnwindSafe(|| work(open)))
            .unwrap_or_else(|_| Err(redb::Error::Corrupted("an assertion of the database failed".into())));
        result.map_err(|e| {
            self.open = None;
            file::named(&file::path(&self.folder), e)
        })
    }

    fn database(&mut self, now: Time) -> Result<&Open, OutboxError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => file::open(&self.folder, now)?,
        };
        Ok(self.open.insert(open))
    }
}

/// What an outbox holds, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// When this outbox was created, ms since 1970.
    pub epoch: u64,
    /// The sequence that the next report gets.
    pub next: u64,
    /// Reports that wait for a receipt.
    pub held: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was appended.
    pub oldest: Option<Time>,
    /// Reports that the centre has stored.
    pub released: u64,
    /// Reports that the centre will never take.
    pub refused: u64,
    /// Reports dropped unreceipted: the gap.
    pub dropped: u64,
}

/// Whether a transaction has anything to commit.
enum Change {
    Some,
    None,
}

#[cfg(test)]
mod tests;
