//! The alarms of the live picture: every rule at every target, judged as the picture changes. Pure;
//! time is an argument.
//!
//! In: what was touched in the picture, incidents, the passing of time, operators' commands. Out:
//! journal entries, and marks (what a point would miss after a restart).
//!
//! A report costs what it touches: its hospital's points, its wards' that changed, and once a turn
//! those of its region and the nation. What only time can change waits in a heap.
//!
//! Invariants. A point's alarm in the [`Book`] is active exactly while the point is. Of an alarm and
//! the one that inhibits it, raised in the same turn, only the greater one is said.

mod incidents;
mod observe;
mod operate;
mod places;
mod say;
mod slots;
mod suppress;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use vardpuls_shared::alert::{AlertId, State, Status, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

pub use self::incidents::Incident;
use self::incidents::Incidents;
use self::observe::{of_beds, sums_of};
use self::slots::{At, Seen, Slots};
use super::book::Book;
use super::entry::{Act, Entry, PointKey};
use super::measure::Measure;
use super::past::NOTE_EVERY;
use super::point::{Change, Observation};
use super::rules::Rules;
use crate::live::{Live, Touched};
use crate::rollup::{CareSet, Missing};

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
    /// By rule: how many of its alarms stand in each region, and in the nation.
    standing: Vec<(Vec<u32>, u32)>,
    noted: Time,
    touched: Touched,
    /// After a start, or under other rules.
    look_at_all: bool,
    /// The entry up to which suppression is in step; none after a start.
    suppressed_to: Option<u64>,
    changes: Vec<(At, Change, Option<f64>)>,
    entries: Vec<Entry>,
    marks: BTreeMap<PointKey, At>,
    /// Marks of points that are gone.
    forgotten: Vec<String>,
}

/// What has to be made durable.
#[derive(Debug, Default)]
pub struct News {
    /// Journal entries, in order.
    pub entries: Vec<Entry>,
    /// What points remember; none where there is nothing to remember any more.
    pub marks: Vec<(String, Option<Vec<u8>>)>,
}

impl News {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.marks.is_empty()
    }
}

impl Alarms {
    /// All points under `rules`, as the book and the marks have them.
    pub fn new(
        rules: Arc<Rules>,
        book: Book,
        marks: &[(String, Vec<u8>)],
        status: Status,
        live: &Live,
        now: Time,
    ) -> Alarms {
        let mut alarms = Alarms {
            cares: rules.iter().map(|rule| CareSet::of(&rule.care)).collect(),
            standing: vec![(vec![0; live.region_codes().len()], 0); rules.len()],
            slots: Slots::new(&rules, live),
            rules,
            book,
            status,
            due: BinaryHeap::new(),
            incidents: Incidents::default(),
            noted: Time(0),
            touched: Touched::default(),
            look_at_all: true,
            suppressed_to: None,
            changes: Vec::new(),
            entries: Vec::new(),
            marks: BTreeMap::new(),
            forgotten: Vec::new(),
        };
        let remembered: BTreeMap<&str, &[u8]> = marks.iter().map(|(key, mark)| (key.as_str(), &mark[..])).collect();
        alarms.restore(&remembered, live, now);
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
        let incidents = std::mem::take(&mut self.incidents);
        let entries = std::mem::take(&mut self.entries);
        let book = std::mem::take(&mut self.book);
        *self = Alarms::new(rules, book, &kept, self.status, live, now);
        let entries = entries.into_iter().chain(std::mem::take(&mut self.entries)).collect();
        (self.incidents, self.entries) = (incidents, entries);
    }

