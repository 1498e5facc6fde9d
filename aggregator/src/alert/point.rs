//! One rule at one target: the state machine that says when an alarm begins and ends. Pure.
//!
//! In: observations, with the time. Out: [`Change`]s. Invariants, held by property tests:
//! - it raises only at a value that is an alarm: after the raise condition has held for as long as the
//!   rule asks (dips shorter than the rule bridges aside), or at once where it is expected to last;
//! - it clears only after the clear condition has held, without interruption, for as long as the rule asks;
//! - between the two thresholds (the deadband) nothing changes, whatever the sequence;
//! - what is unknown, or known of fewer places than when the alarm began, never clears.

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;

use super::outlook::{CALM, Expected, LONGEST_KEPT};
use super::rule::Rule;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The measured value; none where it is unknown.
    pub value: Option<f64>,
    /// The staffed beds behind it.
    pub staffed: f64,
    /// Which hospitals are missing in it: a fingerprint, 0 where none is.
    pub missing: u64,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The alarm begins.
    Raised,
    /// The alarm's condition has ended.
    Cleared,
}

/// The state of a rule at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Whether its alarm stands; kept by the book.
    #[serde(skip)]
    pub active: bool,
    /// Since when the raise condition holds, while no alarm stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    raise_since: Option<Time>,
    /// Since when it does not, in a dip that may be bridged.
    #[serde(skip_serializing_if = "Option::is_none")]
    dip_since: Option<Time>,
    /// Since when the clear condition holds, while an alarm stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    clear_since: Option<Time>,
    /// When an alarm ended last, where the rule has an outlook.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_at: Option<Time>,
    /// What was missing when the alarm began; 0 once nothing was.
    missing: u64,
}

impl Point {
    /// Takes an observation in. `expected`: what the coming hours are expected to bring, where the rule asks for it.
    pub fn judge(&mut self, rule: &Rule, seen: &Observation, expected: Option<Expected>, now: Time) -> Option<Change> {
        if self.active {
            self.judge_clear(rule, seen, expected, now)
        } else {
            self.judge_raise(rule, seen, expected, now)
        }
    }

    /// Whether it neither stands nor waits: only a value that raises can change it.
    pub fn is_at_rest(&self) -> bool {
        !self.active && self.raise_since.is_none()
    }

    /// Whether [`Point::judge`] would leave it as it is, whatever the time and whatever is expected.
    pub fn is_unmoved_by(&self, rule: &Rule, seen: &Observation) -> bool {
        if !self.active {
            return self.is_at_rest() && seen.value.is_none_or(|value| !rule.raises(value));
        }
        let known = seen.value.filter(|_| seen.missing == 0 || seen.missing == self.missing);
        self.clear_since.is_none()
            && (self.missing == 0 || seen.missing != 0)
            && known.is_none_or(|value| !rule.clears(value, seen.staffed))
    }

    fn judge_raise(
        &mut self,
        rule: &Rule,
        seen: &Observation,
        expected: Option<Expected>,
        now: Time,
    ) -> Option<Change> {
        // A gap in the reports neither ends a rise nor lets it become an alarm.
        let value = seen.value?;
        if !rule.raises(value) {
            if self.raise_since.is_some() && now.since(running(&mut self.dip_since, now)) >= rule.bridge {
                (self.raise_since, self.dip_since) = (None, None);
            }
            return None;
        }
        if self.dip_since.take().is_some_and(|dip| now.since(dip) >= rule.bridge) {
            self.raise_since = None;
        }
        let since = running(&mut self.raise_since, now);
        let calm = self.cleared_at.is_none_or(|ended| now.since(ended) >= CALM);
        let sure = calm && expected.is_some_and(|expected| expected.will_last);
        if now.since(since) < rule.raise.hold && !sure {
            return None;
        }
        *self = Point { active: true, missing: seen.missing, ..Point::default() };
        Some(Change::Raised)
    }

    fn judge_clear(
        &mut self,
        rule: &Rule,
        seen: &Observation,
        expected: Option<Expected>,
        now: Time,
    ) -> Option<Change> {
        if seen.missing == 0 {
            self.missing = 0;
        }
        let known = seen.value.filter(|_| seen.missing == 0 || seen.missing == self.missing);
        if !known.is_some_and(|value| rule.clears(value, seen.staffed)) {
            self.clear_since = None;
            return None;
        }
        let held = now.since(running(&mut self.clear_since, now));
        let kept = held < LONGEST_KEPT && expected.is_some_and(|expected| expected.will_return);
        if held < rule.clear.hold || kept {
            return None;
        }
        *self = Point { cleared_at: rule.outlook.map(|_| now), ..Point::default() };
        Some(Change::Cleared)
    }

    /// Nobody looked between `from` and `to`: what was running stood still.
    pub fn stood_still(&mut self, from: Time, to: Time) {
        for since in [&mut self.raise_since, &mut self.dip_since, &mut self.clear_since].into_iter().flatten() {
            *since = since.plus(to.since(from.max(*since)));
        }
    }

    /// When time alone could change it next.
    pub fn due(&self, rule: &Rule) -> Option<Time> {
        match (self.active, self.dip_since) {
            (true, _) => Some(self.clear_since?.plus(rule.clear.hold)),
            (false, None) => Some(self.raise_since?.plus(rule.raise.hold)),
            (false, Some(_)) => None,
        }
    }

    /// The same point, standing or not as the book has it.
    #[must_use]
    pub fn standing(self, active: bool) -> Point {
        Point { active, ..self }
    }

    /// Whether nothing of it would be missed after a restart.
    pub fn is_idle(&self) -> bool {
        *self == Point { active: self.active, ..Point::default() }
    }
}

/// Since when it runs; from now where it did not, or where the clock was set back.
fn running(since: &mut Option<Time>, now: Time) -> Time {
    let since = since.get_or_insert(now);
    *since = (*since).min(now);
    *since
}

#[cfg(test)]
mod tests;
