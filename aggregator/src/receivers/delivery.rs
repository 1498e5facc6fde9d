//! The task of one receiver: reads the journal after its place, posts, and keeps its place.
//!
//! In: the journal with the number of its last entry, what stands. Out: posts, one at a time and in
//! order. Whether and what is posted is decided elsewhere and purely; here is only when.
//!
//! Invariants. The place is committed after the receiver has answered, and the next post is made after
//! that commit: what a crash can repeat is one post. A post that fails is tried again for as long as it
//! takes; one that is refused is passed over, so that it holds up nothing. A shutdown waits for the
//! answer to what was sent, not for what was not.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_shared::alert::Alert;
use vardpuls_shared::clock::Clock;

use super::back_off::BackOff;
use super::counts::ReceiverCounts;
use super::post::{Answer, Post};
use super::{Kind, Receiver};
use crate::alert::standing::Standing;
use crate::store::{JournalQuery, Store, StoreError};

/// Entries that are read at once.
const AT_ONCE: u32 = 64;

/// What the task of one receiver works with.
#[derive(Debug)]
pub struct Delivery {
    /// Who is told.
    pub receiver: Receiver,
    /// The journal.
    pub store: Store,
    /// The number of the journal's last committed entry.
    pub committed: watch::Receiver<u64>,
    /// What stands.
    pub standing: Arc<ArcSwap<Standing>>,
    /// What time it is.
    pub clock: Clock,
    /// Where it is counted.
    pub counts: ReceiverCounts,
    /// The waits after failures.
    pub back_off: BackOff,
}

/// How far a receiver has come.
#[derive(Debug)]
struct Progress {
    /// The last entry that it was told, or need not be.
    place: u64,
    /// What stood when it was new and it has still to be told.
    greetings: VecDeque<Arc<Alert>>,
    /// When what stands is told again.
    repeat_at: Option<Instant>,
}

/// What is to be done now.
enum Next {
    /// Nothing, until something changes.
    Wait,
    /// Nothing to be said up to here.
    Pass(u64),
    /// This is posted, and leads there.
    Tell(Post, Goal),
}

/// What an answer means for the progress.
enum Goal {
    /// This place is reached.
    Place(u64),
    /// One greeting less.
    Greeted,
    /// What stands was told again.
    Repeated,
}

