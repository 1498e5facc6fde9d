//! The alarms of the live picture: every rule at every target, judged as the picture changes. Pure;
//! time is an argument.
//!
//! In: what was touched in the picture, incidents, the passing of time, operators' commands. Out:
//! journal entries, and marks (what a point would miss after a restart).
//!
//! A report costs what it touches: its hospital's points, its wards' that changed, and once a turn
//! those of its region and the nation. What only time can change waits in a heap. A step of an alarm
//! costs the alarms that it may silence.
//!
//! Invariants. A point's alarm in the [`Book`] is active exactly while the point is. Of an alarm and
//! the one that inhibits it, raised in the same turn, only the greater one is said.

mod counted;
mod incidents;
mod leave;
mod look;
mod observe;
mod operate;
mod places;
mod say;
mod slot;
mod slots;
mod suppress;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use vardpuls_shared::alert::{AlertId, State, Status};
use vardpuls_shared::clock::Time;

use self::counted::Counted;
pub use self::incidents::Incident;
use self::incidents::Incidents;
use self::slots::{At, Slots};
use self::suppress::Silencing;
use super::book::Book;
use super::entry::{Act, Entry};
use super::past::NOTE_EVERY;
use super::point::Change;
use super::rules::Rules;
use crate::live::{Live, Touched};
use crate::rollup::CareSet;

/// All alarms.
#[derive(Debug)]
pub struct Alarms {
    rules: Arc<Rules>,
    cares: Vec<CareSet>,
    book: Book,
    status: Status,
    slots: Slots,
    due: BinaryHeap<Reverse<(Time, At)>>,
    incidents: Incidents,
    counted: Counted,
    silencing: Silencing,
    noted: Time,
    /// The hour of the day in this turn.
    hour: usize,
    touched: Touched,
    /// After a start, or under other rules.
    look_at_all: bool,
    changes: Vec<(At, Change, Option<f64>)>,
    entries: Vec<Entry>,
    /// Points of which something is to be remembered.
    marks: Vec<At>,
    /// Marks that were made out before the points could move or go.
    made: Vec<Mark>,
}

/// What has to be made durable.
#[derive(Debug, Default)]
pub struct News {
    /// Journal entries, in order.
    pub entries: Vec<Entry>,
    /// What points remember; none where there is nothing to remember any more.
    pub marks: Vec<Mark>,
}

/// A point's name and what it remembers; none where there is nothing to remember any more.
type Mark = (String, Option<Vec<u8>>);

impl News {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.marks.is_empty()
    }
}

impl Alarms {
    /// All points under `rules`, as the book and the marks have them. `seen`: when the picture was last
    /// looked at; nothing that was running then has gone on since.
    pub fn new(
        rules: Arc<Rules>,
        book: Book,
        marks: &[(String, Vec<u8>)],
        status: Status,
        live: &Live,
        (seen, now): (Time, Time),
    ) -> Alarms {
        let mut alarms = Alarms {
            cares: rules.iter().map(|rule| CareSet::of(&rule.care)).collect(),
            counted: Counted::new(&rules, live),
            silencing: Silencing::new(&rules, &book),
            slots: Slots::new(&rules, live),
            rules,
            book,
            status,
            due: BinaryHeap::new(),
            incidents: Incidents::default(),
            noted: Time(0),
            hour: 0,
            touched: Touched::default(),
            look_at_all: true,
            changes: Vec::new(),
            entries: Vec::new(),
            marks: Vec::new(),
            made: Vec::new(),
        };
        let remembered: BTreeMap<&str, &[u8]> = marks.iter().map(|(key, mark)| (key.as_str(), &mark[..])).collect();
        alarms.restore(remembered, live, (seen, now));
        alarms
    }

    /// Puts other rules in force. Points that both sets have keep their state and their alarms.
    pub fn replace_rules(&mut self, rules: Arc<Rules>, live: &Live, now: Time) {
        let kept: Vec<(String, Vec<u8>)> = self
            .slots
            .all()
            .into_iter()
            .filter_map(|at| {
                let mark = self.slots.get(at).remembers()?;
                Some((self.key(at, live)?.to_string(), mark))
            })
            .collect();
        let News { entries, marks } = self.take_news(live);
        let incidents = std::mem::take(&mut self.incidents);
        let book = std::mem::take(&mut self.book);
        *self = Alarms::new(rules, book, &kept, self.status, live, (now, now));
        self.incidents = incidents;
        // What nobody has taken yet comes before what the other rules have brought.
        self.entries.splice(..0, entries);
        self.made.splice(..0, marks);
    }

