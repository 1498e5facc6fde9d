//! Durability: what was verified is committed, and only then receipted.
//!
//! In: items from the live core and the verifying threads, into a bounded line ([`Intake`]). Out: one
//! store transaction for whatever waits (group commit), then what may be known of it: what stands,
//! what is said about alarms, answers to operators, receipts. While the store fails, the same batch is
//! tried again, the line behind it drops its oldest, and nothing is acknowledged or said: the agents
//! keep everything and send it again.

mod intake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::Position;

use crate::alert::alarms::Incident;
use crate::alert::command::Declined;
use crate::alert::entry::Entry;
use crate::alert::standing::Standing;
use crate::metrics::Metrics;
use crate::mishaps::Mishaps;
use crate::publish::Outgoing;
use crate::readiness::Readiness;
use crate::receipt::Receipts;
use crate::store::{Batch, JournalRecord, Mark, Sample, Store, StoreError, StoredReport, StoredRoster, Verdict};
use crate::view::Change;

pub use intake::Intake;

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
    /// What happened to alarms; never dropped.
    Journal(Box<Journaled>),
}

/// What happened to alarms at one time, and who is told once it is durable.
#[derive(Debug, Default)]
pub struct Journaled {
    /// In the order of their numbers.
    pub entries: Vec<JournalRecord>,
    /// What points remember from now on.
    pub marks: Vec<Mark>,
    /// What stands after it, where that changed.
    pub standing: Option<Arc<Standing>>,
    /// Whose commands it carries out.
    pub replies: Vec<Reply>,
}

/// An answer that waits for the commit.
#[derive(Debug)]
pub struct Reply {
    /// The entries that the command made.
    pub answer: Vec<Entry>,
    /// Who waits for it.
    pub to: oneshot::Sender<Result<Vec<Entry>, Declined>>,
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
    /// What stands, as HTTP sees it; replaced before anything is said.
    pub standing: Arc<ArcSwap<Standing>>,
    /// Who wants to be told of what is said about alarms.
    pub events: broadcast::Sender<Change>,
    /// Where alarms hear of equivocation.
    pub mishaps: Arc<Mishaps>,
    /// The number of the last entry that is durable; receivers of alarms wait on it.
    pub journaled: watch::Sender<u64>,
    /// Shows that a commit comes to an end.
    pub pulse: Pulse,
}

impl Committer {
    /// Commits until the line is closed and empty, then closes the next one. After `shutdown` a store
    /// that fails is not waited for. Ends by itself where only a restart helps.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            self.pulse.rest();
            let items = self.intake.take().await;
            if items.is_empty() {
                break;
            }
            let Sorted { batch, wanted, mut receipts, standing, replies } = sort(items);
            match self.commit(&batch, &shutdown).await {
                Ok(verdicts) => {
                    self.settle(&batch, &wanted, &verdicts, &mut receipts);
                    self.say(&batch.journal, standing);
                    answer(replies, Ok);
                }
                Err(error) => {
                    answer(replies, |_| Err(Declined::NotDurable));
                    if matches!(error, StoreError::JournalOrder { .. }) {
                        break;
                    }
                }
            }
            let dropped = self.outgoing.put_receipts(receipts.issue(self.clock.now()));
            self.metrics.receipts_dropped.inc_by(dropped as u64);
        }
        self.outgoing.close();
    }

    /// Tries until it succeeds. An error when no other try can help, or when the centre shuts down.
    async fn commit(&self, batch: &Batch, shutdown: &CancellationToken) -> Result<Vec<Verdict>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut pause = FIRST_PAUSE;
        loop {
            // One that fails comes to an end too: a full disk is not mended by a restart.
            self.pulse.beat();
            let began = Instant::now();
            match self.store.commit(batch).await {
                Ok(verdicts) => {
                    self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
                    if pause > FIRST_PAUSE {
                        tracing::info!(name: Event::StoreWorks.name(), "the store takes commits again");
                    }
                    self.readiness.set_store_works(true);
                    return Ok(verdicts);
                }
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    self.readiness.set_store_works(false);
                    if pause == FIRST_PAUSE {
                        tracing::error!(name: Event::StoreFails.name(), %error,
                            "nothing is stored or receipted until this is mended; agents keep their reports");
                    }
                    if shutdown.is_cancelled() || matches!(error, StoreError::JournalOrder { .. }) {
                        return Err(error);
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
                    self.mishaps.note(&report.hospital, Incident::Equivocation);
                    let Position { epoch, sequence } = report.position;
                    tracing::error!(name: Event::Equivocation.name(), hospital = %report.hospital, epoch, sequence, reason = "equivocation",
                        "two different reports at one position; {}", Refusal::Equivocation.remedy());
                    receipts.refused(&report.hospital, report.position, Refusal::Equivocation);
                    continue;
                }
            };
            receipts.stored(&report.hospital, report.position, wanted);
        }
    }

    /// Tells of what has become durable: what stands first, so that whoever hears of a change finds it.
    fn say(&self, journal: &[JournalRecord], standing: Option<Arc<Standing>>) {
        // An error of `events` only says that nobody listens.
        if let Some(standing) = &standing {
            self.standing.store(standing.clone());
        }
        for said in journal.iter().filter_map(|record| record.entry.said.as_ref()) {
            self.outgoing.put_alert(said);
            let _ = self.events.send(Change::Said(Arc::new(said.clone())));
        }
        if let Some(standing) = standing {
            let _ = self.events.send(Change::Standing(standing));
        }
        if let Some(last) = journal.last() {
            self.journaled.send_replace(last.entry.number);
        }
    }
}

fn answer(replies: Vec<Reply>, result: impl Fn(Vec<Entry>) -> Result<Vec<Entry>, Declined>) {
    for Reply { answer, to } in replies {
        // An error only says that whoever asked has left.
        let _ = to.send(result(answer));
    }
}

/// Items by what they are.
#[derive(Default)]
struct Sorted {
    /// A transaction.
    batch: Batch,
    /// The wanted rosters of its reports.
    wanted: Vec<Option<u32>>,
    /// Refusals to receipt.
    receipts: Receipts,
    /// What stands after it, where that changed.
    standing: Option<Arc<Standing>>,
    /// Who waits for it.
    replies: Vec<Reply>,
}

fn sort(items: Vec<Item>) -> Sorted {
    let mut sorted = Sorted::default();
    let Sorted { batch, wanted: wanted_rosters, receipts, standing, replies } = &mut sorted;
    for item in items {
        match item {
            Item::Report { report, wanted } => {
                batch.reports.push(report);
                wanted_rosters.push(wanted);
            }
            Item::Roster(roster) => batch.rosters.push(roster),
            Item::Samples(samples) => batch.samples.extend(samples),
            Item::Refused { hospital, position, refusal } => receipts.refused(&hospital, position, refusal),
            Item::Journal(journaled) => {
                batch.journal.extend(journaled.entries);
                batch.marks.extend(journaled.marks);
                replies.extend(journaled.replies);
                *standing = journaled.standing.or(standing.take());
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests;
