//! What lasts: over a restart, other rules, a move, a roster without a ward.

use super::*;

#[test]
fn what_happened_is_remembered_over_a_restart() {
    let text = rule("forged", "hospital", "equivocation", 1, 1, "over = \"10m\"")
        + &rule("refused", "hospital", "refused", 5, 3, "over = \"10m\"");
    let mut world = World::new(&text);
    let now = world.now;
    world.alarms.note_incident(0, Incident::Equivocation, 1, now);
    world.alarms.note_incident(0, Incident::Refused, 4, now);
    assert_eq!(said(&world.judge()), is(Message::Alert, "forged@hospital/a"));
    world.minutes(5);
    assert!(world.restart().is_empty());
    let now = world.now;
    world.alarms.note_incident(0, Incident::Refused, 1, now);
    assert_eq!(said(&world.judge()), is(Message::Alert, "refused@hospital/a"), "four before the restart, one after");
    assert!(world.restart().is_empty());
    assert!(world.minutes(4).is_empty());
    let mut faded = said(&world.minutes(1));
    faded.sort_by_key(|(_, point)| point.clone());
    assert_eq!(faded, [is(Message::Cancel, "forged@hospital/a"), is(Message::Cancel, "refused@hospital/a")].concat());
    // What counts for nothing any more is forgotten.
    world.minutes(20);
    world.restart();
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_happened_at_a_hospital_goes_with_it() {
    let mut world = World::new(&rule("refused", "hospital", "refused", 5, 3, "over = \"10m\""));
    let now = world.now;
    world.alarms.note_incident(0, Incident::Refused, 4, now);
    world.judge();
    world.minutes(1);
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), ["!refused@hospital/a"]);
    world.enrol(&[("b", "01"), ("c", "14")]);
    assert!(world.marks.is_empty(), "{:?}", world.marks);
}

#[test]
fn the_time_in_which_nobody_looked_is_not_held_against_anybody() {
    let mut world = World::new(&full());
    world.at("a", 10).minutes(3);
    world.restart_after(Duration::from_hours(1));
    assert!(world.turn().is_empty(), "two minutes have been seen, and not sixty-two");
    assert!(world.minutes(1).is_empty());
    // And not because of the next restart either.
    world.restart_after(Duration::from_hours(1));
    assert!(world.turn().is_empty());
    assert!(world.minutes(1).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Alert, "full@hospital/a"));
    world.at("a", 5).minutes(3);
    world.restart_after(Duration::from_mins(2));
    assert!(world.turn().is_empty(), "nor does it clear");
    assert!(world.minutes(2).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Cancel, "full@hospital/a"));
}

#[test]
fn the_marks_of_a_ward_that_is_gone_go_at_once() {
    let mut world = World::with_wards(&rule("ward", "ward", "occupancy", 95, 90, ""), &[1, 2]);
    world.at("a", 10).minutes(3);
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), ["ward@hospital/a/w1", "ward@hospital/a/w2"]);
    world.has_wards(&[2]).minutes(1);
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), ["ward@hospital/a/w2"]);
    // One that comes back begins from the start.
    world.has_wards(&[1, 2, 3]).minutes(3);
    assert_eq!(world.standing(), ["ward@hospital/a/w2"]);
}

#[test]
fn what_nobody_has_taken_yet_outlives_other_rules() {
    let mut world = World::new(&full());
    world.at("a", 10).report();
    world.alarms.judge(&mut world.live, world.now);
    world.alarms.replace_rules(rules(&(full() + "\n")), &world.live, world.now);
    world.judge();
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), ["full@hospital/a"]);
}

#[test]
fn an_alarm_goes_with_its_hospital_to_another_region() {
    let region = rule("region", "region", "occupancy", 80, 70, "");
    let mut world = World::new(&(full() + "inhibited-by = [\"region\"]\n" + &region));
    world.at("a", 10).at("b", 4).at("c", 10).minutes(6);
    let region_of = |world: &World| {
        let book = world.alarms.book();
        let (id, _) = book.at_point(&point("full", "hospital/a")).expect("stands");
        let alert = book.alert(id).expect("open");
        (alert.region.expect("has one").to_string(), alert.hidden.is_some())
    };
    assert_eq!(region_of(&world), ("01".to_owned(), false));
    let entries = world.enrol(&[("a", "14"), ("b", "01"), ("c", "14")]);
    assert!(entries.iter().any(|entry| matches!(entry.act, Act::Moved { .. })));
    assert_eq!(region_of(&world), ("14".to_owned(), true), "the new region's alarm says it already");
    assert_eq!(said(&entries).last(), is(Message::Cancel, "full@hospital/a").last());
    // Where it moved while nobody looked.
    let registry = registry(&ALL);
    world.live.enrol(&registry, world.now);
    world.restart();
    assert_eq!(region_of(&world).0, "01");
}

#[test]
fn of_two_in_one_turn_only_the_greater_is_said_wherever_it_stands_in_the_file() {
    let lesser = rule("aware", "hospital", "occupancy", 80, 70, "inhibited-by = [\"full\"]");
    for text in [lesser.clone() + &full(), full() + &lesser] {
        let mut world = World::new(&text);
        assert_eq!(said(&world.at("a", 10).minutes(6)), is(Message::Alert, "full@hospital/a"));
    }
}
