//! The census of messages held against a simulated hospital: `vardpuls_tests::adt` says how it is simulated.
//!
//! Thousands of hospital days, each from bytes in chunks to counts, held against the truth after every message.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use vardpuls_agent::source::adt::frame::framed;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Extra;
use vardpuls_tests::adt::arrived::Arrived;
use vardpuls_tests::adt::line::{Arrival, Disturbance, What, carry};
use vardpuls_tests::adt::receiver::{Receiver, rules};
use vardpuls_tests::adt::sender::Sender;
use vardpuls_tests::adt::truth::{self, Days, Plan};

/// 2026-01-12, far from any change of the clocks.
const FROM: Time = Time(1_768_176_000_000);

const DAYS: u64 = 8;

/// How the agent's own life goes meanwhile.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Minutes by which its clock is ahead of the sender's, or behind.
    skew: i64,
    /// Whether it is started again now and then.
    restarts: bool,
    /// Whether it changes its secret in the middle.
    rotates: bool,
}

/// How far the census was held against the truth.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    /// Wards that were held against one number.
    exact: u64,
    /// Wards that were held against bounds.
    bounded: u64,
    /// Wards whose leave and blocked beds were held against the truth.
    extras: u64,
    /// Snapshots after which every ward had one number.
    healed: u64,
}

fn simulated(seed: u64) -> (Days, Sender) {
    let (grain, sender) = ([1, 1000, 60_000][usize::try_from(seed % 3).expect("small")], Sender::with_seed(seed));
    let (grain, history) = (Duration::from_millis(grain), sender.says_when);
    (truth::simulate(Plan { seed, days: DAYS, a_day: 70, grain, from: FROM, history }), sender)
}

/// What happened to the visits of a message, for whoever has to find out why.
fn story(days: &Days, told: usize) -> String {
    let mut story = format!("{} of {}", days.told[told].trigger, days.told[told].at);
    for thread in &days.told[told].threads {
        let _ = write!(story, "\n  thread {thread}:");
        for told in &days.threads[*thread].told {
            let truth::Told { at, happened, trigger, groups, threads, .. } = &days.told[*told];
            let seconds = |time: &Time| (time.0.cast_signed() - days.from.0.cast_signed()) / 1000;
            let (at, happened) = (seconds(at), seconds(happened));
            let _ = write!(story, "\n    message {told} at {at} s {trigger} happened {happened} s {threads:?}");
            for group in groups {
                let _ = write!(story, " {}{:?} {} {:?}", group.number, group.before, group.class, group.spot);
            }
        }
    }
    story
}

/// Plays arrivals into an agent's census, and holds it against the truth after each.
fn play(days: &Days, arrivals: Vec<Arrival>, life: Life, seed: u64) -> Result<Held, TestCaseError> {
    let (mut rng, mut held) = (Rng::with_seed(seed), Held::default());
    let folder = tempfile::tempdir().expect("a folder");
    let own = |at: Time| Time(at.0.saturating_add_signed(life.skew * 60_000));
    let has_snapshots = arrivals.iter().any(|arrival| matches!(arrival.what, What::Snapshot(_)));
    let mut receiver = Receiver::open(folder.path(), rules(!has_snapshots), own(days.from)).expect("a store");
    let mut arrived = Arrived::new(days);
    let (mut hour, mut rotates, mut is_anchored) = (days.from, life.rotates, !has_snapshots);
    let (number, mut came) = (arrivals.len(), Vec::new());
    for (n, arrival) in arrivals.into_iter().enumerate() {
        let now = own(arrival.at);
        if arrival.at >= hour {
            receiver.expire(now);
            hour = arrival.at.plus(Duration::from_hours(1));
        }
        if life.restarts && n % (number / 4).max(1) == 1 {
            receiver = receiver.restart(now).expect("a store");
        }
        let what = match arrival.what {
            What::Snapshot(taken) => {
                receiver.reconcile(arrived.reconcile(taken), taken);
                is_anchored = true;
                held.healed += u64::from(arrived.is_exact());
                if rotates && n > number / 2 {
                    receiver.rotate().expect("a store");
                    arrived.forget();
                    rotates = false;
                }
                format!("the snapshot of {taken}")
            }
            What::Message { told, bytes } => {
                let mut stream = Vec::new();
                framed(&bytes, &mut stream);
                let cut = rng.usize(1..stream.len());
                let before = receiver.counts();
                prop_assert!(receiver.take(&stream[..cut], now).is_empty());
                prop_assert_eq!(receiver.counts(), before, "half a message says nothing");
                let reasons = receiver.take(&stream[cut..], now);
                prop_assert_eq!(reasons.len(), 1);
                arrived.take(told);
                came.push(told);
                format!("{:?} {}", reasons[0], story(days, told))
            }
        };
        let (counts, expected) = (receiver.counts(), arrived.expected());
        prop_assert_eq!(counts.is_empty(), !is_anchored);
        for (ward, count) in &counts {
            let bounds = &expected.occupied[ward];
            let shown =
                || format!("{ward} holds {}, not {bounds:?}, after {what}; messages came as {came:?}", count.occupied);
            prop_assert!(bounds.contains(&i64::from(count.occupied)), "{}", shown());
            *(if bounds.start() == bounds.end() { &mut held.exact } else { &mut held.bounded }) += 1;
            if let Some(extras) = &expected.extras {
                let extra = |extra| count.extras.get(&extra).copied().unwrap_or(0);
                let found = (extra(Extra::ON_LEAVE), extra(Extra::BLOCKED));
                prop_assert_eq!(found, extras[ward], "leave and blocked of {} after {}", ward, what);
                held.extras += 1;
            }
        }
    }
    Ok(held)
}

