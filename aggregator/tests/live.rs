//! The laws of the live picture: a function of what was heard, who is enrolled, and the time.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use vardpuls_aggregator::enrolment::{Enrolment, Key, Registry, State};
use vardpuls_aggregator::live::Live;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::verify::{Verified, verify};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;
use vardpuls_shared::feed::{Coverage, Feed, Figures, Freshness};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_shared::topic::{Scope, Topic};

const START: u64 = 1_700_000_000_000;
const NOW: Time = Time(START + 600_000);
const HOSPITALS: [(&str, &str); 3] = [("a", "01"), ("b", "01"), ("c", "14")];

fn id(text: &str) -> HospitalId {
    text.parse().expect("valid")
}

fn key(hospital: &str) -> SigningKey {
    SigningKey::from_seed(&[hospital.as_bytes()[0]; 32])
}

fn registry(states: &[(&str, &str, State)]) -> Registry {
    let enrolment = |&(hospital, region, state): &(&str, &str, State)| Enrolment {
        hospital: id(hospital),
        name: hospital.to_uppercase(),
        region: region.parse().expect("valid"),
        state,
        keys: vec![Key { public_key: key(hospital).public(), from: None, until: None, revoked: None }],
    };
    states.iter().map(enrolment).collect()
}

fn all() -> Registry {
    registry(&HOSPITALS.map(|(hospital, region)| (hospital, region, State::Enrolled)))
}

fn roster(hospital: &str, generation: u16) -> Roster {
    let ward = |index: u16, care| Ward {
        index,
        id: format!("w{index}").parse().expect("valid"),
        name: format!("Ward {index}, {generation}"),
        care,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    };
    let wards = [ward(1, CareType::Icu), ward(2, CareType::General), ward(2 + generation, CareType::Burn)];
    Roster::new(id(hospital), wards[..if generation == 0 { 2 } else { 3 }].to_vec())
}

fn report(hospital: &str, sequence: u64, generation: u16, occupied: u16) -> Report {
    let counts = |staffed, occupied| Counts { staffed, occupied, ..Counts::default() };
    Report {
        hospital: id(hospital),
        position: Position { epoch: 1, sequence },
        observed_at: Time(START + 20_000 * sequence),
        valid_for: 300,
        roster_version: roster(hospital, generation).version,
        wards: BTreeMap::from([(1, counts(10, occupied)), (3, counts(4, 2))]),
    }
}

fn verified(topic: &Topic, kind: Kind, payload: &[u8], received_at: Time) -> Verified {
    let (Topic::Report(hospital) | Topic::Roster(hospital)) = topic else { panic!("an agent's topic") };
    let envelope = sign(kind, payload, &key(hospital.as_str()));
    verify(&all(), received_at, topic, &envelope).expect("good")
}

fn of_report(report: &Report, received_at: Time) -> Verified {
    verified(&Topic::Report(report.hospital.clone()), Kind::Report, &report.encode(), received_at)
}

fn of_roster(roster: &Roster) -> Verified {
    roster_at(roster, NOW)
}

fn roster_at(roster: &Roster, received_at: Time) -> Verified {
    verified(&Topic::Roster(roster.hospital.clone()), Kind::Roster, &roster.encode(), received_at)
}

fn live() -> Live {
    Live::new(Arc::new(Nation::sweden()), &all(), Duration::from_mins(1))
}

fn apply(live: &mut Live, message: &Verified, now: Time) {
    match message {
        Verified::Report(report) => drop(live.apply(report, now)),
        Verified::Roster(roster) => drop(live.apply_roster(roster, now)),
    }
}

fn picture(live: &Live, now: Time) -> BTreeMap<Scope, Feed> {
    live.scopes().filter_map(|scope| Some((scope.clone(), live.feed(&scope, 1, now)?))).collect()
}

