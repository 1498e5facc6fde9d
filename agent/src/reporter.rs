//! The reporter: when a report is due.
//!
//! In: snapshots of the census. Out: a [`Decision`]. Pure; time and chance are handed in.
//!
//! # Laws
//! 1. Two reports are never closer than `min_gap`.
//! 2. What changed is reported as soon as the first law lets it; only the newest snapshot counts.
//! 3. Without a change the newest snapshot is reported again after `heartbeat`, and at most
//!    `jitter` later.
//!
//! All three are by the clock that is handed in. When that is set back, the last report counts as
//! made now: the hospital is silent for one gap, not for as long as the clock was ahead.

use std::time::Duration;

use vardpuls_shared::clock::Time;

use crate::census::Snapshot;

/// When reports are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A report at least this often.
    pub heartbeat: Duration,
    /// Never two reports closer than this.
    pub min_gap: Duration,
    /// A random time of up to this is added to the heartbeat.
    pub jitter: Duration,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Report this, then call [`Reporter::sent`].
    Send(Snapshot),
    /// Nothing before this time, unless another snapshot is offered.
    WaitUntil(Time),
    /// Nothing to report yet.
    Idle,
}

/// The reporter of one hospital.
#[derive(Debug)]
pub struct Reporter {
    policy: Policy,
    chance: fastrand::Rng,
    newest: Option<Snapshot>,
    last: Option<Last>,
}

/// The last report.
#[derive(Debug)]
struct Last {
    at: Time,
    snapshot: Snapshot,
    /// Drawn anew for each report.
    heartbeat: Duration,
}

impl Reporter {
    /// A reporter that has not reported yet.
    pub fn new(policy: Policy) -> Reporter {
        Reporter::with_chance(policy, fastrand::Rng::new())
    }

    /// A reporter whose jitter is drawn from `chance`.
    pub fn with_chance(policy: Policy, chance: fastrand::Rng) -> Reporter {
        Reporter { policy, chance, newest: None, last: None }
    }

    /// Takes the census as it stands now; it replaces what was offered before.
    pub fn offer(&mut self, now: Time, snapshot: Snapshot) {
        self.follow(now);
        self.newest = Some(snapshot);
    }

    /// What to do now.
    pub fn next(&mut self, now: Time) -> Decision {
        self.follow(now);
        let Some(newest) = &self.newest else { return Decision::Idle };
        let due = match &self.last {
            None => now,
            Some(last) if last.snapshot != *newest => last.at.plus(self.policy.min_gap),
            Some(last) => last.at.plus(last.heartbeat),
        };
        if due <= now { Decision::Send(newest.clone()) } else { Decision::WaitUntil(due) }
    }

    /// The newest snapshot was reported.
    pub fn sent(&mut self, now: Time) {
        if let Some(snapshot) = self.newest.clone() {
            let jitter = self.policy.jitter.mul_f64(self.chance.f64());
            self.last = Some(Last { at: now, snapshot, heartbeat: self.policy.heartbeat + jitter });
        }
    }

    /// The newest snapshot, if it was not reported: what a stopping agent still has to say.
    pub fn unsent(&self) -> Option<Snapshot> {
        let newest = self.newest.as_ref()?;
        let known = self.last.as_ref().is_some_and(|last| last.snapshot == *newest);
        (!known).then(|| newest.clone())
    }

