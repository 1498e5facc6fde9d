//! What happened at hospitals and is no figure: refused messages, equivocation. Counted over a time.
//!
//! It is remembered over a restart beside the points' marks, as `!<what>@hospital/<hospital>`, which no rule
//! can be called. A mark is made at once where the journal grows, or else once a second: an attack must not
//! make the store write for every message.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;

use super::Mark;
use crate::live::Live;

/// Kept of each hospital and kind: bursts within a second count as one line.
const KEPT: usize = 256;

/// Between two marks of the same thing.
const MARKED_EVERY: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Incident {
    /// A message on the hospital's topics was refused.
    Refused,
    /// A second, different report was signed for one position.
    Equivocation,
}

impl Incident {
    const ALL: [Incident; 2] = [Incident::Refused, Incident::Equivocation];

    fn name(self) -> &'static str {
        match self {
            Incident::Refused => "refused",
            Incident::Equivocation => "equivocation",
        }
    }
}

/// When it happened, and how often then; the oldest first.
type Times = VecDeque<(Time, u32)>;

/// All that happened of late.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    by_hospital: HashMap<(usize, Incident), Times>,
    changed: Vec<usize>,
    unmarked: BTreeSet<(usize, Incident)>,
    marked: Time,
}

fn mark_name(hospital: &HospitalId, incident: Incident) -> String {
    format!("!{}@hospital/{hospital}", incident.name())
}

impl Incidents {
    /// Notes that it happened `count` times.
    pub(super) fn note(&mut self, hospital: usize, incident: Incident, count: u32, now: Time) {
        let times = self.by_hospital.entry((hospital, incident)).or_default();
        match times.back_mut() {
            Some((at, n)) if now.since(*at) < Duration::from_secs(1) => *n = n.saturating_add(count),
            _ => times.push_back((now, count)),
        }
        if times.len() > KEPT
            && let Some((_, oldest)) = times.pop_front()
            && let Some((_, next)) = times.front_mut()
        {
            // Better counted for a little too long than not at all.
            *next = next.saturating_add(oldest);
        }
        self.changed.push(hospital);
        self.unmarked.insert((hospital, incident));
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

    /// What is to be remembered of what happened since the last marks.
    pub(super) fn take_marks(&mut self, at_once: bool, live: &Live, now: Time) -> Vec<Mark> {
        if self.unmarked.is_empty() || !(at_once || now.since(self.marked) >= MARKED_EVERY || now < self.marked) {
            return Vec::new();
        }
        self.marked = now;
        let unmarked = std::mem::take(&mut self.unmarked);
        let mark = |(hospital, incident)| {
            let name = mark_name(live.hospital_at(hospital)?.id(), incident);
            let times = self.by_hospital.get(&(hospital, incident))?;
            Some((name, Some(serde_json::to_vec(times).expect("times and numbers have a JSON form"))))
        };
        unmarked.into_iter().filter_map(mark).collect()
    }

    /// Takes back what a mark remembers. False where it is none of ours, or nothing of it counts any more.
    pub(super) fn recall(&mut self, name: &str, mark: &[u8], over: Duration, live: &Live, now: Time) -> bool {
        let Some((what, hospital)) = name.strip_prefix('!').and_then(|name| name.split_once("@hospital/")) else {
            return false;
        };
        let incident = Incident::ALL.into_iter().find(|incident| incident.name() == what);
        let hospital = hospital.parse().ok().and_then(|id| live.hospital_index(&id));
        let (Some(incident), Some(hospital), Ok(mut times)) =
            (incident, hospital, serde_json::from_slice::<Times>(mark))
        else {
            return false;
        };
        times.retain(|(at, _)| now.since(*at) < over);
        if times.is_empty() || live.hospital_at(hospital).is_none() {
            return false;
        }
        self.by_hospital.insert((hospital, incident), times);
        self.changed.push(hospital);
        true
    }

    /// Forgets a hospital. Returns what its marks become.
    pub(super) fn forget(&mut self, hospital: usize, id: &HospitalId) -> Vec<Mark> {
        let had = Incident::ALL.into_iter().filter(|&of| self.by_hospital.remove(&(hospital, of)).is_some());
        had.map(|incident| (mark_name(id, incident), None)).collect()
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