/// Everything that the hospitals of the property tests ever say; signed once.
static SAID: LazyLock<Vec<Verified>> = LazyLock::new(|| {
    let mut said = Vec::new();
    for (hospital, _) in HOSPITALS {
        for generation in 0..3 {
            let received_at = Time(START + u64::from(generation / 2));
            said.extend([received_at, NOW].map(|at| roster_at(&roster(hospital, generation), at)));
        }
        for sequence in 1..=12 {
            let generation = u16::try_from(sequence % 3).expect("small");
            let received_at = Time(START + 20_000 * sequence + 1_000 * (sequence % 5));
            for occupied in if sequence % 4 == 0 { vec![3, 9] } else { vec![5] } {
                said.push(of_report(&report(hospital, sequence, generation, occupied), received_at));
            }
        }
    }
    said
});

fn some_of_it() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..SAID.len(), 0..80)
}

proptest! {
    #[test]
    fn any_order_and_any_duplication_give_the_same_picture(
        (heard, shuffled) in some_of_it().prop_flat_map(|h| (Just(h.clone()), Just([h.clone(), h].concat()).prop_shuffle())),
        times in proptest::collection::vec(0u64..900_000, 0..80),
    ) {
        let (mut plain, mut other) = (live(), live());
        for &at in &heard {
            apply(&mut plain, &SAID[at], NOW);
        }
        plain.expire(NOW);
        // The other hears it while time jumps about, as in a replay.
        for (i, &at) in shuffled.iter().enumerate() {
            let now = times.get(i).map_or(NOW, |t| Time(START + t));
            apply(&mut other, &SAID[at], now);
            other.expire(now);
        }
        other.expire(NOW);
        let (mut plain_then, mut other_then) = (picture(&plain, NOW), picture(&other, NOW));
        prop_assert_eq!(&plain_then, &other_then);
        let later = NOW.plus(Duration::from_secs(200));
        plain.expire(later);
        other.expire(later);
        (plain_then, other_then) = (picture(&plain, later), picture(&other, later));
        prop_assert_eq!(plain_then, other_then);
    }

    #[test]
    fn regions_sum_to_the_nation_and_hospitals_to_their_region(heard in some_of_it(), at in 0u64..900_000) {
        let (mut live, now) = (live(), Time(START + at));
        for &at in &heard {
            apply(&mut live, &SAID[at], now);
        }
        live.expire(now);
        let picture = picture(&live, now);
        let sum = |of: &dyn Fn(&Scope, &Feed) -> bool| {
            let parts = picture.iter().filter(|(scope, feed)| of(scope, feed)).map(|(_, f)| (f.total.available, f.coverage));
            parts.fold((None, 0, 0), |(available, fresh, all), (a, c)| {
                (available.map_or(a, |n| Some(n + a.unwrap_or(0))), fresh + c.fresh, all + c.hospitals)
            })
        };
        let of = |f: &Feed| (f.total.available, f.coverage.fresh, f.coverage.hospitals);
        let nation = of(&picture[&Scope::Nation]);
        prop_assert_eq!(sum(&|scope, _| matches!(scope, Scope::Region(_))), nation);
        prop_assert_eq!(sum(&|scope, _| matches!(scope, Scope::Hospital(_))), nation);
        for (scope, feed) in &picture {
            if let Scope::Region(code) = scope {
                let inside = |_: &Scope, f: &Feed| f.hospital.as_ref().is_some_and(|h| h.region == code.as_str());
                prop_assert_eq!(sum(&inside), of(feed));
            }
        }
    }
}

#[test]
fn what_changed_is_dirty_and_nothing_else() {
    let mut live = live();
    let start = live.take_dirty();
    assert_eq!(start.changed.len(), 1 + 21 + 3);
    assert!(!live.is_dirty());
    apply(&mut live, &of_roster(&roster("c", 0)), NOW);
    apply(&mut live, &of_report(&report("c", 30, 0, 5), NOW), NOW);
    let hospital = Scope::Hospital(id("c"));
    let region = Scope::Region("14".parse().expect("valid"));
    assert_eq!(live.take_dirty().changed, [Scope::Nation, region, hospital.clone()]);
    // The same counts again: only the hospital's own times are new.
    apply(&mut live, &of_report(&report("c", 31, 0, 5), NOW), NOW);
    assert_eq!(live.take_dirty().changed, [hospital]);
}

