//! Keeps visits and their store together, on a thread of its own.
//!
//! In: events, snapshots of another source, and the passing of time, through a bounded queue. Out: a [`Reason`] for each
//! event once what follows from it is on disk, and a [`Picture`] of the counts, which is there before the answer.
//!
//! # Invariants
//! 1. *Answered is kept*: a turn takes whatever waits, writes it in one synced transaction, and only then answers.
//! 2. What could not be written did not happen: the store is opened again, and everything of that turn is answered
//!    [`Reason::NotKept`], so that the sender sends it again.
//! 3. A message that came before, byte by byte, is not taken again while it is among the last [`REMEMBERED`].

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::hospital::WardId;

use super::event::Event;
use super::reason::Reason;
use super::secret::Secret;
use super::store::{Store, StoreError};
use super::visits::{Rules, Visits};
use super::wards::WardCount;

/// How many pieces of work may wait.
const QUEUE: usize = 64;

/// How many messages are known again.
const REMEMBERED: usize = 8192;

/// How many places without a ward are shown.
const MAX_UNMAPPED: usize = 50;

/// A message by its bytes, sender and control id (MSH-10) among them, under a key of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

/// What the keeper is to do.
#[derive(Debug)]
enum Work {
    Take { events: Vec<(Fingerprint, Event)>, answer: oneshot::Sender<Vec<Reason>> },
    Reconcile(BTreeMap<WardId, (u16, Time)>),
    Expire,
}

/// The counts as they are on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// What each ward holds, where that is known.
    pub counts: BTreeMap<WardId, WardCount>,
    /// When something was last heard before the agent started.
    pub heard: Option<Time>,
    /// Patients in counted places and classes, mapped or not.
    pub patients: i64,
    /// Visits that are kept, closed ones among them.
    pub visits: usize,
    /// The oldest snapshot that a ward is counted from.
    pub reconciled_at: Option<Time>,
    /// Patients by which the census differed from the last snapshot, over all wards.
    pub drift: u32,
    /// Places with patients that are no ward, says nobody.
    pub unmapped: Vec<(String, i64)>,
    /// Why nothing can be kept, while that lasts.
    pub fault: Option<String>,
}

/// Where the keeper's files lie and what it goes by.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The state folder.
    pub folder: PathBuf,
    /// The source's name.
    pub source: String,
    /// How visits are counted.
    pub rules: Rules,
    /// How old the secret may grow; it is changed with the next fresh snapshot.
    pub rotate_key: Duration,
}

/// Hands work to the keeper. When the last one is gone, the keeper ends.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Work>);

impl Handle {
    /// What became of each event, once that is on disk.
    pub async fn take(&self, events: Vec<(Fingerprint, Event)>) -> Vec<Reason> {
        let number = events.len();
        let (answer, answered) = oneshot::channel();
        if self.0.send(Work::Take { events, answer }).await.is_ok()
            && let Ok(reasons) = answered.await
        {
            return reasons;
        }
        vec![Reason::NotKept; number]
    }

    /// Takes another source's counts, each with the time at which it held.
    pub async fn reconcile(&self, snapshot: BTreeMap<WardId, (u16, Time)>) {
        // Without a keeper everything ends.
        let _ = self.0.send(Work::Reconcile(snapshot)).await;
    }

    /// Lets go of what is too old.
    pub async fn expire(&self) {
        let _ = self.0.send(Work::Expire).await;
    }
}

/// Starts the keeper; the picture is there once the store was opened. The task ends after the last handle is gone, with
/// the store closed.
///
/// It beats while it works and rests while it waits for work: a listener to whom nobody talks is not stuck, a disk that
/// never answers is.
pub fn start(
    keeping: Keeping,
    clock: Clock,
    pulse: Pulse,
) -> (Handle, watch::Receiver<Picture>, tokio::task::JoinHandle<()>) {
    let (sender, work) = mpsc::channel(QUEUE);
    let (picture, seen) = watch::channel(Picture::default());
    let mut keeper = Keeper { keeping, clock, open: None, picture, seen: Seen::default(), pulse };
    let thread = tokio::task::spawn_blocking(move || keeper.run(work));
    (Handle(sender), seen, thread)
}

struct Keeper {
    keeping: Keeping,
    clock: Clock,
    open: Option<(Store, Visits)>,
    picture: watch::Sender<Picture>,
    seen: Seen,
    pulse: Pulse,
}

impl Keeper {
    fn run(&mut self, mut work: mpsc::Receiver<Work>) {
        self.pulse.beat();
        if let Err(e) = self.open() {
            self.fault(&e);
        }
        self.pulse.rest();
        let mut turn = Vec::new();
        while work.blocking_recv_many(&mut turn, QUEUE) > 0 {
            self.pulse.beat();
            self.turn(&mut turn);
            self.pulse.rest();
        }
    }

    fn turn(&mut self, turn: &mut Vec<Work>) {
        let mut answers = Vec::new();
        let result = self.work(turn, &mut answers);
        if let Err(e) = &result {
            self.open = None;
            self.seen = Seen::default();
            self.fault(e);
        }
        for (answer, mut reasons) in answers {
            if result.is_err() {
                reasons.fill(Reason::NotKept);
            }
            // A sender that is gone sends again.
            let _ = answer.send(reasons);
        }
    }

