//! Durability: what was verified is committed, and only then receipted.
//!
//! In: items from the live core and the verifying threads, into a bounded line. Out: one store
//! transaction for whatever waits (group commit), then receipts for it. While the store fails, the
//! same batch is tried again, the line behind it drops its oldest, and nothing is acknowledged: the
//! agents keep everything and send it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::Position;

use crate::metrics::Metrics;
use crate::publish::Outgoing;
use crate::readiness::Readiness;
use crate::receipt::Receipts;
use crate::store::{Batch, Sample, Store, StoredReport, StoredRoster, Verdict};

/// Items in one transaction.
const BATCH: usize = 1000;

/// Items that may wait for the store.
const WAITING: usize = 50_000;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Something to commit, to receipt, or both.
#[derive(Debug)]
pub enum Item {
    /// A report, and its roster's version where that is not here.
    Report {
        /// What is kept of it.
        report: StoredReport,
        /// The version that the receipt asks for.
        wanted: Option<u32>,
    },
    /// A roster.
    Roster(StoredRoster),
    /// Rollups for the history.
    Samples(Vec<Sample>),
    /// A report that was refused, and whose hospital may be told.
    Refused {
        /// Whose.
        hospital: HospitalId,
        /// Where it stands.
        position: Position,
        /// Why.
        refusal: Refusal,
    },
}

/// The line in front of the store. Putting something in never waits.
#[derive(Debug)]
pub struct Intake {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

impl Intake {
    /// An empty line.
    pub fn new(metrics: Arc<Metrics>) -> Intake {
        Intake { waiting: Mutex::default(), arrived: Notify::new(), metrics }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every state is a good one, also after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in; where the line is full, the oldest goes, unstored and unreceipted.
    pub fn put(&self, item: Item) {
        let mut waiting = self.lock();
        if waiting.items.len() == WAITING {
            waiting.items.pop_front();
            self.metrics.unstored.inc();
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lets the committer end once the line is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// What waits, in the order of arrival; nothing once closed and empty.
    async fn take(&self) -> Vec<Item> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.items.is_empty() {
                    let n = BATCH.min(waiting.items.len());
                    let items = waiting.items.drain(..n).collect();
                    self.metrics.commit_waiting.set(i64::try_from(waiting.items.len()).unwrap_or(i64::MAX));
                    return items;
                }
                if waiting.closed {
                    return Vec::new();
                }
            }
            self.arrived.notified().await;
        }
    }
}

/// The task that commits.
#[derive(Debug)]
pub struct Committer {
    /// What waits.
    pub intake: Arc<Intake>,
    /// Where it goes.
    pub store: Store,
    /// Where receipts go.
    pub outgoing: Arc<Outgoing>,
    /// Dates receipts.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Told whether the store takes commits.
    pub readiness: Arc<Readiness>,
}

impl Committer {
    /// Commits until the line is closed and empty, then closes the next one. After `shutdown` a store
    /// that fails is not waited for.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let items = self.intake.take().await;
            if items.is_empty() {
                self.outgoing.close();
                return;
            }
            let (batch, wanted, mut receipts) = sort(items);
            if let Some(verdicts) = self.commit(&batch, &shutdown).await {
                self.settle(&batch, &wanted, &verdicts, &mut receipts);
            }
            let dropped = self.outgoing.put_receipts(receipts.issue(self.clock.now()));
            self.metrics.receipts_dropped.inc_by(dropped as u64);
        }
    }

    /// Tries until it succeeds. None when the centre shuts down over a store that fails.
    async fn commit(&self, batch: &Batch, shutdown: &CancellationToken) -> Option<Vec<Verdict>> {
        if batch.reports.is_empty() && batch.rosters.is_empty() && batch.samples.is_empty() {
            return Some(Vec::new());
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            match self.store.commit(batch).await {
                Ok(verdicts) => {
                    self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
                    if pause > FIRST_PAUSE {
                        tracing::info!("the store takes commits again");
                    }
                    self.readiness.set_store_works(true);
                    return Some(verdicts);
                }
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    self.readiness.set_store_works(false);
                    if pause == FIRST_PAUSE {
                        tracing::error!(%error, "nothing is stored or receipted until this is mended; agents keep their reports");
                    }
                    if shutdown.is_cancelled() {
                        return None;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shutdown.cancelled() => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Turns the store's verdicts into lines of receipts.
    fn settle(&self, batch: &Batch, wanted: &[Option<u32>], verdicts: &[Verdict], receipts: &mut Receipts) {
        for ((report, &wanted), verdict) in batch.reports.iter().zip(wanted).zip(verdicts) {
            match verdict {
                Verdict::New => self.metrics.stored.inc(),
                Verdict::Duplicate => self.metrics.duplicates.inc(),
                Verdict::Equivocation => {
                    self.metrics.count_refusal(Refusal::Equivocation);
                    let Position { epoch, sequence } = report.position;
                    tracing::error!(hospital = %report.hospital, epoch, sequence, reason = "equivocation",
                        "two different reports at one position; {}", Refusal::Equivocation.remedy());
                    receipts.refused(&report.hospital, report.position, Refusal::Equivocation);
                    continue;
                }
            };
            receipts.stored(&report.hospital, report.position, wanted);
        }
    }
}

/// Items by what they are: a transaction, the wanted rosters of its reports, and refusals to receipt.
fn sort(items: Vec<Item>) -> (Batch, Vec<Option<u32>>, Receipts) {
    let (mut batch, mut wanted_rosters, mut receipts) = (Batch::default(), Vec::new(), Receipts::default());
    for item in items {
        match item {
            Item::Report { report, wanted } => {
                batch.reports.push(report);
                wanted_rosters.push(wanted);
            }
            Item::Roster(roster) => batch.rosters.push(roster),
            Item::Samples(samples) => batch.samples.extend(samples),
            Item::Refused { hospital, position, refusal } => receipts.refused(&hospital, position, refusal),
        }
    }
    (batch, wanted_rosters, receipts)
}
