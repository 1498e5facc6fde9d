//! What happened at hospitals and is no figure: refused messages, equivocation. Counted over a time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use vardpuls_shared::clock::Time;

/// Kept of each hospital and kind: bursts within a second count as one line.
const KEPT: usize = 1000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incident {
    /// A message on the hospital's topics was refused.
    Refused,
    /// A second, different report was signed for one position.
    Equivocation,
}

/// All that happened of late.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    by_hospital: HashMap<(usize, Incident), VecDeque<(Time, u32)>>,
    changed: Vec<usize>,
}

impl Incidents {
    /// Notes that it happened `count` times.
    pub(super) fn note(&mut self, hospital: usize, incident: Incident, count: u32, now: Time) {
        let times = self.by_hospital.entry((hospital, incident)).or_default();
        match times.back_mut() {
            Some((at, n)) if now.since(*at) < Duration::from_secs(1) => *n = n.saturating_add(count),
            _ => times.push_back((now, count)),
        }
        if times.len() > KEPT {
            times.pop_front();
        }
        self.changed.push(hospital);
    }

    /// How often within `over` until now, and when the oldest of them no longer counts.
    pub(super) fn count(&self, hospital: usize, incident: Incident, over: Duration, now: Time) -> (u32, Option<Time>) {
        let Some(times) = self.by_hospital.get(&(hospital, incident)) else { return (0, None) };
        let recent = || times.iter().filter(|(at, _)| now.since(*at) < over);
        let count = recent().fold(0u32, |sum, (_, n)| sum.saturating_add(*n));
        (count, recent().next().map(|(at, _)| at.plus(over)))
    }

    /// The hospitals where something happened since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<usize> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_asked_for_no_longer_counts() {
        let mut incidents = Incidents::default();
        let minute = Duration::from_mins(1);
        incidents.note(3, Incident::Refused, 2, Time(1_000));
        incidents.note(3, Incident::Refused, 1, Time(31_000));
        assert_eq!(incidents.count(3, Incident::Refused, minute, Time(31_000)), (3, Some(Time(61_000))));
        assert_eq!(incidents.count(3, Incident::Refused, minute, Time(61_000)), (1, Some(Time(91_000))));
        assert_eq!(incidents.count(3, Incident::Refused, minute, Time(91_000)), (0, None));
        assert_eq!(incidents.count(3, Incident::Equivocation, minute, Time(31_000)), (0, None));
        assert_eq!(incidents.take_changed(), vec![3]);
        assert!(incidents.take_changed().is_empty());
    }
}
