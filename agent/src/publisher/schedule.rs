//! What to send next, and when. Pure: instants come in, steps come out.
//!
//! Three things want to be sent, in this order:
//! 1. *Live reports*: appended while connected; at once, newest first.
//! 2. *A pass*: everything that the outbox holds, newest first. Its first report goes at once, so
//!    that the live picture heals; the rest follow at a bounded rate. A pass begins after each
//!    connect, because nobody knows what of the last session arrived, and after a check that found
//!    something.
//! 3. *Checks*: whether anything that was sent before the last check still has no receipt. The
//!    centre may have been down while the broker stayed up. Each check that finds something begins
//!    a pass and doubles the time to the next one; any receipt brings it back to the shortest. Once
//!    nothing is held any more there is nothing to check until the next report.
//!
//! Whatever was sent is sent again within two receipt time-outs unless a receipt came, and memory
//! does not grow with the backlog: a pass is a cursor, and the outbox knows what is still held.
//!
//! These are times of the transport, so they are monotonic instants, not the clock that dates reports.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How many live reports may wait for a slow connection; older ones are left to the next check.
const MAX_LIVE: usize = 64;

/// How fast, how patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Reports a second in a pass, behind its first.
    pub backlog_rate: u32,
    /// The first time-out for a receipt.
    pub receipt: Duration,
    /// The longest time-out for a receipt.
    pub receipt_max: Duration,
}

/// What the publisher should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this live report.
    Live(u64),
    /// Send the newest held report below this sequence.
    Below(u64),
    /// Look whether anything is held below this sequence.
    Check(u64),
    /// Nothing before this instant.
    WaitUntil(Instant),
    /// Nothing until something happens.
    Idle,
}

#[derive(Debug, Clone, Copy)]
struct Pass {
    below: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Check {
    below: u64,
    at: Instant,
}

/// The state of one connection's sending. Sequences are those of one epoch.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    live: BTreeSet<u64>,
    pass: Option<Pass>,
    /// None: not connected.
    check: Option<Check>,
    /// Nothing is held, and nothing was appended since.
    settled: bool,
    timeout: Duration,
    next: u64,
}

impl Schedule {
    /// Not connected yet.
    pub fn new(pace: Pace) -> Schedule {
        Schedule {
            pace,
            live: BTreeSet::new(),
            pass: None,
            check: None,
            settled: false,
            timeout: pace.receipt,
            next: 1,
        }
    }

    /// A connection stands, and the outbox will give `next` to its next report.
    pub fn connected(&mut self, now: Instant, next: u64) {
        self.next = next;
        self.timeout = self.pace.receipt;
        self.settled = false;
        self.live.clear();
        self.pass = Some(Pass { below: next, at: now });
        self.check = Some(Check { below: next, at: now + self.timeout });
    }

    /// The connection is gone; the next one begins with everything.
    pub fn disconnected(&mut self) {
        self.live.clear();
        self.pass = None;
        self.check = None;
    }

    /// The outbox has given out every sequence below `next`.
    pub fn appended(&mut self, now: Instant, next: u64) {
        if let Some(check) = &mut self.check {
            if self.settled {
                *check = Check { below: next, at: now + self.timeout };
            }
            self.settled = false;
            let first = self.next.max(next.saturating_sub(MAX_LIVE as u64));
            self.live.extend(first..next);
            while self.live.len() > MAX_LIVE {
                self.live.pop_first();
            }
        }
        self.next = self.next.max(next);
    }

    /// What to do now. Ask again after doing it.
    pub fn next(&self, now: Instant) -> Step {
        let Some(check) = self.check else { return Step::Idle };
        if let Some(&newest) = self.live.last() {
            return Step::Live(newest);
        }
        match self.pass {
            Some(pass) if pass.at <= now => Step::Below(pass.below),
            Some(pass) => Step::WaitUntil(pass.at),
            None if self.settled => Step::Idle,
            None if check.at <= now => Step::Check(check.below),
            None => Step::WaitUntil(check.at),
        }
    }

