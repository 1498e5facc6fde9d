//! The store through real files.

use std::collections::BTreeSet;
use std::time::Duration;

use vardpuls_shared::hospital::WardId;

use super::*;
use crate::source::adt::event::{Act, Bed, Class, Said, Spot, When};
use crate::source::adt::place::Map;
use crate::source::adt::visits::Rules;

fn rules() -> Rules {
    let place = PlaceName::parse("A").expect("a place");
    Rules {
        map: Map::new([(place, ward())].into(), BTreeSet::new()),
        classes: BTreeSet::from([Class::new(b"I").expect("a class")]),
        assume_empty: false,
        tombstone: Duration::from_hours(48),
        longest_stay: Duration::from_hours(1000),
    }
}

fn ward() -> WardId {
    "a".parse().expect("valid")
}

fn said(act: Act, at: u64) -> Said {
    let when = When { happened: Some(Time(at)), recorded: Time(at + 1), sent: Time(at + 2) };
    let spot = Spot { place: PlaceName::parse("A").expect("a place"), bed: Some(Bed(u64::MAX)) };
    Said { act, when, class: Class::new(b"i"), place: Some(spot.clone()), prior: Some(spot), admitted: Some(Time(at)) }
}

/// Opens, lets `work` change things, writes and closes; the counts afterwards.
fn with(folder: &Path, work: impl FnOnce(&mut Visits, &Secret)) -> (usize, Option<u16>) {
    let (mut store, kept) = Store::open(folder, "ward system", Time(0)).expect("opens");
    let mut visits = Visits::new(rules(), kept);
    work(&mut visits, store.secret());
    let changes = visits.take_changes();
    if changes.forgotten {
        store.change_secret(&visits, &changes).expect("written");
    } else {
        store.write(&visits, &changes).expect("written");
    }
    (visits.sizes().1, visits.counts().get(&ward()).map(|c| c.occupied))
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = with(folder.path(), |visits, secret| {
        visits.reconcile(&[(ward(), (7, Time(500)))].into());
        visits.say(secret.hide(b"1"), None, &said(Act::Admit, 1000), Time(9));
        visits.say(secret.hide(b"2"), Some(secret.hide(b"1")), &said(Act::Note, 2000), Time(9));
        visits.bed(&said(Act::Note, 1).place.expect("there"), BedState::Blocked, said(Act::Note, 1).when);
    });
    assert_eq!(count, (2, Some(8)));
    assert_eq!(
        with(folder.path(), |visits, secret| {
            assert_eq!(visits.visit(secret.hide(b"2")).map(|v| v.statements().len()), Some(2));
            visits.say(secret.hide(b"1"), None, &said(Act::Discharge, 3000), Time(9));
        }),
        (2, Some(7))
    );
    assert_eq!(with(folder.path(), |_, _| {}), (2, Some(7)));
    let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(path(folder.path(), "ward system")), 0o600);
    assert_eq!(mode(key_path(folder.path(), "ward system")), 0o600);
}

#[test]
fn a_changed_secret_forgets_visits_and_keeps_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hidden = None;
    with(folder.path(), |visits, secret| {
        visits.reconcile(&[(ward(), (7, Time(500)))].into());
        visits.say(secret.hide(b"1"), None, &said(Act::Admit, 1000), Time(9));
        hidden = Some(secret.hide(b"1"));
    });
    assert_eq!(with(folder.path(), |visits, _| visits.forget()), (0, Some(8)));
    assert_eq!(with(folder.path(), |_, secret| assert_ne!(Some(secret.hide(b"1")), hidden)), (0, Some(8)));
}

#[test]
fn visits_without_their_key_are_forgotten_and_counts_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    with(folder.path(), |visits, secret| {
        visits.reconcile(&[(ward(), (7, Time(500)))].into());
        visits.say(secret.hide(b"1"), None, &said(Act::Admit, 1000), Time(9));
    });
    fs::remove_file(key_path(folder.path(), "ward system")).expect("there");
    assert_eq!(with(folder.path(), |_, _| {}), (0, Some(7)));
}

#[test]
fn a_damaged_file_is_set_aside_and_two_names_are_two_files() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(path(folder.path(), "ward system"), b"no database at all").expect("ours");
    assert_eq!(with(folder.path(), |_, _| {}), (0, None));
    assert_ne!(path(folder.path(), "a b"), path(folder.path(), "a_b"));
    let (_open, _) = Store::open(folder.path(), "x", Time(0)).expect("opens");
    assert!(matches!(Store::open(folder.path(), "x", Time(0)), Err(StoreError::Locked(_))));
}
