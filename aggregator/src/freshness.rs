//! Whether a report may still be relied on. Pure; time is an argument.
//!
//! The agent's clock dates the observation, the centre's clock decides freshness. The two meet in a
//! hospital's *offset*: the least (received − observed) among its newest reports.
//!
//! - A clock that is ahead gives a negative offset at once, and the report is dated back.
//! - A report that comes late from a backlog has a large (received − observed) of its own, which the
//!   least does not follow: it is seen to be old.
//! - A clock that is behind gives a positive offset throughout, and is tolerated.
//!
//! A report holds from `observed + offset` for as long as it says. Skew is a flag, never a loss.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Freshness;

/// `observed_at` on the centre's clock.
fn dated(observed_at: Time, offset_ms: i64) -> Time {
    Time(observed_at.0.saturating_add_signed(offset_ms))
}

/// Until when a report holds, by the centre's clock.
pub fn until(observed_at: Time, valid_for: u32, offset_ms: i64) -> Time {
    dated(observed_at, offset_ms).plus(Duration::from_secs(valid_for.into()))
}

/// What a report that holds until `until` is worth at `now`. `vouches`: it counts at least one ward.
pub fn judge(until: Time, vouches: bool, now: Time) -> Freshness {
    match (vouches, now < until) {
        (false, _) => Freshness::Unknown,
        (true, true) => Freshness::Fresh,
        (true, false) => Freshness::Stale,
    }
}

/// How far the agent's clock is ahead of the centre's, in ms, where that is more than `tolerance`.
pub fn clock_flag(offset_ms: i64, tolerance: Duration) -> Option<i64> {
    let off = Duration::from_millis(offset_ms.unsigned_abs()) > tolerance;
    off.then(|| offset_ms.saturating_neg())
}

/// When each hospital's report ends. Expiry costs what expires, whatever else there is.
///
/// Renewing a report does not touch the heap: its old entry comes up once, at the old time, and is
/// put back at the new one. `hospital` is the live picture's index.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, usize)>>,
    /// By hospital: the end that holds, and the earliest entry in the heap.
    hospitals: Vec<(Option<Time>, Option<Time>)>,
}

impl Deadlines {
    /// Sets, moves or removes a hospital's end.
    pub fn set(&mut self, hospital: usize, end: Option<Time>) {
        if self.hospitals.len() <= hospital {
            self.hospitals.resize(hospital + 1, (None, None));
        }
        let (current, queued) = &mut self.hospitals[hospital];
        *current = end;
        if let Some(end) = end
            && queued.is_none_or(|at| end < at)
        {
            *queued = Some(end);
            self.heap.push(Reverse((end, hospital)));
        }
    }

    /// A hospital whose end has come by `now`, and no longer stands here; none when there is no more.
    pub fn due(&mut self, now: Time) -> Option<usize> {
        loop {
            let &Reverse((at, hospital)) = self.heap.peek()?;
            if at > now {
                return None;
            }
            self.heap.pop();
            let (current, queued) = &mut self.hospitals[hospital];
            if *queued != Some(at) {
                continue; // an earlier entry has taken this one's place
            }
            *queued = None;
            match *current {
                Some(end) if end > now => self.set(hospital, Some(end)),
                Some(_) => {
                    *current = None;
                    return Some(hospital);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn fresh_until_its_end_and_unknown_without_wards() {
        let end = until(Time(1_000), 60, 0);
        assert_eq!(end, Time(61_000));
        assert_eq!(judge(end, true, Time(60_999)), Freshness::Fresh);
        assert_eq!(judge(end, true, Time(61_000)), Freshness::Stale);
        assert_eq!(judge(end, false, Time(1_000)), Freshness::Unknown);
    }

    #[test]
    fn a_clock_ahead_does_not_stretch_a_reports_life() {
        let received = Time(10_000_000);
        let observed = Time(received.0 + 3_600_000);
        assert_eq!(until(observed, 60, received.offset_from(observed)), Time(received.0 + 60_000));
    }

    #[test]
    fn the_flag_says_how_far_ahead_beyond_the_tolerance() {
        let tolerance = Duration::from_mins(1);
        assert_eq!(clock_flag(MINUTE, tolerance), None);
        assert_eq!(clock_flag(-2 * MINUTE, tolerance), Some(2 * MINUTE));
        assert_eq!(clock_flag(2 * MINUTE, tolerance), Some(-2 * MINUTE));
        assert_eq!(clock_flag(i64::MIN, tolerance), Some(i64::MAX));
    }

    proptest! {
        /// Against a plain map of ends.
        #[test]
        fn exactly_what_is_over_comes_due(steps in proptest::collection::vec((0usize..5, proptest::option::of(0u64..60), 0u64..8), 1..60)) {
            let (mut deadlines, mut plain, mut now) = (Deadlines::default(), BTreeMap::new(), 0u64);
            for (hospital, end, pass) in steps {
                deadlines.set(hospital, end.map(Time));
                plain.insert(hospital, end);
                now += pass;
                let mut due: Vec<_> = std::iter::from_fn(|| deadlines.due(Time(now))).collect();
                due.sort_unstable();
                let expected: Vec<_> = plain.iter().filter(|(_, e)| e.is_some_and(|e| e <= now)).map(|(&h, _)| h).collect();
                prop_assert_eq!(&due, &expected);
                for h in due {
                    plain.insert(h, None);
                }
            }
        }
    }
}