    /// [`Step::Live`] was done: sent, or no longer held.
    pub fn live_done(&mut self, sequence: u64) {
        self.live.remove(&sequence);
    }

    /// [`Step::Below`] was done: this sequence was sent, or nothing was left.
    pub fn below_done(&mut self, now: Instant, sent: Option<u64>) {
        let Some(pass) = &mut self.pass else { return };
        if let Some(sequence) = sent {
            pass.below = sequence;
            pass.at = now + Duration::from_secs(1) / self.pace.backlog_rate.max(1);
        } else {
            self.pass = None;
            self.check = self.check.map(|_| Check { below: self.next, at: now + self.timeout });
        }
    }

    /// [`Step::Check`] was done: something below its sequence is held, or not.
    pub fn check_done(&mut self, now: Instant, held: bool) {
        let Some(check) = &mut self.check else { return };
        if held {
            self.pass = Some(Pass { below: check.below, at: now });
            self.timeout = (self.timeout * 2).min(self.pace.receipt_max);
        } else {
            *check = Check { below: self.next, at: now + self.timeout };
        }
    }

    /// A receipt came: the centre is there. `settled`: nothing is held any more.
    pub fn receipted(&mut self, now: Instant, settled: bool) {
        self.timeout = self.pace.receipt;
        self.settled = settled;
        if let Some(check) = &mut self.check {
            check.at = check.at.min(now + self.timeout);
        }
    }

