//! Single stories. The laws are held by the simulated hospital of the tests crate.

use super::*;
use crate::source::adt::event::Bed;

const HOUR: u64 = 3_600_000;

fn rules(assume_empty: bool) -> Rules {
    let place = |text: &str| PlaceName::parse(text).expect("a place");
    let wards = ["a", "b"].map(|id| (place(&id.to_uppercase()), id.parse::<WardId>().expect("valid")));
    Rules {
        map: Map::new(wards.into(), BTreeSet::from([place("OP")])),
        classes: BTreeSet::from([INPATIENT]),
        assume_empty,
        tombstone: Duration::from_hours(48),
        longest_stay: Duration::from_hours(1000),
    }
}

fn visits(assume_empty: bool) -> Visits {
    Visits::new(rules(assume_empty), Kept::default())
}

fn key(n: u8) -> Key {
    Key([n; 16])
}

fn spot(place: &str) -> Spot {
    let (place, bed) = place.split_once('/').map_or((place, None), |(p, b)| (p, b.parse().ok()));
    Spot { place: PlaceName::parse(place).expect("a place"), bed: bed.map(Bed) }
}

fn said(act: Act, hour: u64, place: &str) -> Said {
    let time = Time(hour * HOUR);
    let when = When { happened: None, recorded: time, sent: time };
    let place = (!place.is_empty()).then(|| spot(place));
    Said { act, when, class: Class::new(b"I"), place, prior: None, admitted: None }
}

fn occupied(visits: &Visits) -> Vec<Option<u16>> {
    let counts = visits.counts();
    ["a", "b"].iter().map(|id| counts.get(&id.parse::<WardId>().expect("valid")).map(|c| c.occupied)).collect()
}

fn extra(visits: &Visits, ward: &str, extra: Extra) -> u16 {
    let id: WardId = ward.parse().expect("valid");
    visits.counts().get(&id).and_then(|c| c.extras.get(&extra).copied()).unwrap_or(0)
}

use vardpuls_shared::count::Extra;

fn snapshot(visits: &mut Visits, hour: u64, a: u16, b: u16) -> usize {
    let ward = |id: &str| id.parse::<WardId>().expect("valid");
    visits.reconcile(&[(ward("a"), (a, Time(hour * HOUR))), (ward("b"), (b, Time(hour * HOUR)))].into())
}

#[test]
fn wards_are_unknown_until_the_first_snapshot_unless_they_begin_empty() {
    let mut v = visits(false);
    v.say(key(1), None, &said(Act::Admit, 1, "A"), Time(0));
    assert_eq!(occupied(&v), [None, None]);
    assert_eq!(snapshot(&mut v, 2, 5, 3), 2);
    assert_eq!(occupied(&v), [Some(5), Some(3)]);
    assert_eq!(extra(&v, "a", Extra::DRIFT), 0, "there was nothing to drift from");
    let mut v = visits(true);
    v.say(key(1), None, &said(Act::Admit, 1, "A"), Time(0));
    assert_eq!(occupied(&v), [Some(1), Some(0)]);
}

#[test]
fn a_snapshot_and_messages_on_their_way_are_not_counted_twice() {
    let mut v = visits(false);
    snapshot(&mut v, 10, 5, 3);
    // Written down before the snapshot, come after it.
    v.say(key(1), None, &said(Act::Admit, 9, "A"), Time(0));
    assert_eq!(occupied(&v), [Some(5), Some(3)]);
    v.say(key(1), None, &said(Act::Transfer, 11, "B"), Time(0));
    assert_eq!(occupied(&v), [Some(4), Some(4)]);
    // One of whom no message ever told leaves.
    v.say(key(2), None, &said(Act::Discharge, 12, "B"), Time(0));
    assert_eq!(occupied(&v), [Some(4), Some(3)]);
    // An older snapshot changes nothing.
    assert_eq!(snapshot(&mut v, 9, 9, 9), 0);
    assert_eq!(snapshot(&mut v, 13, 4, 5), 2);
    assert_eq!(occupied(&v), [Some(4), Some(5)]);
    assert_eq!(extra(&v, "b", Extra::DRIFT), 2);
    assert_eq!(v.reconciled(), (Some(Time(13 * HOUR)), 2));
}

#[test]
fn two_visits_that_become_one_are_one_less() {
    let mut v = visits(true);
    v.say(key(1), None, &said(Act::Admit, 1, "A"), Time(0));
    v.say(key(2), None, &said(Act::Admit, 2, "B"), Time(0));
    v.say(key(2), Some(key(1)), &said(Act::Note, 3, "B"), Time(0));
    assert_eq!(occupied(&v), [Some(0), Some(1)]);
    // What comes under the old number is about the new one.
    v.say(key(1), None, &said(Act::Discharge, 4, "B"), Time(0));
    assert_eq!(occupied(&v), [Some(0), Some(0)]);
}

#[test]
fn numbers_that_go_in_a_circle_end() {
    let mut v = visits(true);
    v.say(key(1), None, &said(Act::Admit, 1, "A"), Time(0));
    v.say(key(2), Some(key(1)), &said(Act::Note, 3, "A"), Time(0));
    v.say(key(1), Some(key(2)), &said(Act::Note, 4, "A"), Time(0));
    assert_eq!(occupied(&v), [Some(1), Some(0)]);
}