fn life() -> impl Strategy<Value = Life> {
    // Each of the two waits for the disk.
    let seldom = || proptest::bool::weighted(0.2);
    (-10i64..=10, seldom(), seldom()).prop_map(|(skew, restarts, rotates)| Life { skew, restarts, rotates })
}

/// Four properties of so many hospitals for eight days each are thousands of days.
const HOSPITALS: u32 = 63;

/// The same hospitals every time, so that a commit is judged by what it changes. `PROPTEST_CASES` asks for more, and others.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(2026) };
    // Whatever is found is a seed; there is nothing to shrink in it.
    let cases = asked.unwrap_or(HOSPITALS);
    ProptestConfig { cases, rng_seed, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn in_order_the_census_is_the_truth_after_every_message(seed in any::<u64>(), life in life()) {
        let (days, sender) = simulated(seed);
        let quiet = Disturbance { repeated: 5, ..Disturbance::default() };
        let arrivals = carry(&days, &sender, quiet, seed);
        let held = play(&days, arrivals, Life { rotates: false, ..life }, seed)?;
        prop_assert_eq!(held.bounded, 0);
        prop_assert_eq!(held.extras, held.exact);
    }

    #[test]
    fn repeated_late_and_replayed_messages_change_nothing_but_their_own_visit(seed in any::<u64>(), life in life()) {
        let (days, sender) = simulated(seed);
        let wild = Disturbance { repeated: 10, replayed: 10, resent: 10, late: 15, ..Disturbance::default() };
        let arrivals = carry(&days, &sender, wild, seed);
        let held = play(&days, arrivals, Life { rotates: false, ..life }, seed)?;
        prop_assert!(held.exact > held.bounded, "{held:?}");
    }

    #[test]
    fn snapshots_on_their_way_are_neither_counted_twice_nor_lost(seed in any::<u64>(), life in life()) {
        let (days, sender) = simulated(seed);
        let wild = Disturbance {
            repeated: 5, replayed: 5, resent: 5, late: 5, deaf_hours: seed % 30, snapshot_every: Some(6),
            ..Disturbance::default()
        };
        let arrivals = carry(&days, &sender, wild, seed);
        let held = play(&days, arrivals, life, seed)?;
        prop_assert!(held.healed > 3, "{held:?}");
    }

    #[test]
    fn what_was_lost_is_right_again_with_the_next_snapshot(seed in any::<u64>(), life in life()) {
        let (days, sender) = simulated(seed);
        let lossy = Disturbance {
            repeated: 5, replayed: 5, lost: 10, snapshot_every: Some(6), ..Disturbance::default()
        };
        let arrivals = carry(&days, &sender, lossy, seed);
        let held = play(&days, arrivals, life, seed)?;
        prop_assert!(held.healed > 3, "{held:?}");
    }
}
