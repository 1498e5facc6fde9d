//! The task that keeps the live picture.
//!
//! In: verified messages, registry changes, operators' orders, rules, the passing of time. Out: each
//! message to the committer, and after it what the alarms made of it;
//! what changed to the view, to event readers and to the publisher, in rounds at most every
//! `min_gap`; samples for the history. It waits for nobody: not the store, not the broker, not HTTP.
//!
//! Decisions go by the centre's clock, wake-ups by real time: a replay that sets the clock sees
//! reports expire within [`WAKE`] or with the next message, whichever is first.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::feed::{Feed, Freshness};
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::topic::Scope;

use crate::alert::alarms::{Alarms, News};
use crate::alert::command::Order;
use crate::alert::rules::Rules;
use crate::alert::standing::Standing;
use crate::committer::{Intake, Item, Journaled, Reply};
use crate::enrolment::Registry;
use crate::live::{Applied, Live};
use crate::metrics::Metrics;
use crate::mishaps::Mishaps;
use crate::publish::Outgoing;
use crate::store::{JournalRecord, Sample};
use crate::verify::{Verified, VerifiedReport, VerifiedRoster};
use crate::view::{Change, View};

/// How often time is looked at when nothing else happens.
const WAKE: Duration = Duration::from_millis(50);

/// A nation without news is published this often all the same: a sign of life.
const PULSE: Duration = Duration::from_secs(15);

/// Messages that are applied before anything else is looked at.
const BATCH: usize = 256;

/// What the keeper works with.
pub struct Keeper {
    /// The picture.
    pub live: Live,
    /// Verified messages; it ends when all senders have.
    pub inbox: mpsc::Receiver<Verified>,
    /// Who is enrolled.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// What time it is.
    pub clock: Clock,
    /// Where messages go to be committed.
    pub intake: Arc<Intake>,
    /// Where feeds go to be published.
    pub outgoing: Arc<Outgoing>,
    /// The picture as HTTP sees it.
    pub view: Arc<ArcSwap<View>>,
    /// Who wants to be told of changes.
    pub events: broadcast::Sender<Change>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Between two rounds.
    pub min_gap: Duration,
    /// Between two samples, by the clock.
    pub sample_every: Duration,
    /// What is alarming in the picture.
    pub alarms: Alarms,
    /// What operators want.
    pub orders: mpsc::Receiver<Order>,
    /// The rules in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// What went wrong with messages.
    pub mishaps: Arc<Mishaps>,
    /// Shows that it moves.
    pub pulse: Pulse,
}

/// Where the keeper stands in its rounds.
struct Rounds {
    next_round: Instant,
    next_pulse: Instant,
    /// The time that was seen last, and the sampling step that it fell in.
    seen: Time,
    step: u64,
}

impl Keeper {
    /// Keeps the picture until the inbox ends; then publishes what is left and ends the intake.
    pub async fn run(mut self) {
        let mut wake = interval(WAKE);
        wake.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = self.clock.now();
        let start = Instant::now();
        let mut rounds = Rounds { next_round: start, next_pulse: start + PULSE, seen, step: self.step(seen) };
        let mut messages = Vec::with_capacity(BATCH);
        let (mut enrolling, mut orders) = (true, Vec::new());
        loop {
            self.pulse.beat();
            let dirty = self.live.is_dirty();
            tokio::select! {
                n = self.inbox.recv_many(&mut messages, BATCH) => if n == 0 { break },
                changed = self.registry.changed(), if enrolling => match changed {
                    Ok(()) => self.enrol(),
                    Err(_) => enrolling = false,
                },
                // Without anybody who could give orders there is nothing to wait for here.
                Some(order) = self.orders.recv() => orders.push(order),
                () = sleep_until(rounds.next_round), if dirty => {}
                _ = wake.tick() => {}
            }
            self.turn(&mut messages, &mut orders, &mut rounds);
        }
        self.round();
        self.intake.close();
    }

    /// One turn: time, then messages, then a round if one is due.
    fn turn(&mut self, messages: &mut Vec<Verified>, orders: &mut Vec<Order>, rounds: &mut Rounds) {
        let now = self.clock.now();
        if self.step(now) != rounds.step {
            // The picture as it stood when the step ended, before time moves on in it.
            self.sample(rounds.seen);
            rounds.step = self.step(now);
        }
        rounds.seen = now;
        self.live.expire(now);
        for message in messages.drain(..) {
            match message {
                Verified::Report(report) => self.report(report, now),
                Verified::Roster(roster) => self.roster(roster, now),
            }
        }
        self.alarm(orders, now);
        let instant = Instant::now();
        if instant >= rounds.next_pulse {
            self.live.touch_nation();
        }
        if instant >= rounds.next_round && self.live.is_dirty() {
            self.round();
            rounds.next_round = instant + self.min_gap;
            rounds.next_pulse = instant + PULSE;
        }
    }