    /// Brings points into step with the book and what was remembered; alarms that no point has are withdrawn.
    fn restore(&mut self, marks: &BTreeMap<&str, &[u8]>, live: &Live, now: Time) {
        if self.book.rules() != Some(self.rules.digest()) {
            let act = Act::RulesLoaded { rules: self.rules.len(), digest: self.rules.digest().to_owned() };
            self.write(now, act);
        }
        let mut nobodys = marks.clone();
        for at in self.slots.all() {
            let Some(key) = self.key(at, live) else { continue };
            if let Some(mark) = nobodys.remove(key.to_string().as_str()) {
                self.slots.get_mut(at).recall(mark);
            }
            if self.book.at_point(&key).is_some_and(|(_, alarm)| alarm.cleared_at.is_none() && !alarm.is_injected()) {
                self.slots.get_mut(at).point.active = true;
                self.count(at, live, true);
            }
            self.queue(at, now);
        }
        // Or a point that comes back one day would go on from there.
        self.forgotten.extend(nobodys.into_keys().map(str::to_owned));
        let gone = |book: &Book| -> Vec<(AlertId, State)> {
            let is_gone = |alarm: &super::book::Alarm| self.find(&alarm.raised.point, live).is_none();
            book.alarms().filter(|(_, alarm)| is_gone(alarm)).map(|(id, alarm)| (id.clone(), alarm.state())).collect()
        };
        for (alarm, state) in gone(&self.book) {
            self.withdraw(&alarm, state, now);
        }
    }

    /// Judges what was touched and what has come due.
    pub fn judge(&mut self, live: &mut Live, now: Time) {
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
            (0..self.slots.regions[region].len()).for_each(|n| self.look(At::region(region, n), live, now));
        }
        if touched.nation {
            (0..self.slots.nation.len()).for_each(|n| self.look(At::nation(n), live, now));
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
    }

    fn look_at_what_is_due(&mut self, live: &Live, now: Time) {
        while let Some(&Reverse((due, at))) = self.due.peek()
            && due <= now
        {
            self.due.pop();
            if !self.slots.exists(at) {
                continue; // its ward or hospital is gone
            }
            let slot = self.slots.get_mut(at);
            slot.queued = slot.queued.filter(|&queued| queued != due);
            self.look(at, live, now);
            // Incidents that fade one after the other.
            if let At::Hospital(h, _) = at
                && matches!(self.rules.at(self.slots.rule(at)).measure, Measure::Refused | Measure::Equivocation)
            {
                self.look_at_incidents(h as usize, live, now);
            }
        }
    }

    /// Lets every point that learns note where it stands.
    fn note(&mut self, live: &Live, now: Time) {
        self.noted = now;
        let hour = self.rules.hour(now);
        for at in self.slots.learning() {
            let value = self.observe(at, live, now).and_then(|seen| seen.value);
            // First the judgement, then the learning: a value is not measured against itself.
            self.look(at, live, now);
            let rule = self.rules.at(self.slots.rule(at));
            let past = self.slots.get_mut(at).past.as_mut().expect("learning points have a past");
            if value.is_some_and(|value| past.note(rule, now, hour, value)) {
                self.mark(at, live);
            }
        }
    }

    fn look_at_hospital(&mut self, hospital: usize, live: &Live, now: Time) {
        let Some(sight) = live.hospital_at(hospital) else {
            return self.withdraw_hospital(hospital, live, now);
        };
        self.move_to_region(hospital, sight.region);
        let all_gone = self.slots.keep_step(hospital, &sight, &self.rules);
        let any_stood = all_gone.iter().any(|gone| !gone.standing.is_empty());
        for gone in all_gone {
            gone.standing.iter().for_each(|&rule| self.count_rule(rule, Some(sight.region), false));
            let id = sight.id();
            self.withdraw_where(|target| matches!(target, Target::Ward(h, w) if h == id && *w == gone.ward), now);
        }
        if any_stood {
            self.slots.counting(&self.rules).into_iter().for_each(|at| self.look(at, live, now));
        }
        (0..self.slots.hospitals[hospital].own.len()).for_each(|n| self.look(At::hospital(hospital, n), live, now));
        if !self.slots.has_ward_rules() {
            return;
        }
        for (w, ward) in sight.wards().enumerate() {
            let slots = &mut self.slots.hospitals[hospital].wards[w];
            let seen = Seen::of(ward.counts);
            if slots.seen == seen {
                continue; // what only time changes waits in the heap
            }
            slots.seen = seen;
            let sums = sums_of(ward.counts);
            for n in 0..self.slots.hospitals[hospital].wards[w].slots.len() {
                let at = At::ward(hospital, w, n);
                let rule = self.rules.at(self.slots.rule(at));
                let seen = of_beds(rule, &sums, Missing::default());
                self.judge_one(at, seen, live, now);
            }
        }
    }

