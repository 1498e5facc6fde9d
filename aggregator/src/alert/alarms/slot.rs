//! One point where it lives: its state, what it learns, what it remembers over a restart.

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;

use crate::alert::past::Past;
use crate::alert::point::Point;
use crate::alert::rules::Rules;

/// One point.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its rule's place in the set.
    rule: u32,
    pub(super) point: Point,
    /// The earliest time at which the heap has it.
    pub(super) queued: Option<Time>,
    /// What it learns, where its rule asks for it.
    pub(super) past: Option<Box<Past>>,
}

/// What a point would miss after a restart.
#[derive(Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    point: Point,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<Box<Past>>,
}

impl Slot {
    pub(super) fn new(rule: usize, rules: &Rules) -> Slot {
        let past = Past::for_rule(rules.at(rule)).map(Box::new);
        Slot {
            rule: u32::try_from(rule).expect("there are fewer rules than 2^32"),
            point: Point::default(),
            queued: None,
            past,
        }
    }

    /// The place of its rule.
    pub(super) fn rule(&self) -> usize {
        self.rule as usize
    }

    /// Whether anything is going on: it stands, waits, or learns.
    pub(super) fn is_awake(&self) -> bool {
        self.past.is_some() || !self.point.is_at_rest()
    }

    /// Whether it would miss anything after a restart.
    pub(super) fn has_mark(&self) -> bool {
        !self.point.is_idle() || self.past.is_some()
    }

    /// What it would miss after a restart; none where there is nothing.
    pub(super) fn remembers(&self) -> Option<Vec<u8>> {
        if !self.has_mark() {
            return None;
        }
        let remembered = Remembered { point: self.point, past: self.past.clone() };
        Some(serde_json::to_vec(&remembered).expect("numbers and times have a JSON form"))
    }

    /// Takes back what it would have missed; what cannot be read was written by another version.
    pub(super) fn recall(&mut self, mark: &[u8]) {
        let Ok(remembered) = serde_json::from_slice::<Remembered>(mark) else { return };
        self.point = remembered.point.standing(self.point.active);
        if let (Some(past), Some(remembered)) = (&mut self.past, remembered.past) {
            *past = remembered;
        }
    }
}

/// Which of a target's points have something going on: bit by place. The others need not even be read to know
/// that they stay as they are, which matters where there are many times more of them than a cache holds.
#[derive(Debug)]
pub(super) struct Awake(u64);

impl Default for Awake {
    /// Whatever has not been judged yet.
    fn default() -> Awake {
        Awake(u64::MAX)
    }
}

impl Awake {
    /// Of the points beyond the bits all are taken to be awake.
    pub(super) fn has(&self, n: u32) -> bool {
        n >= u64::BITS || self.0 >> n & 1 == 1
    }

    pub(super) fn set(&mut self, n: u32, awake: bool) {
        if n < u64::BITS {
            self.0 = self.0 & !(1 << n) | u64::from(awake) << n;
        }
    }
}