    /// Judges what changed, carries out orders, and hands on what has to be durable before it is said.
    fn alarm(&mut self, orders: &mut Vec<Order>, now: Time) {
        if self.rules.has_changed().unwrap_or(false) {
            let rules = self.rules.borrow_and_update().clone();
            self.alarms.replace_rules(rules, &self.live, now);
        }
        for ((hospital, incident), count) in self.mishaps.take() {
            if let Some(at) = self.live.hospital_index(&hospital) {
                self.alarms.note_incident(at, incident, count, now);
            }
        }
        self.alarms.judge(&mut self.live, now);
        let mut replies = Vec::new();
        for Order { command, operator, why, reply } in orders.drain(..) {
            match self.alarms.operate(&command, &operator, why, &self.live, now) {
                Ok(answer) => replies.push(Reply { answer, to: reply }),
                // An error says that whoever asked has gone.
                Err(declined) => drop(reply.send(Err(declined))),
            }
        }
        let News { entries, marks } = self.alarms.take_news(&self.live);
        if entries.is_empty() && marks.is_empty() && replies.is_empty() {
            return;
        }
        let book = self.alarms.book();
        let standing = (!entries.is_empty()).then(|| Arc::new(Standing::of(book, self.alarms.rules().clone())));
        let entries = entries.into_iter().map(|entry| JournalRecord::new(entry, book)).collect();
        self.intake.put(Item::Journal(Box::new(Journaled { entries, marks, standing, replies })));
    }

    fn enrol(&mut self) {
        let registry = self.registry.borrow_and_update().clone();
        self.live.enrol(&registry, self.clock.now());
    }

    fn report(&mut self, report: VerifiedReport, now: Time) {
        let applied = self.live.apply(&report, now).or_else(|| {
            // Enrolled since the registry was last looked at.
            self.enrol();
            self.live.apply(&report, now)
        });
        let wanted = match applied {
            Some(Applied { roster_missing: true, .. }) => {
                self.metrics.count_refusal(Refusal::RosterMissing);
                Some(report.heard().roster_version)
            }
            _ => None,
        };
        if let Some(Applied { unknown_wards, first_unknown, .. }) = applied
            && unknown_wards > 0
        {
            self.metrics.unknown_wards.inc_by(unknown_wards.into());
            if first_unknown {
                let version = format_args!("{:08x}", report.heard().roster_version);
                tracing::warn!(name: Event::UnknownWards.name(), hospital = %report.hospital(), %version, unknown_wards,
                    "the report counts wards that its roster does not have; they are left out: mend the agent's config");
            }
        }
        self.intake.put(Item::Report { report: report.into_stored(), wanted });
    }

    fn roster(&mut self, roster: VerifiedRoster, now: Time) {
        if !self.live.has_met(&roster.roster().hospital) {
            self.enrol();
        }
        self.live.apply_roster(&roster, now);
        self.intake.put(Item::Roster(roster.into_parts().1));
    }

    /// Publishes everything that changed, under the next number.
    fn round(&mut self) {
        let dirty = self.live.take_dirty();
        if dirty.changed.is_empty() && dirty.gone.is_empty() {
            return;
        }
        let as_of = self.clock.now();
        let mut view = View::clone(&self.view.load());
        (view.number, view.as_of) = (view.number + 1, as_of);
        let feed = |scope: Scope| self.live.feed(&scope, view.number, as_of).map(|feed| (scope, Arc::new(feed)));
        let feeds: Vec<_> = dirty.changed.into_iter().filter_map(feed).collect();
        for hospital in dirty.gone {
            view.hospitals.remove(&hospital);
            self.outgoing.clear(Scope::Hospital(hospital));
        }
        for (scope, feed) in &feeds {
            view.put(scope.clone(), feed.clone());
        }
        self.metrics.set_hospitals(&self.live.coverage());
        self.metrics.clock_flagged.set(self.live.clocks_flagged().into());
        // The view before the events: who subscribes first and looks second misses nothing.
        self.view.store(Arc::new(view));
        for (_, feed) in &feeds {
            let _ = self.events.send(Change::Feed(feed.clone())); // an error only says that nobody listens
        }
        self.outgoing.put_feeds(feeds);
    }

    /// Which sampling step a time falls in.
    fn step(&self, time: Time) -> u64 {
        time.0 / u64::try_from(self.sample_every.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Samples every scope; hospitals only once they were heard.
    fn sample(&self, time: Time) {
        let number = 0; // of no publication
        let feeds = self.live.scopes().filter_map(|scope| {
            let feed = self.live.feed(&scope, number, time)?;
            let heard = feed.hospital.as_ref().is_none_or(|h| h.state != Freshness::Unknown);
            heard.then_some((scope, feed))
        });
        let samples = feeds
            .map(|(scope, Feed { total, care, coverage, .. })| Sample { scope, time, total, care, coverage })
            .collect();
        self.intake.put(Item::Samples(samples));
    }
}