    /// Counts a hospital's alarms where it lies now; the picture has both regions looked at.
    fn move_to_region(&mut self, hospital: usize, region: usize) {
        let Some(slots) = self.slots.hospitals.get_mut(hospital) else { return };
        if slots.id.is_none() || slots.region == Some(region) {
            return;
        }
        let before = slots.region.replace(region);
        for at in self.slots.of_hospital(hospital) {
            if self.slots.get(at).point.active {
                self.count_rule(self.slots.rule(at), before, false);
                self.count_rule(self.slots.rule(at), Some(region), true);
            }
        }
    }

    fn look_at_incidents(&mut self, hospital: usize, live: &Live, now: Time) {
        if live.hospital_at(hospital).is_none() || hospital >= self.slots.hospitals.len() {
            return;
        }
        for n in 0..self.slots.hospitals[hospital].own.len() {
            let at = At::hospital(hospital, n);
            let rule = self.rules.at(self.slots.rule(at));
            let incident = match rule.measure {
                Measure::Refused => Incident::Refused,
                Measure::Equivocation => Incident::Equivocation,
                _ => continue,
            };
            // It counts for less once the oldest of them is too long ago.
            if let (_, Some(until)) = self.happened(rule, hospital, incident, now) {
                self.due.push(Reverse((until, at)));
            }
            self.look(at, live, now);
        }
    }

    fn look(&mut self, at: At, live: &Live, now: Time) {
        if let Some(seen) = self.observe(at, live, now) {
            self.judge_one(at, seen, live, now);
        }
    }

    fn judge_one(&mut self, at: At, raw: Observation, live: &Live, now: Time) {
        let rule = self.rules.at(self.slots.rule(at));
        let slot = self.slots.get_mut(at);
        let before = slot.point;
        let (mut seen, mut expected) = (raw, None);
        if let (Some(past), Some(value)) = (&slot.past, raw.value) {
            let hour = self.rules.hour(now);
            seen.value = past.measured(rule, now, hour, value);
            expected = past.expected(rule, hour, value);
        }
        let change = slot.point.judge(rule, &seen, expected, now);
        let (after, known) = (slot.point, seen.value.is_some());
        if let Some(change) = change {
            self.changes.push((at, change, seen.value));
        }
        if before != after && !(before.is_idle() && after.is_idle()) {
            self.mark(at, live);
        }
        if known {
            self.queue(at, now);
        }
    }

    /// Lets a point be looked at again when time alone could change it. One whose time has come and that
    /// is kept all the same (by its outlook) waits for the next value or note.
    fn queue(&mut self, at: At, now: Time) {
        let rule = self.rules.at(self.slots.rule(at));
        let slot = self.slots.get_mut(at);
        if let Some(due) = slot.point.due(rule)
            && due > now
            && slot.queued != Some(due)
        {
            slot.queued = Some(due);
            self.due.push(Reverse((due, at)));
        }
    }

    fn mark(&mut self, at: At, live: &Live) {
        if let Some(key) = self.key(at, live) {
            self.marks.insert(key, at);
        }
    }

    /// Writes down what has changed, the greater targets first, until nothing changes any more.
    fn settle(&mut self, live: &Live, now: Time) {
        while !self.changes.is_empty() {
            let mut changes = std::mem::take(&mut self.changes);
            changes.sort_by_key(|(at, _, _)| *at);
            let mut recount = Vec::new();
            for (at, change, value) in changes {
                self.write_change(at, change, value, live, now);
                self.count(at, live, change == Change::Raised);
                self.counted_at(at, live, &mut recount);
            }
            recount.sort_unstable();
            recount.dedup();
            for at in recount {
                self.look(at, live, now);
            }
        }
        // Also for what was written before: withdrawals, the end of a shelf.
        if self.suppressed_to != Some(self.book.number()) {
            self.suppress(now);
        }
    }