    fn work(
        &mut self,
        turn: &mut Vec<Work>,
        answers: &mut Vec<(oneshot::Sender<Vec<Reason>>, Vec<Reason>)>,
    ) -> Result<(), StoreError> {
        let opened = self.open();
        let now = self.clock.now();
        let mut anchored = 0;
        for work in turn.drain(..) {
            match (work, &mut self.open) {
                (Work::Take { events, answer }, None) => answers.push((answer, vec![Reason::NotKept; events.len()])),
                (Work::Take { events, answer }, Some((store, visits))) => {
                    let take = |(fingerprint, event)| {
                        if self.seen.is_new(fingerprint) {
                            apply(store.secret(), visits, event, now)
                        } else {
                            Reason::Duplicate
                        }
                    };
                    answers.push((answer, events.into_iter().map(take).collect()));
                }
                (Work::Reconcile(snapshot), Some((_, visits))) => anchored += visits.reconcile(&snapshot),
                (Work::Expire, Some((_, visits))) => {
                    visits.expire(now);
                }
                (Work::Reconcile(_) | Work::Expire, None) => {}
            }
        }
        opened?;
        let Some((store, visits)) = &mut self.open else { return Ok(()) };
        let changes = visits.take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        store.write(visits, &changes)?;
        if anchored > 0 && store.secret_age(now) > self.keeping.rotate_key {
            visits.forget();
            let changes = visits.take_changes();
            store.change_secret(visits, &changes)?;
            visits.hide_under(store.secret());
            info!(source = self.keeping.source, "the key of the visits was changed; visits are forgotten, counts stay");
        }
        self.picture.send_modify(|picture| *picture = picture_of(visits, picture.heard));
        Ok(())
    }

    fn open(&mut self) -> Result<(), StoreError> {
        if self.open.is_some() {
            return Ok(());
        }
        let Keeping { folder, source, rules, .. } = &self.keeping;
        let (store, kept) = Store::open(folder, source, self.clock.now())?;
        let heard = kept.heard();
        let visits = Visits::new(rules.clone().under(store.secret()), kept);
        // In one piece: who waits for the first picture must not see one without counts.
        self.picture.send_replace(picture_of(&visits, heard));
        self.open = Some((store, visits));
        Ok(())
    }

    fn fault(&self, e: &StoreError) {
        let text = e.to_string();
        self.picture.send_if_modified(|picture| {
            let news = picture.fault.as_ref() != Some(&text);
            if news {
                error!(
                    source = self.keeping.source,
                    reason = text,
                    "visits cannot be kept; senders are told to send again"
                );
                picture.fault = Some(text);
            }
            news
        });
    }
}

/// Takes one event, its visit numbers hidden under the secret.
pub fn apply(secret: &Secret, visits: &mut Visits, event: Event, now: Time) -> Reason {
    match event {
        Event::Bed { spot, state, when } => visits.bed(&spot, state, when),
        Event::Visits(steps) => {
            let mut reason = Reason::NotCounted;
            for step in steps {
                let key = secret.hide(&step.number);
                let before = step.before.map(|number| secret.hide(&number));
                if visits.say(key, before, &step.said, now) == Reason::Taken {
                    reason = Reason::Taken;
                }
            }
            reason
        }
    }
}

fn picture_of(visits: &Visits, heard: Option<Time>) -> Picture {
    let (patients, kept) = visits.sizes();
    let (reconciled_at, drift) = visits.reconciled();
    Picture {
        counts: visits.counts(),
        heard,
        patients,
        visits: kept,
        reconciled_at,
        drift,
        unmapped: visits.unmapped(MAX_UNMAPPED),
        fault: None,
    }
}

/// The last messages.
#[derive(Debug, Default)]
struct Seen {
    known: HashSet<Fingerprint>,
    order: VecDeque<Fingerprint>,
}

impl Seen {
    fn is_new(&mut self, fingerprint: Fingerprint) -> bool {
        if !self.known.insert(fingerprint) {
            return false;
        }
        self.order.push_back(fingerprint);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use vardpuls_service::vitals::Vitals;

    use super::*;
    use crate::source::adt::place::Map;

    const WITHIN: Duration = Duration::from_mins(2);

    fn begin(vitals: &Vitals, folder: &std::path::Path) -> (Handle, watch::Receiver<Picture>) {
        let rules = Rules {
            map: Map::default(),
            classes: [].into(),
            assume_empty: true,
            tombstone: Duration::from_hours(48),
            longest_stay: Duration::from_hours(48),
        };
        let keeping = Keeping { folder: folder.to_owned(), source: "pas".into(), rules, rotate_key: Duration::MAX };
        let (keeper, picture, _) = start(keeping, Clock::standing_at(Time(1)), vitals.part("the keeper", WITHIN));
        (keeper, picture)
    }

    /// Whether a watchdog would see it two minutes and more from now.
    fn is_stuck(vitals: &Vitals) -> bool {
        vitals.stalled(Instant::now() + 2 * WITHIN).is_some()
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "never happened: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn a_keeper_that_waits_for_work_is_not_stuck() {
        let (vitals, folder) = (Vitals::default(), tempfile::tempdir().expect("a folder"));
        let (keeper, mut picture) = begin(&vitals, folder.path());
        picture.changed().await.expect("it opens its store");
        keeper.expire().await;
        until("it rests", || !is_stuck(&vitals)).await;
    }

    #[tokio::test]
    async fn a_keeper_whose_disk_never_answers_is_stuck() {
        let (vitals, folder) = (Vitals::default(), tempfile::tempdir().expect("a folder"));
        // Whoever opens a pipe waits for its other end.
        let key = folder.path().join("adt-pas.key");
        assert!(Command::new("mkfifo").arg(&key).status().expect("runs").success());
        let (keeper, _picture) = begin(&vitals, folder.path());
        until("it is seen to be stuck", || is_stuck(&vitals)).await;
        assert_eq!(vitals.stalled(Instant::now()), None, "not yet");
        // The other end: there is no key in it, but an answer.
        drop(std::fs::OpenOptions::new().write(true).open(&key).expect("the keeper reads"));
        until("it goes on", || !is_stuck(&vitals)).await;
        drop(keeper);
    }
}
