//! The line in front of the store.
//!
//! In: items, put by whoever has them, without waiting. Out: what waits, for one transaction.
//!
//! Invariants. Journal entries are few and nobody sends them again: they go first, and are never
//! dropped. Of everything else a bounded number waits; the oldest makes room for the newest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Item, Journaled};
use crate::metrics::Metrics;

/// Items in one transaction.
const BATCH: usize = 1000;

/// Items, but for journal entries, that may wait for the store.
pub(super) const WAITING: usize = 50_000;

/// The line in front of the store. Putting something in never waits.
#[derive(Debug)]
pub struct Intake {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Waiting {
    journal: VecDeque<Box<Journaled>>,
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
        match item {
            Item::Journal(journaled) => waiting.journal.push_back(journaled),
            item => {
                if waiting.items.len() == WAITING {
                    waiting.items.pop_front();
                    self.metrics.unstored.inc();
                }
                waiting.items.push_back(item);
            }
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lets the committer end once the line is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// What waits: journal entries, then the others, each in the order of arrival; nothing once closed
    /// and empty.
    pub(super) async fn take(&self) -> Vec<Item> {
        loop {
            {
                let mut waiting = self.lock();
                let Waiting { journal, items, .. } = &mut *waiting;
                if !journal.is_empty() || !items.is_empty() {
                    let entries = journal.drain(..BATCH.min(journal.len())).map(Item::Journal);
                    let taken: Vec<_> = entries.chain(items.drain(..BATCH.min(items.len()))).collect();
                    let left = journal.len() + items.len();
                    self.metrics.commit_waiting.set(i64::try_from(left).unwrap_or(i64::MAX));
                    return taken;
                }
                if waiting.closed {
                    return Vec::new();
                }
            }
            self.arrived.notified().await;
        }
    }
}