    fn withdraw_hospital(&mut self, hospital: usize, live: &Live, now: Time) {
        let Some(slots) = self.slots.hospitals.get(hospital) else { return };
        let Some(id) = slots.id.clone() else { return };
        let region = slots.region; // the picture no longer has it
        for at in self.slots.of_hospital(hospital) {
            let target = match at {
                At::Ward(_, w, _) => {
                    Target::Ward(id.clone(), self.slots.hospitals[hospital].wards[w as usize].id.clone())
                }
                _ => Target::Scope(Scope::Hospital(id.clone())),
            };
            let rule = self.rules.at(self.slots.rule(at)).name.clone();
            self.forgotten.push(PointKey { rule, target }.to_string());
            if self.slots.get(at).point.active {
                self.count_rule(self.slots.rule(at), region, false);
            }
        }
        let of_it = |target: &Target| match target {
            Target::Scope(Scope::Hospital(of)) | Target::Ward(of, _) => *of == id,
            Target::Scope(_) => false,
        };
        self.withdraw_where(of_it, now);
        self.slots.clear_hospital(hospital);
        self.slots.counting(&self.rules).into_iter().for_each(|at| self.look(at, live, now));
    }

    fn withdraw_where(&mut self, which: impl Fn(&Target) -> bool, now: Time) {
        let gone = self.book.alarms().filter(|(_, alarm)| which(&alarm.raised.point.target));
        let gone: Vec<_> = gone.map(|(id, alarm)| (id.clone(), alarm.state())).collect();
        for (alarm, state) in gone {
            self.withdraw(&alarm, state, now);
        }
    }

    /// Counts an alarm of a rule that stands, or no longer does, in what lies above it.
    fn count(&mut self, at: At, live: &Live, stands: bool) {
        let rule = self.slots.rule(at);
        let region = match at {
            At::Nation(_) => return,
            At::Region(..) => None,
            At::Hospital(h, _) | At::Ward(h, ..) => live.hospital_at(h as usize).map(|sight| sight.region),
        };
        self.count_rule(rule, region, stands);
    }

    fn count_rule(&mut self, rule: usize, region: Option<usize>, stands: bool) {
        let step = |n: &mut u32| *n = if stands { *n + 1 } else { n.saturating_sub(1) };
        let (regions, nation) = &mut self.standing[rule];
        if let Some(region) = region {
            step(&mut regions[region]);
        }
        step(nation);
    }

    /// The points that count alarms of the rule at `at`, in what lies above it.
    fn counted_at(&self, at: At, live: &Live, into: &mut Vec<At>) {
        let counting: Vec<usize> = self.rules.counting(self.slots.rule(at)).collect();
        if counting.is_empty() {
            return;
        }
        let hospital = match at {
            At::Hospital(h, _) | At::Ward(h, ..) => Some(h as usize),
            At::Nation(_) | At::Region(..) => None,
        };
        let region = hospital.and_then(|h| live.hospital_at(h)).map(|sight| sight.region);
        into.extend(
            counting
                .into_iter()
                .filter_map(|rule| self.slots.point_of(rule, self.rules.at(rule).scope, region, hospital)),
        );
    }

    /// What happened since the last call and has to be made durable.
    pub fn take_news(&mut self) -> News {
        let marks = std::mem::take(&mut self.marks);
        let marks = marks.into_iter().filter(|(_, at)| self.slots.exists(*at));
        let marks = marks.map(|(key, at)| (key.to_string(), self.slots.get(at).remembers()));
        let forgotten = std::mem::take(&mut self.forgotten).into_iter().map(|key| (key, None));
        let marks = forgotten.chain(marks).collect();
        News { entries: std::mem::take(&mut self.entries), marks }
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