#[test]
fn outpatients_are_not_kept_and_a_change_of_class_counts() {
    let mut v = visits(true);
    let class = |act, hour, class: &[u8]| Said { class: Class::new(class), ..said(act, hour, "A") };
    assert_eq!(v.say(key(1), None, &class(Act::Admit, 1, b"O"), Time(0)), Reason::NotCounted);
    assert_eq!(v.sizes(), (0, 0));
    assert_eq!(v.say(key(1), None, &class(Act::Admit, 2, b"I"), Time(0)), Reason::Taken);
    assert_eq!(occupied(&v), [Some(1), Some(0)]);
    v.say(key(1), None, &class(Act::EndInpatient, 3, b"O"), Time(0));
    assert_eq!(occupied(&v), [Some(0), Some(0)]);
}

#[test]
fn leave_and_blocked_beds_are_extras() {
    let mut v = visits(true);
    v.say(key(1), None, &said(Act::Admit, 1, "A/1"), Time(0));
    v.say(key(1), None, &said(Act::Leave, 2, "A/1"), Time(0));
    assert_eq!((occupied(&v)[0], extra(&v, "a", Extra::ON_LEAVE)), (Some(1), 1));
    let when = |hour| said(Act::Note, hour, "").when;
    // A bed with a patient in it is occupied, not blocked.
    v.bed(&spot("A/1"), BedState::Blocked, when(3));
    v.bed(&spot("A/2"), BedState::Blocked, when(3));
    assert_eq!(extra(&v, "a", Extra::BLOCKED), 1);
    v.say(key(1), None, &said(Act::Discharge, 4, "A/1"), Time(0));
    assert_eq!(extra(&v, "a", Extra::BLOCKED), 2);
    v.bed(&spot("A/2"), BedState::Usable, when(5));
    v.bed(&spot("A/2"), BedState::Blocked, when(4));
    assert_eq!(extra(&v, "a", Extra::BLOCKED), 1);
}

#[test]
fn places_that_nobody_mapped_are_named() {
    let mut v = visits(true);
    v.say(key(1), None, &said(Act::Admit, 1, "NEW"), Time(0));
    v.say(key(2), None, &said(Act::Admit, 1, "OP"), Time(0));
    assert_eq!(v.unmapped(10), [("NEW".to_owned(), 1)]);
    assert_eq!(occupied(&v), [Some(0), Some(0)]);
}

#[test]
fn what_is_let_go_changes_no_count() {
    let mut v = visits(false);
    snapshot(&mut v, 10, 5, 3);
    v.say(key(1), None, &said(Act::Discharge, 11, "A"), Time(11 * HOUR));
    v.say(key(2), None, &said(Act::Admit, 11, "B"), Time(11 * HOUR));
    assert_eq!(occupied(&v), [Some(4), Some(4)]);
    assert_eq!(v.expire(Time(50 * HOUR)), 0);
    assert_eq!(v.expire(Time(100 * HOUR)), 1);
    assert_eq!(v.sizes(), (1, 1));
    assert_eq!(occupied(&v), [Some(4), Some(4)]);
    v.forget();
    assert_eq!(v.sizes(), (0, 0));
    assert_eq!(occupied(&v), [Some(4), Some(4)]);
    // What is heard of one of the forgotten goes on from there.
    v.say(key(3), None, &said(Act::Discharge, 102, "B"), Time(102 * HOUR));
    assert_eq!(occupied(&v), [Some(4), Some(3)]);
}

#[test]
fn a_hidden_place_is_counted_once_the_config_names_it_and_called_otherwise_under_another_secret() {
    let (one, other) = (Secret::of(&[1; 32]), Secret::of(&[2; 32]));
    let mut visits = Visits::new(rules(true).under(&one), Kept::default());
    assert_eq!(visits.say(key(1), None, &said(Act::Admit, 1, "Thoraxkirurgi"), Time(HOUR)), Reason::Taken);
    let [(name, 1)] = &visits.unmapped(9)[..] else { panic!("{:?}", visits.unmapped(9)) };
    assert!(name.starts_with("[13 letters] "), "{name}");

    let kept = Kept {
        places: visits.places_from(PlaceNumber(0)).map(|(_, place)| place.clone()).collect(),
        visits: vec![(key(1), visits.visit(key(1)).expect("said").clone())],
        ..Kept::default()
    };
    let ward: WardId = "thx".parse().expect("valid");
    let place = PlaceName::parse("Thoraxkirurgi").expect("a place");
    let named = Rules { map: Map::new([(place, ward.clone())].into(), BTreeSet::new()), ..rules(true) };
    assert_eq!(Visits::new(named.under(&one), kept).counts()[&ward].occupied, 1);

    visits.forget();
    visits.hide_under(&other);
    visits.say(key(2), None, &said(Act::Admit, 3, "Thoraxkirurgi"), Time(3 * HOUR));
    assert_ne!(visits.unmapped(9)[0].0, *name);
}