    /// Whether live reports still wait to be sent.
    pub fn has_live(&self) -> bool {
        !self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { backlog_rate: 50, receipt: Duration::from_secs(10), receipt_max: Duration::from_mins(5) };

    /// An outbox and a broker, in a few sets.
    struct World {
        schedule: Schedule,
        now: Instant,
        next: u64,
        held: BTreeSet<u64>,
        sent: Vec<(Instant, u64, bool)>,
    }

    impl World {
        fn new(held: u64) -> World {
            let next = held + 1;
            World {
                schedule: Schedule::new(PACE),
                now: Instant::now(),
                next,
                held: (1..next).collect(),
                sent: Vec::new(),
            }
        }

        fn connect(&mut self) {
            self.schedule.connected(self.now, self.next);
        }

        fn append(&mut self) {
            self.held.insert(self.next);
            self.next += 1;
            self.schedule.appended(self.now, self.next);
        }

        /// Does what there is to do until `until`.
        fn run(&mut self, until: Instant) {
            loop {
                match self.schedule.next(self.now) {
                    Step::Live(s) => {
                        if self.held.contains(&s) {
                            self.sent.push((self.now, s, true));
                        }
                        self.schedule.live_done(s);
                    }
                    Step::Below(below) => {
                        let found = self.held.range(..below).next_back().copied();
                        self.sent.extend(found.map(|s| (self.now, s, false)));
                        self.schedule.below_done(self.now, found);
                    }
                    Step::Check(below) => {
                        let held = self.held.range(..below).next().is_some();
                        self.schedule.check_done(self.now, held);
                    }
                    Step::WaitUntil(at) if at <= until => self.now = at,
                    Step::WaitUntil(_) | Step::Idle => break,
                }
            }
            self.now = until;
        }
    }

    #[test]
    fn after_a_connect_the_newest_goes_at_once_and_the_backlog_newest_first_at_its_rate() {
        let mut world = World::new(5);
        world.connect();
        let start = world.now;
        world.run(start);
        assert_eq!(world.sent, vec![(start, 5, false)]);
        world.run(start + Duration::from_millis(30));
        world.append();
        world.run(start + Duration::from_secs(1));
        let order: Vec<u64> = world.sent.iter().map(|s| s.1).collect();
        assert_eq!(order, vec![5, 4, 6, 3, 2, 1]);
        assert_eq!(world.sent[5].0 - start, Duration::from_millis(80));
    }

    #[test]
    fn nothing_is_sent_while_not_connected() {
        let mut world = World::new(3);
        world.append();
        world.run(world.now + Duration::from_secs(100));
        assert!(world.sent.is_empty());
        world.connect();
        world.schedule.disconnected();
        world.append();
        world.run(world.now + Duration::from_secs(100));
        assert!(world.sent.is_empty());
    }

    #[test]
    fn silence_of_the_centre_is_answered_ever_more_slowly_until_a_receipt_comes() {
        let mut world = World::new(1);
        world.connect();
        let start = world.now;
        world.run(start + Duration::from_secs(2000));
        let at: Vec<u64> = world.sent.iter().map(|s| (s.0 - start).as_secs()).collect();
        assert_eq!(at[..5], [0, 10, 30, 70, 150]);
        assert!(at.windows(2).all(|w| w[1] - w[0] <= 301), "{at:?}");
        let sent = at.len();
        world.schedule.receipted(world.now, false);
        world.run(world.now + Duration::from_secs(11));
        assert_eq!(world.sent.len(), sent + 1);
    }

    #[test]
    fn nothing_is_looked_for_while_nothing_is_held() {
        let mut world = World::new(1);
        world.connect();
        world.run(world.now + Duration::from_secs(1));
        world.held.clear();
        world.schedule.receipted(world.now, true);
        assert_eq!(world.schedule.next(world.now + Duration::from_hours(1)), Step::Idle);
        world.run(world.now + Duration::from_hours(1));
        world.append();
        world.run(world.now);
        let sent = world.sent.len();
        world.run(world.now + Duration::from_secs(11));
        assert_eq!(world.sent.len(), sent + 1, "sent again without a receipt");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Append,
        Receipt(prop::sample::Index),
        Pass { ms: u64 },
        Reconnect,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Append),
            3 => any::<prop::sample::Index>().prop_map(Event::Receipt),
            4 => (0u64..20_000).prop_map(|ms| Event::Pass { ms }),
            1 => Just(Event::Reconnect),
        ]
    }

    proptest! {
        #[test]
        fn live_reports_go_at_once_passes_keep_their_rate_and_nothing_unreceipted_is_forgotten(
            backlog in 0u64..200, events in proptest::collection::vec(event(), 0..60),
        ) {
            let mut world = World::new(backlog);
            world.connect();
            for event in events {
                match event {
                    Event::Append => {
                        world.append();
                        let (now, newest) = (world.now, world.next - 1);
                        world.run(now);
                        prop_assert!(world.sent.iter().any(|&(at, s, _)| at == now && s == newest));
                    }
                    Event::Receipt(which) => {
                        if !world.held.is_empty() {
                            let &gone = world.held.iter().nth(which.index(world.held.len())).expect("in range");
                            world.held.remove(&gone);
                        }
                        world.schedule.receipted(world.now, world.held.is_empty());
                    }
                    Event::Pass { ms } => world.run(world.now + Duration::from_millis(ms)),
                    Event::Reconnect => {
                        world.schedule.disconnected();
                        world.connect();
                        world.sent.clear();
                        world.run(world.now);
                    }
                }
            }
            let paced: Vec<Instant> = world.sent.iter().filter(|s| !s.2).map(|s| s.0).collect();
            for window in paced.windows(3) {
                prop_assert!(window[2] - window[0] >= Duration::from_millis(20));
            }
            // Whatever is still held is sent once more within two time-outs and the time of two passes.
            let from = world.now;
            let patience = 2 * PACE.receipt_max + Duration::from_millis(20) * 2 * u32::try_from(world.next).expect("small");
            world.run(from + patience);
            let again: BTreeSet<u64> = world.sent.iter().filter(|s| s.0 >= from).map(|s| s.1).collect();
            prop_assert!(world.held.is_subset(&again), "held {:?} sent {:?}", world.held, again);
        }
    }
}