#[test]
fn wards_that_the_roster_does_not_have_are_left_out_and_named_once() {
    let mut live = live();
    apply(&mut live, &of_roster(&roster("a", 0)), NOW);
    for (sequence, first) in [(29, true), (30, false)] {
        let Verified::Report(report) = of_report(&report("a", sequence, 0, 5), NOW) else { panic!("a report") };
        let applied = live.apply(&report, NOW).expect("enrolled");
        assert_eq!((applied.unknown_wards, applied.first_unknown), (1, first));
    }
    let feed = live.feed(&Scope::Nation, 1, NOW).expect("there");
    assert_eq!((feed.total.wards, feed.total.staffed), (1, Some(10)));
}

#[test]
fn a_report_turns_stale_with_the_clock_and_fresh_again_when_it_is_set_back() {
    let mut live = live();
    apply(&mut live, &of_roster(&roster("a", 0)), NOW);
    apply(&mut live, &of_report(&report("a", 30, 0, 5), NOW), NOW);
    let state = |live: &Live| {
        let feed = live.feed(&Scope::Hospital(id("a")), 1, NOW).expect("there");
        (feed.hospital.expect("a hospital").state, feed.total.staffed)
    };
    for _ in 0..2 {
        live.expire(NOW);
        assert_eq!(state(&live), (Freshness::Fresh, Some(10)));
        live.expire(NOW.plus(Duration::from_mins(5)));
        assert_eq!(state(&live), (Freshness::Stale, None));
    }
    live.expire(Time(0));
    assert_eq!(state(&live).0, Freshness::Fresh);
}

#[test]
fn a_suspended_hospital_counts_nowhere_and_returns_as_it_was() {
    let mut live = live();
    apply(&mut live, &of_roster(&roster("a", 0)), NOW);
    apply(&mut live, &of_report(&report("a", 30, 0, 5), NOW), NOW);
    live.expire(NOW);
    let before = picture(&live, NOW);
    live.take_dirty();

    live.enrol(
        &registry(&[("a", "01", State::Suspended), ("b", "01", State::Enrolled), ("c", "14", State::Enrolled)]),
        NOW,
    );
    let nation = live.feed(&Scope::Nation, 1, NOW).expect("there");
    assert_eq!((nation.total, nation.care.len()), (Figures::default(), 0));
    assert_eq!(nation.coverage, Coverage { hospitals: 2, fresh: 0, stale: 0, unknown: 2 });
    assert_eq!(live.take_dirty().gone, [id("a")]);
    assert_eq!(live.feed(&Scope::Hospital(id("a")), 1, NOW), None);

    live.enrol(&all(), NOW);
    assert_eq!(picture(&live, NOW), before);
}

#[test]
fn a_hospital_that_moves_takes_its_figures_with_it() {
    let mut live = live();
    apply(&mut live, &of_roster(&roster("a", 0)), NOW);
    apply(&mut live, &of_report(&report("a", 30, 0, 5), NOW), NOW);
    live.enrol(&registry(&[("a", "12", State::Enrolled)]), NOW);
    let staffed = |code: &str| live.feed(&Scope::Region(code.parse().expect("valid")), 1, NOW).map(|f| f.total.staffed);
    assert_eq!((staffed("01"), staffed("12")), (Some(None), Some(Some(10))));
}

#[test]
fn a_clock_that_is_off_is_flagged_and_nothing_is_lost() {
    let mut live = live();
    apply(&mut live, &of_roster(&roster("a", 0)), NOW);
    let ahead = Report { observed_at: NOW.plus(Duration::from_mins(90)), ..report("a", 1, 0, 5) };
    apply(&mut live, &of_report(&ahead, NOW), NOW);
    let detail = live.feed(&Scope::Hospital(id("a")), 1, NOW).and_then(|f| f.hospital).expect("there");
    assert_eq!((detail.state, detail.clock_offset_ms), (Freshness::Fresh, Some(90 * 60_000)));
    assert_eq!(live.clocks_flagged(), 1);
    live.expire(NOW.plus(Duration::from_mins(5)));
    assert_eq!(live.coverage().stale, 1);
}