    /// Notices a clock that was set back.
    fn follow(&mut self, now: Time) {
        if let Some(last) = &mut self.last {
            last.at = last.at.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use vardpuls_shared::count::Counts;

    use super::*;

    const POLICY: Policy =
        Policy { heartbeat: Duration::from_mins(1), min_gap: Duration::from_secs(2), jitter: Duration::from_secs(1) };

    fn reporter(seed: u64) -> Reporter {
        Reporter::with_chance(POLICY, fastrand::Rng::with_seed(seed))
    }

    fn snapshot(occupied: u16) -> Snapshot {
        let counts = Counts { staffed: 10, occupied, ..Counts::default() };
        Snapshot { observed_at: Time(1), wards: BTreeMap::from([(1, counts)]) }
    }

    #[test]
    fn a_change_waits_for_the_gap_and_only_the_newest_is_sent() {
        let mut r = reporter(1);
        let start = Time(1_000_000);
        assert_eq!(r.next(start), Decision::Idle);
        r.offer(start, snapshot(1));
        assert_eq!(r.unsent(), Some(snapshot(1)));
        assert_eq!(r.next(start), Decision::Send(snapshot(1)));
        r.sent(start);
        assert_eq!(r.unsent(), None);
        r.offer(start.plus(POLICY.min_gap / 4), snapshot(2));
        r.offer(start.plus(POLICY.min_gap / 2), snapshot(3));
        assert_eq!(r.next(start.plus(POLICY.min_gap / 2)), Decision::WaitUntil(start.plus(POLICY.min_gap)));
        assert_eq!(r.next(start.plus(POLICY.min_gap)), Decision::Send(snapshot(3)));
    }

    #[test]
    fn a_change_that_is_taken_back_within_the_gap_is_no_change() {
        let mut r = reporter(1);
        r.offer(Time(0), snapshot(1));
        r.sent(Time(0));
        r.offer(Time(500), snapshot(2));
        r.offer(Time(900), snapshot(1));
        assert!(matches!(r.next(Time(5000)), Decision::WaitUntil(at) if at >= Time(60_000)));
    }

    #[test]
    fn what_was_not_sent_stays_due() {
        let mut r = reporter(1);
        r.offer(Time(0), snapshot(1));
        assert_eq!(r.next(Time(0)), Decision::Send(snapshot(1)));
        assert_eq!(r.next(Time(1)), Decision::Send(snapshot(1)));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let mut r = reporter(1);
        let ahead = Time(10_000_000);
        r.offer(ahead, snapshot(1));
        r.sent(ahead);
        let back = Time(1_000);
        r.offer(back, snapshot(2));
        assert_eq!(r.next(back), Decision::WaitUntil(back.plus(POLICY.min_gap)));
    }

    proptest! {
        /// Steps are (milliseconds since the last step, what the census then says).
        #[test]
        fn the_laws_hold(seed: u64, steps in proptest::collection::vec((0u64..20_000, proptest::option::of(0u16..4)), 1..200)) {
            let mut r = reporter(seed);
            let mut now = Time(1_700_000_000_000);
            let mut sent: Option<(Time, Snapshot)> = None;
            let mut said: Option<(Time, Snapshot)> = None;
            for (wait, change) in steps {
                // Walks to the step by the reporter's own wakes, as the agent does.
                let target = now.plus(Duration::from_millis(wait));
                loop {
                    match r.next(now) {
                        Decision::Send(snapshot) => {
                            let (offered, newest) = said.clone().expect("nothing is sent that was not offered");
                            prop_assert_eq!(&snapshot, &newest);
                            if let Some((last, before)) = &sent {
                                let gap = now.since(*last);
                                prop_assert!(gap >= POLICY.min_gap);
                                if *before == snapshot {
                                    prop_assert!(gap >= POLICY.heartbeat && gap <= POLICY.heartbeat + POLICY.jitter);
                                } else {
                                    prop_assert!(now == offered || gap == POLICY.min_gap);
                                }
                            }
                            r.sent(now);
                            sent = Some((now, snapshot));
                        }
                        Decision::WaitUntil(at) if at <= target => {
                            prop_assert!(at > now);
                            now = at;
                        }
                        Decision::WaitUntil(_) => break,
                        Decision::Idle => {
                            prop_assert!(said.is_none());
                            break;
                        }
                    }
                }
                now = target;
                if let Some(occupied) = change {
                    r.offer(now, snapshot(occupied));
                    if said.as_ref().is_none_or(|(_, before)| *before != snapshot(occupied)) {
                        said = Some((now, snapshot(occupied)));
                    }
                }
            }
        }
    }
}
