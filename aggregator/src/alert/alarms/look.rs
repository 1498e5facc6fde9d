//! Looking at points: those that were touched, those whose time has come, those that learn.
//!
//! A point that the observation would leave as it is costs a comparison and no more.

use std::cmp::Reverse;

use vardpuls_shared::clock::Time;

use super::observe::{Taken, of_beds, sums_of};
use super::slots::{At, Seen};
use super::{Alarms, Incident};
use crate::alert::measure::Measure;
use crate::alert::point::Observation;
use crate::live::Live;
use crate::rollup::Missing;

impl Alarms {
    pub(super) fn look_at_what_is_due(&mut self, live: &Live, now: Time) {
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
    pub(super) fn note(&mut self, live: &Live, now: Time) {
        self.noted = now;
        for at in self.slots.learning(&self.rules) {
            let value = self.observe(at, live, now, &mut Taken::default()).and_then(|seen| seen.value);
            // First the judgement, then the learning: a value is not measured against itself.
            self.look(at, live, now);
            let slot = self.slots.get_mut(at);
            let rule = self.rules.at(slot.rule());
            let past = slot.past.as_mut().expect("learning points have a past");
            if value.is_some_and(|value| past.note(rule, now, self.hour, value)) {
                self.marks.push(at);
            }
        }
    }

    pub(super) fn look_at_hospital(&mut self, hospital: usize, live: &Live, now: Time) {
        let Some(sight) = live.hospital_at(hospital) else {
            return self.withdraw_hospital(hospital, live, now);
        };
        self.move_to_region(hospital, sight.region, live, now);
        let gone = self.slots.keep_step(hospital, &sight, &self.rules);
        if !gone.is_empty() {
            self.withdraw_wards(hospital, &gone, live, now);
        }
        let own = self.slots.hospitals[hospital].own.len();
        self.look_at_all((0..own).map(|n| At::hospital(hospital, n)), live, now);
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
                self.judge_one(at, of_beds(rule, &sums, Missing::default()), now);
            }
        }
    }

    pub(super) fn look_at_incidents(&mut self, hospital: usize, live: &Live, now: Time) {
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
        self.look_at_all(std::iter::once(at), live, now);
    }

    /// Looks at points, best those of one target side by side.
    pub(super) fn look_at_all(&mut self, points: impl Iterator<Item = At>, live: &Live, now: Time) {
        let mut taken = Taken::default();
        for at in points {
            if let Some(seen) = self.observe(at, live, now, &mut taken) {
                self.judge_one(at, seen, now);
            }
        }
    }

    fn judge_one(&mut self, at: At, raw: Observation, now: Time) {
        let rule = self.rules.at(self.slots.rule(at));
        // Nearly all of them, nearly always.
        if self.slots.rests(at) && raw.value.is_none_or(|value| !rule.raises(value)) {
            return;
        }
        let slot = self.slots.get_mut(at);
        let mut seen = raw;
        if let (Some(past), Some(value)) = (&slot.past, raw.value) {
            seen.value = past.measured(rule, now, self.hour, value);
        }
        if slot.point.is_unmoved_by(rule, &seen) {
            return self.slots.note_rest(at);
        }
        let before = slot.point;
        let expected =
            slot.past.as_ref().zip(raw.value).and_then(|(past, value)| past.expected(rule, self.hour, value));
        let change = slot.point.judge(rule, &seen, expected, now);
        let (after, known) = (slot.point, seen.value.is_some());
        if let Some(change) = change {
            self.changes.push((at, change, seen.value));
        }
        if before != after && !(before.is_idle() && after.is_idle()) {
            self.marks.push(at);
        }
        if known {
            self.queue(at, now);
        }
        self.slots.note_rest(at);
    }

    /// Lets a point be looked at again when time alone could change it. One whose time has come and that
    /// is kept all the same (by its outlook) waits for the next value or note.
    pub(super) fn queue(&mut self, at: At, now: Time) {
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
}
