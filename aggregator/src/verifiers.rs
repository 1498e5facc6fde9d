//! The threads that verify: one for each core, because this is where the time goes.
//!
//! In: messages from the ingest queue. Out: verified ones to the live core, in any order, which the
//! merge does not mind; refusals by name to the metrics and the log, and to the committer where a
//! receipt may name them. The threads end when the queue is closed and empty.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Vitals;
use vardpuls_shared::clock::Time;
use vardpuls_shared::refusal::Refusal;

use crate::alert::alarms::Incident;
use crate::committer::{Intake, Item};
use crate::enrolment::Registry;
use crate::ingest::{IngestQueue, Message};
use crate::metrics::Metrics;
use crate::mishaps::Mishaps;
use crate::verify::{Refused, Verified, verify};

/// Messages that a thread takes at once.
const BATCH: usize = 32;

/// A batch takes milliseconds; a thread that is at it for so long hangs.
const STALLED: Duration = Duration::from_mins(2);

/// What the threads share.
#[derive(Debug, Clone)]
pub struct Verifiers {
    /// Where messages wait.
    pub queue: Arc<IngestQueue>,
    /// Who is enrolled, at this instant.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Where verified messages go.
    pub live: mpsc::Sender<Verified>,
    /// Where refusals go that a receipt may name.
    pub intake: Arc<Intake>,
    /// Where alarms hear of refusals.
    pub mishaps: Arc<Mishaps>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Told that each thread moves.
    pub vitals: Vitals,
}

impl Verifiers {
    /// Starts a thread for each core.
    pub fn start(self) -> io::Result<Vec<JoinHandle<()>>> {
        let threads = std::thread::available_parallelism()?.get();
        let log = Arc::new(RefusalLog::default());
        let start = |n| {
            let (verifiers, log) = (self.clone(), log.clone());
            std::thread::Builder::new().name(format!("verify-{n}")).spawn(move || verifiers.run(&log))
        };
        (0..threads).map(start).collect()
    }

    fn run(self, log: &RefusalLog) {
        let mut batch = Vec::with_capacity(BATCH);
        let pulse = self.vitals.part("verifying", STALLED);
        while self.queue.take(BATCH, &mut batch) {
            pulse.beat();
            self.metrics.ingest_waiting.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
            let registry = self.registry.load();
            for message in batch.drain(..) {
                match verify(&registry, message.received_at, &message.topic, &message.envelope) {
                    Ok(verified) => {
                        if self.live.blocking_send(verified).is_err() {
                            return; // the live core has ended: so do we
                        }
                    }
                    Err(refused) => {
                        if registry.hospital(&refused.hospital).is_some() {
                            self.mishaps.note(&refused.hospital, Incident::Refused);
                        }
                        self.refuse(refused, &message, log);
                    }
                }
            }
            pulse.rest();
        }
    }

    fn refuse(&self, refused: Refused, message: &Message, log: &RefusalLog) {
        self.metrics.count_refusal(refused.refusal);
        if let Some(more) = log.admit(refused.refusal, message.received_at) {
            let remedy = refused.refusal.remedy();
            let (reason, bytes) = (refused.refusal.name(), message.envelope.len());
            tracing::warn!(name: Event::MessageRefused.name(), hospital = %refused.hospital, topic = %message.topic, reason,
                bytes, more_since = more, "refused: {}; {remedy}", refused.detail);
        }
        if let (true, Some(position)) = (refused.receipted, refused.position) {
            self.intake.put(Item::Refused { hospital: refused.hospital, position, refusal: refused.refusal });
        }
    }
}

/// Keeps a flood of refusals from becoming a flood of lines: so many of each reason in a window.
#[derive(Debug, Default)]
struct RefusalLog {
    /// By reason: since when, lines written, refusals not written.
    windows: Mutex<HashMap<Refusal, (Time, u32, u64)>>,
}

impl RefusalLog {
    const LINES: u32 = 20;
    const WINDOW: Duration = Duration::from_secs(10);

    /// Whether this one is written, and how many before it were not.
    fn admit(&self, refusal: Refusal, now: Time) -> Option<u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, lines, unwritten) = windows.entry(refusal).or_insert((now, 0, 0));
        if now.since(*since) >= Self::WINDOW || now < *since {
            (*since, *lines) = (now, 0);
        }
        if *lines == Self::LINES {
            *unwritten += 1;
            return None;
        }
        *lines += 1;
        Some(std::mem::take(unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_few_lines_that_count_it() {
        let log = RefusalLog::default();
        let written = (0..1000).filter(|_| log.admit(Refusal::BadSignature, Time(5)).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(log.admit(Refusal::UnknownKey, Time(5)), Some(0));
        assert_eq!(log.admit(Refusal::BadSignature, Time(10_005)), Some(980));
        assert_eq!(log.admit(Refusal::BadSignature, Time(3)), Some(0));
    }
}