impl Delivery {
    /// Tells the receiver until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let Some(mut progress) = self.begin(&shutdown).await else { return };
        while !shutdown.is_cancelled() {
            match self.next(&mut progress).await {
                Ok(Next::Wait) => self.wait(&progress, &shutdown).await,
                Ok(Next::Pass(place)) => self.reach(&mut progress, Goal::Place(place), &shutdown).await,
                Ok(Next::Tell(post, goal)) => self.tell(&mut progress, &post, goal, &shutdown).await,
                Err(error) => self.pause(&error, &shutdown).await,
            }
        }
    }

    /// Goes on where it stopped. A receiver that is new begins at what stands.
    async fn begin(&mut self, shutdown: &CancellationToken) -> Option<Progress> {
        let place = loop {
            match self.store.place(&self.receiver.name).await {
                Ok(place) => break place,
                Err(_) if shutdown.is_cancelled() => return None,
                Err(error) => self.pause(&error, shutdown).await,
            }
        };
        let repeat_at = matches!(self.receiver.kind, Kind::Alertmanager(_)).then(Instant::now);
        if let Some(place) = place {
            return Some(Progress { place, greetings: VecDeque::new(), repeat_at });
        }
        let standing = self.standing.load_full();
        let greetings = match &self.receiver.kind {
            Kind::Alertmanager(_) => VecDeque::new(),
            Kind::Webhook(webhook) => webhook.greetings(&standing),
        };
        tracing::info!(name: Event::ReceiverNew.name(), receiver = %self.receiver.name, stands = greetings.len(),
            "a receiver is new");
        if greetings.is_empty() {
            self.keep(standing.number, shutdown).await;
        }
        Some(Progress { place: standing.number, greetings, repeat_at })
    }

    async fn next(&mut self, progress: &mut Progress) -> Result<Next, StoreError> {
        let now = self.clock.now();
        let end = *self.committed.borrow_and_update();
        self.counts.behind.set(i64::try_from(end.saturating_sub(progress.place)).unwrap_or(i64::MAX));
        if let (Kind::Webhook(webhook), Some(alert)) = (&self.receiver.kind, progress.greetings.front()) {
            return Ok(Next::Tell(webhook.greeting(alert, now), Goal::Greeted));
        }
        if end > progress.place {
            let entries = self.store.journal(&said_after(progress.place)).await?;
            if !entries.is_empty() {
                let step = match &self.receiver.kind {
                    Kind::Alertmanager(alertmanager) => {
                        alertmanager.step(progress.place, &entries, &self.standing.load(), now)
                    }
                    Kind::Webhook(webhook) => webhook.step(&entries, now),
                };
                return Ok(match step.post {
                    Some(post) => Next::Tell(post, Goal::Place(step.place)),
                    None => Next::Pass(step.place),
                });
            }
            // Not committed: it costs nothing to find again that nothing was said there.
            progress.place = end;
            self.counts.behind.set(0);
        }
        if let (Kind::Alertmanager(alertmanager), Some(at)) = (&self.receiver.kind, progress.repeat_at)
            && at <= Instant::now()
        {
            let standing = self.standing.load();
            // What stands may be shown a moment after its entries are committed; then it is no news.
            if standing.number >= progress.place {
                return Ok(Next::Tell(alertmanager.repetition(&standing, now), Goal::Repeated));
            }
            progress.repeat_at = Some(Instant::now() + alertmanager.repeat_every);
        }
        Ok(Next::Wait)
    }

    async fn wait(&mut self, progress: &Progress, shutdown: &CancellationToken) {
        let repeat = async {
            match progress.repeat_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = repeat => {}
            changed = self.committed.changed() => {
                if changed.is_err() {
                    // The journal is written no more: the centre is ending.
                    shutdown.cancelled().await;
                }
            }
        }
    }

    async fn tell(&mut self, progress: &mut Progress, post: &Post, goal: Goal, shutdown: &CancellationToken) {
        match self.receiver.poster.post(post).await {
            Answer::Taken => self.counts.sent.inc(),
            Answer::Refused(answer) => {
                tracing::warn!(name: Event::ReceiverRefused.name(), receiver = %self.receiver.name, %answer,
                    "a receiver refused what it was told; going on");
                self.counts.refused.inc()
            }
            Answer::Failed(reason) => {
                self.counts.failed.inc();
                return self.pause(&reason, shutdown).await;
            }
        };
        self.back_off.reset();
        self.reach(progress, goal, shutdown).await;
    }

    async fn reach(&mut self, progress: &mut Progress, goal: Goal, shutdown: &CancellationToken) {
        match goal {
            Goal::Place(place) => {
                progress.place = place;
                self.keep(place, shutdown).await;
            }
            Goal::Greeted => {
                progress.greetings.pop_front();
                if progress.greetings.is_empty() {
                    self.keep(progress.place, shutdown).await;
                }
            }
            Goal::Repeated => {}
        }
        if let Kind::Alertmanager(alertmanager) = &self.receiver.kind {
            progress.repeat_at = Some(Instant::now() + alertmanager.repeat_every);
        }
    }

    /// Commits the place, for as long as it takes.
    async fn keep(&mut self, place: u64, shutdown: &CancellationToken) {
        while let Err(error) = self.store.set_place(&self.receiver.name, place).await {
            if shutdown.is_cancelled() {
                return;
            }
            self.pause(&error, shutdown).await;
        }
    }

    async fn pause(&mut self, reason: &(dyn Display + Sync), shutdown: &CancellationToken) {
        let wait = self.back_off.after_failure(fastrand::f64());
        tracing::warn!(name: Event::ReceiverUnreachable.name(), receiver = %self.receiver.name, %reason, again_in = ?wait,
            "a receiver could not be told");
        // Cut short or not, the caller looks again.
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

fn said_after(place: u64) -> JournalQuery {
    JournalQuery { after: place, before: None, alarm: None, said_only: true, limit: AT_ONCE, newest_first: false }
}