    /// Brings points into step with the book and what was remembered; alarms that no point has are withdrawn.
    fn restore(&mut self, mut nobodys: BTreeMap<&str, &[u8]>, live: &Live, (seen, now): (Time, Time)) {
        if self.book.rules() != Some(self.rules.digest()) {
            let act = Act::RulesLoaded { rules: self.rules.len(), digest: self.rules.digest().to_owned() };
            self.write(now, act);
        }
        for at in self.slots.all() {
            let Some(key) = self.key(at, live) else { continue };
            if let Some(mark) = nobodys.remove(key.to_string().as_str()) {
                let slot = self.slots.get_mut(at);
                slot.recall(mark);
                let before = slot.point;
                slot.point.stood_still(seen, now);
                if slot.point != before {
                    self.marks.push(at);
                }
            }
            if self.book.at_point(&key).is_some_and(|(_, alarm)| alarm.cleared_at.is_none() && !alarm.is_injected()) {
                self.slots.get_mut(at).point.active = true;
                self.count(at, live, true);
            }
            self.queue(at, now);
        }
        let over = self.rules.iter().filter_map(|rule| rule.over).max().unwrap_or_default();
        nobodys.retain(|key, mark| !self.incidents.recall(key, mark, over, live, now));
        // Or a point that comes back one day would go on from there.
        self.made.extend(nobodys.into_keys().map(|key| (key.to_owned(), None)));
        let gone = |book: &Book| -> Vec<(AlertId, State)> {
            let is_gone = |alarm: &super::book::Alarm| self.find(&alarm.raised.point, live).is_none();
            book.alarms().filter(|(_, alarm)| is_gone(alarm)).map(|(id, alarm)| (id.clone(), alarm.state())).collect()
        };
        for (alarm, state) in gone(&self.book) {
            self.withdraw(&alarm, state, now);
        }
        self.follow_hospitals(live, now);
    }

    /// Judges what was touched and what has come due.
    pub fn judge(&mut self, live: &mut Live, now: Time) {
        self.hour = self.rules.hour(now);
        self.make_marks(live);
        let mut touched = std::mem::take(&mut self.touched);
        live.take_touched(&mut touched);
        if std::mem::take(&mut self.look_at_all) {
            touched = Touched {
                nation: true,
                regions: (0..live.region_codes().len()).collect(),
                hospitals: (0..live.hospitals_met()).collect(),
            };
        }
        let live = &*live;
        self.end_what_ends(live, now);
        for &hospital in &touched.hospitals {
            self.look_at_hospital(hospital, live, now);
        }
        for &region in &touched.regions {
            self.look_at_all((0..self.slots.regions[region].len()).map(|n| At::region(region, n)), live, now);
        }
        if touched.nation {
            self.look_at_all((0..self.slots.nation.len()).map(At::nation), live, now);
        }
        for hospital in self.incidents.take_changed() {
            self.look_at_incidents(hospital, live, now);
        }
        self.touched = touched; // its room is used again
        self.look_at_what_is_due(live, now);
        if now.since(self.noted) >= NOTE_EVERY || now < self.noted {
            self.note(live, now);
        }
        self.settle(live, now);
        self.made.extend(self.incidents.take_marks(!self.entries.is_empty(), live, now));
    }

    /// Writes down what has changed, the greater targets first, until nothing changes any more.
    fn settle(&mut self, live: &Live, now: Time) {
        while !self.changes.is_empty() {
            let mut changes = std::mem::take(&mut self.changes);
            changes.sort_by_key(|(at, _, _)| (at.reach(), self.rules.turn(self.slots.rule(*at)), *at));
            let mut recount = Vec::new();
            for (at, change, value) in changes {
                self.write_change(at, change, value, live, now);
                self.count(at, live, change == Change::Raised);
                self.counted_at(at, live, &mut recount);
            }
            recount.sort_unstable();
            recount.dedup();
            self.look_at_all(recount.into_iter(), live, now);
        }
        // Also for what was written before: withdrawals, the end of a shelf.
        self.suppress(now);
    }

    /// What happened since the last call and has to be made durable.
    pub fn take_news(&mut self, live: &Live) -> News {
        self.make_marks(live);
        News { entries: std::mem::take(&mut self.entries), marks: std::mem::take(&mut self.made) }
    }

    /// Makes out what is to be remembered, while the points still are where they were.
    fn make_marks(&mut self, live: &Live) {
        let mut marks = std::mem::take(&mut self.marks);
        marks.sort_unstable();
        marks.dedup();
        for at in marks.drain(..) {
            if self.slots.exists(at)
                && let Some(key) = self.key(at, live)
            {
                self.made.push((key.to_string(), self.slots.get(at).remembers()));
            }
        }
        self.marks = marks; // its room is used again
    }

    /// Notes something that happened at a hospital.
    pub fn note_incident(&mut self, hospital: usize, incident: Incident, count: u32, now: Time) {
        self.incidents.note(hospital, incident, count, now);
    }

    /// Everything that stands.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }
}

#[cfg(test)]
mod tests;
