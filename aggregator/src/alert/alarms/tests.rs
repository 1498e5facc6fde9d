//! The alarms over a real picture: three hospitals, one ward each, told minute by minute.

mod lasting;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use vardpuls_shared::alert::Hidden;
use vardpuls_shared::care::CareType;
use vardpuls_shared::count::Counts;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_shared::topic::Topic;

use super::*;
use crate::alert::command::{Command, Declined};
use crate::alert::entry::{Actor, Ending, Message, PointKey};
use crate::config::document::Document;
use crate::enrolment::{self, Enrolment, Key, Registry};
use crate::nation::Nation;
use crate::verify::{Verified, verify};

const START: u64 = 1_700_000_000_000;
const FULL: (&str, &str) = ("full", "hospital/a");

fn id(text: &str) -> HospitalId {
    text.parse().expect("valid")
}

fn point(rule: &str, target: &str) -> PointKey {
    PointKey { rule: rule.to_owned(), target: target.parse().expect("a target") }
}

fn key(hospital: &str) -> SigningKey {
    SigningKey::from_seed(&[hospital.as_bytes()[0]; 32])
}

fn registry(hospitals: &[(&str, &str)]) -> Registry {
    let enrolment = |&(hospital, region): &(&str, &str)| Enrolment {
        hospital: id(hospital),
        name: hospital.to_uppercase(),
        region: region.parse().expect("valid"),
        state: enrolment::State::Enrolled,
        keys: vec![Key { public_key: key(hospital).public(), from: None, until: None, revoked: None }],
    };
    hospitals.iter().map(enrolment).collect()
}

const ALL: [(&str, &str); 3] = [("a", "01"), ("b", "01"), ("c", "14")];

fn roster(hospital: &str, wards: &[u16]) -> Roster {
    let ward = |&index: &u16| Ward {
        index,
        id: format!("w{index}").parse().expect("valid"),
        name: format!("Ward {index}"),
        care: CareType::Icu,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    };
    Roster::new(id(hospital), wards.iter().map(ward).collect())
}

/// A rule over both thresholds for five minutes each; `more` are further keys.
fn rule(name: &str, scope: &str, measure: &str, raise: u32, clear: u32, more: &str) -> String {
    let hold = if matches!(measure, "children" | "refused" | "equivocation") { "0s" } else { "5m" };
    format!(
        "[[rule]]\nname = \"{name}\"\ntitle = \"{name}\"\nscope = \"{scope}\"\nmeasure = \"{measure}\"\n\
         raise = {{ at = {raise}, for = \"{hold}\" }}\nclear = {{ at = {clear}, for = \"{hold}\" }}\n\
         severity = \"warning\"\nresponse = \"Call.\"\n{more}\n\n"
    )
}

fn full() -> String {
    rule("full", "hospital", "occupancy", 95, 90, "")
}

fn rules(text: &str) -> Arc<Rules> {
    Arc::new(Rules::parse(&Document::of(Path::new("rules.toml"), text)).expect("good rules"))
}

/// The centre's picture and alarms, with what a store would have.
struct World {
    now: Time,
    live: Live,
    alarms: Alarms,
    occupied: BTreeMap<&'static str, u16>,
    /// Every hospital's wards; all of them say the same.
    wards: Vec<u16>,
    sequence: u64,
    journal: Vec<Entry>,
    marks: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn new(text: &str) -> World {
        World::with_wards(text, &[1])
    }

    fn with_wards(text: &str, wards: &[u16]) -> World {
        let now = Time(START);
        let live = Live::new(Arc::new(Nation::sweden()), &registry(&ALL), Duration::from_mins(1));
        let alarms = Alarms::new(rules(text), Book::default(), &[], Status::Actual, &live, (now, now));
        let occupied = BTreeMap::from([("a", 5), ("b", 5), ("c", 5)]);
        let (journal, marks) = (Vec::new(), BTreeMap::new());
        let mut world = World { now, live, alarms, occupied, wards: Vec::new(), sequence: 0, journal, marks };
        world.has_wards(wards).turn();
        world
    }

    /// From now on every hospital has these.
    fn has_wards(&mut self, wards: &[u16]) -> &mut World {
        self.wards = wards.to_vec();
        for (hospital, _) in ALL {
            let envelope = sign(Kind::Roster, &roster(hospital, wards).encode(), &key(hospital));
            let verified = verify(&registry(&ALL), self.now, &Topic::Roster(id(hospital)), &envelope);
            let Ok(Verified::Roster(roster)) = verified else { panic!("a good roster") };
            assert!(self.live.apply_roster(&roster, self.now));
        }
        self
    }

    /// Everybody who is not silent reports, and the alarms judge.
    fn turn(&mut self) -> Vec<Entry> {
        self.report();
        self.judge()
    }

    fn report(&mut self) {
        self.sequence += 1;
        let counts = |occupied| Counts { staffed: 10, occupied, ..Counts::default() };
        for (hospital, occupied) in self.occupied.clone() {
            let report = Report {
                hospital: id(hospital),
                position: Position { epoch: 1, sequence: self.sequence },
                observed_at: self.now,
                valid_for: 180,
                roster_version: roster(hospital, &self.wards).version,
                wards: self.wards.iter().map(|&n| (n, counts(occupied))).collect(),
            };
            let envelope = sign(Kind::Report, &report.encode(), &key(hospital));
            let verified = verify(&registry(&ALL), self.now, &Topic::Report(id(hospital)), &envelope);
            let Ok(Verified::Report(report)) = verified else { panic!("a good report") };
            self.live.apply(&report, self.now);
        }
    }

    fn judge(&mut self) -> Vec<Entry> {
        self.live.expire(self.now);
        self.alarms.judge(&mut self.live, self.now);
        self.store()
    }

    /// Makes the news durable. The book is always what the journal adds up to.
    fn store(&mut self) -> Vec<Entry> {
        let news = self.alarms.take_news(&self.live);
        for (key, mark) in news.marks {
            match mark {
                Some(mark) => drop(self.marks.insert(key, mark)),
                None => drop(self.marks.remove(&key)),
            }
        }
        for entry in &news.entries {
            assert_eq!(entry.number, self.journal.len() as u64 + 1, "no gap, no entry twice");
            self.journal.push(entry.clone());
        }
        assert_eq!(&self.replayed(), self.alarms.book());
        assert_eq!(self.alarms.out_of_step(), None, "suppression follows what stands");
        news.entries
    }

    fn replayed(&self) -> Book {
        let mut book = Book::default();
        self.journal.iter().for_each(|entry| book.replay(entry));
        book
    }

    fn minutes(&mut self, minutes: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        for _ in 0..minutes {
            self.now = self.now.plus(Duration::from_mins(1));
            entries.extend(self.turn());
        }
        entries
    }

    /// From now on `hospital` says this.
    fn at(&mut self, hospital: &'static str, occupied: u16) -> &mut World {
        self.occupied.insert(hospital, occupied);
        self
    }

    fn silence(&mut self, hospital: &str) -> &mut World {
        self.occupied.remove(hospital);
        self
    }

    fn enrol(&mut self, hospitals: &[(&str, &str)]) -> Vec<Entry> {
        self.occupied.retain(|of, _| hospitals.iter().any(|(hospital, _)| hospital == of));
        self.live.enrol(&registry(hospitals), self.now);
        self.judge()
    }

    /// The process ends and another one begins, with the picture that the store's reports give.
    fn restart(&mut self) -> Vec<Entry> {
        self.restart_after(Duration::ZERO)
    }

    /// The same, with a time between the two in which nobody looked.
    fn restart_after(&mut self, down: Duration) -> Vec<Entry> {
        let seen = self.now;
        self.now = seen.plus(down);
        let marks: Vec<(String, Vec<u8>)> = self.marks.clone().into_iter().collect();
        let rules = self.alarms.rules().clone();
        self.alarms = Alarms::new(rules, self.replayed(), &marks, Status::Actual, &self.live, (seen, self.now));
        self.judge()
    }

    fn replace(&mut self, text: &str) -> Vec<Entry> {
        self.alarms.replace_rules(rules(text), &self.live, self.now);
        self.judge()
    }

    fn operate(&mut self, command: &Command) -> Result<Vec<Entry>, Declined> {
        let done = self.alarms.operate(command, "anna", Some("because".to_owned()), &self.live, self.now);
        self.store();
        done
    }

    fn standing(&self) -> Vec<String> {
        let active = self.alarms.book().alarms().filter(|(_, alarm)| alarm.cleared_at.is_none());
        active.map(|(_, alarm)| alarm.raised.point.to_string()).collect()
    }

    fn stands(&self, (rule, target): (&str, &str)) -> bool {
        self.alarms.book().at_point(&point(rule, target)).is_some()
    }
}

/// What receivers heard: the message and the point.
fn said(entries: &[Entry]) -> Vec<(Message, String)> {
    let said = entries.iter().filter_map(|entry| entry.said.as_ref());
    said.map(|said| (said.message, format!("{}@{}", said.alert.rule, said.alert.target))).collect()
}

fn is(message: Message, point: &str) -> Vec<(Message, String)> {
    vec![(message, point.to_owned())]
}

#[test]
fn a_full_hospital_is_said_once_and_taken_back_once() {
    let mut world = World::new(&full());
    assert!(said(&world.minutes(10)).is_empty());
    assert!(said(&world.at("a", 10).minutes(5)).is_empty(), "not yet");
    assert_eq!(said(&world.minutes(1)), is(Message::Alert, "full@hospital/a"));
    assert!(world.minutes(30).is_empty(), "once");
    assert!(world.at("a", 9).minutes(30).is_empty(), "9 of 10 is inside the deadband");
    assert!(world.at("a", 8).minutes(5).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Cancel, "full@hospital/a"));
    assert!(world.minutes(30).is_empty());
}

#[test]
fn time_alone_raises_and_clears() {
    let mut world = World::new(&full());
    world.at("a", 10).minutes(1);
    // Within the validity nothing needs to be heard.
    world.occupied.clear();
    world.now = world.now.plus(Duration::from_secs(170));
    assert!(world.judge().is_empty());
    world.occupied = BTreeMap::from([("a", 10)]);
    world.turn();
    world.now = world.now.plus(Duration::from_secs(130));
    assert_eq!(said(&world.judge()), is(Message::Alert, "full@hospital/a"));
}

#[test]
fn going_stale_never_clears_and_is_an_alarm_itself() {
    let mut world = World::new(&(full() + &rule("stale", "hospital", "stale", 1, 1, "")));
    world.at("a", 10).minutes(6);
    world.at("a", 0).minutes(2);
    let entries = world.silence("a").minutes(60);
    assert_eq!(said(&entries), is(Message::Alert, "stale@hospital/a"));
    assert!(world.stands(FULL));
    let entries = world.at("a", 0).minutes(6);
    let mut cancelled = said(&entries);
    cancelled.sort_by_key(|(_, point)| point.clone());
    let both = [is(Message::Cancel, "full@hospital/a"), is(Message::Cancel, "stale@hospital/a")];
    assert_eq!(cancelled, both.concat());
}

#[test]
fn a_region_does_not_get_well_because_its_fullest_hospital_is_silent() {
    let mut world = World::new(&rule("region", "region", "occupancy", 70, 60, "min-coverage = 50"));
    world.at("a", 10).minutes(6);
    assert!(world.stands(("region", "region/01")));
    assert!(world.silence("a").minutes(60).is_empty());
    // Back, and well: over after its time.
    assert!(world.at("a", 2).minutes(5).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Cancel, "region@region/01"));
}

#[test]
fn what_was_missing_when_it_began_does_not_keep_it() {
    let mut world = World::new(&rule("region", "region", "occupancy", 70, 60, "min-coverage = 50"));
    world.silence("b").at("a", 10).minutes(6);
    assert!(world.stands(("region", "region/01")));
    assert_eq!(said(&world.at("a", 2).minutes(6)), is(Message::Cancel, "region@region/01"));
}

#[test]
fn a_region_silences_its_hospitals_and_lets_them_speak_when_it_is_over() {
    let region = rule("region", "region", "occupancy", 80, 70, "");
    let mut world = World::new(&(full() + "inhibited-by = [\"region\"]\n" + &region));
    let entries = world.at("a", 10).at("b", 10).at("c", 5).minutes(6);
    assert_eq!(said(&entries), is(Message::Alert, "region@region/01"), "the greater one only");
    assert_eq!(world.standing().len(), 3);
    let (alarm, _) = world.alarms.book().at_point(&point("full", "hospital/a")).expect("stands");
    let hidden = world.alarms.book().alert(alarm).expect("open").hidden;
    assert!(matches!(hidden, Some(Hidden::Suppressed { by }) if by.starts_with("region.region.01")));
    let mut entries = said(&world.at("b", 0).minutes(6));
    entries.sort_by_key(|(_, point)| point.clone());
    let both = [is(Message::Alert, "full@hospital/a"), is(Message::Cancel, "region@region/01")];
    assert_eq!(entries, both.concat());
    // One that comes later is hidden, the one that was said is taken back.
    let entries = world.at("b", 10).minutes(6);
    let spoken = said(&entries);
    assert!(spoken.contains(&is(Message::Cancel, "full@hospital/a")[0]), "{spoken:?}");
    assert!(!spoken.iter().any(|(_, point)| point == "full@hospital/b"), "{spoken:?}");
}

#[test]
fn a_region_counts_the_alarms_of_its_hospitals_and_the_nation_those_of_all() {
    let text = full()
        + &rule("several", "region", "children", 2, 2, "of = \"full\"")
        + &rule("many", "nation", "children", 3, 3, "of = \"full\"")
        + &rule("regions", "nation", "children", 1, 1, "of = \"several\"");
    let mut world = World::new(&text);
    world.at("a", 10).at("c", 10).minutes(6);
    assert_eq!(world.standing(), ["full@hospital/a", "full@hospital/c"]);
    world.at("b", 10).minutes(6);
    assert!(world.stands(("several", "region/01")) && world.stands(("many", "nation")));
    assert!(world.stands(("regions", "nation")), "a count of counts, in the same turn");
    world.restart();
    assert_eq!(world.standing().len(), 6);
    world.at("b", 5).minutes(6);
    assert_eq!(world.standing(), ["full@hospital/a", "full@hospital/c"]);
}

#[test]
fn what_is_no_longer_enrolled_no_longer_counts_in_its_region() {
    let mut world = World::new(&(full() + &rule("several", "region", "children", 2, 2, "of = \"full\"")));
    world.at("a", 10).at("b", 10).minutes(6);
    assert!(world.stands(("several", "region/01")));
    let entries = world.enrol(&[("b", "01"), ("c", "14")]);
    assert_eq!(world.standing(), ["full@hospital/b"], "{entries:?}");
    // Enrolled again it begins from the start, and is counted once.
    world.enrol(&ALL);
    world.at("a", 5).at("b", 10).minutes(10);
    assert!(!world.stands(("several", "region/01")));
    world.at("a", 10).minutes(6);
    assert!(world.stands(("several", "region/01")));
}

#[test]
fn a_hospital_that_changes_its_region_is_counted_in_the_new_one() {
    let mut world = World::new(&(full() + &rule("several", "region", "children", 2, 2, "of = \"full\"")));
    world.at("a", 10).at("b", 10).minutes(6);
    world.enrol(&[("a", "14"), ("b", "01"), ("c", "14")]);
    world.minutes(2);
    assert!(!world.stands(("several", "region/01")));
    world.at("c", 10).minutes(6);
    assert!(world.stands(("several", "region/14")));
}

#[test]
fn the_shelf_hides_and_gives_back_by_itself() {
    let mut world = World::new(&full());
    world.at("a", 10).minutes(6);
    let until = world.now.plus(Duration::from_mins(30));
    let shelve = Command::Shelve(point("full", "hospital/a"), until);
    let done = world.operate(&shelve).expect("done");
    assert_eq!(said(&done), is(Message::Cancel, "full@hospital/a"));
    assert_eq!(done[0].by, Actor::Operator("anna".to_owned()));
    assert!(world.minutes(29).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Alert, "full@hospital/a"));
    // What is raised and cleared on the shelf is never said.
    let until = world.now.plus(Duration::from_mins(30));
    world.operate(&Command::Shelve(point("full", "hospital/b"), until)).expect("done");
    assert!(said(&world.at("b", 10).minutes(6)).is_empty());
    assert!(said(&world.at("b", 5).minutes(24)).is_empty());
    let too_long = Command::Shelve(point("full", "hospital/a"), world.now.plus(Duration::from_hours(73)));
    assert_eq!(world.operate(&too_long), Err(Declined::ShelfTime));
}

fn drill(world: &World, minutes: u64) -> Command {
    Command::BeginExercise { name: "Storm".to_owned(), until: world.now.plus(Duration::from_mins(minutes)) }
}

fn inject(target: &str) -> Command {
    Command::RaiseInExercise { rule: "full".to_owned(), target: target.parse().expect("a target") }
}

fn status(world: &World, target: &str) -> Option<(Status, Option<String>)> {
    let (_, alarm) = world.alarms.book().at_point(&point("full", target))?;
    Some((alarm.raised.status, alarm.raised.exercise.clone()))
}

#[test]
fn a_drills_alarms_carry_it_and_what_is_real_is_raised_anew() {
    let mut world = World::new(&full());
    assert_eq!(world.operate(&inject("hospital/b")), Err(Declined::NoExercise));
    world.operate(&drill(&world, 30)).expect("begun");
    world.operate(&inject("hospital/b")).expect("raised");
    world.at("a", 10).minutes(6);
    let storm = Some((Status::Exercise, Some("Storm".to_owned())));
    assert_eq!((status(&world, "hospital/a"), status(&world, "hospital/b")), (storm.clone(), storm));
    let ended = world.minutes(24);
    assert_eq!(status(&world, "hospital/a"), Some((Status::Actual, None)));
    assert_eq!(status(&world, "hospital/b"), None);
    assert!(world.alarms.book().exercise().is_none());
    let spoken = said(&ended);
    assert_eq!(spoken.iter().filter(|(message, _)| *message == Message::Cancel).count(), 2);
    assert_eq!(said(&world.at("a", 5).minutes(6)), is(Message::Cancel, "full@hospital/a"));
}

#[test]
fn an_injected_alarm_is_not_taken_for_real_after_a_restart() {
    let mut world = World::new(&full());
    world.operate(&drill(&world, 60)).expect("begun");
    world.operate(&inject("hospital/b")).expect("raised");
    world.restart();
    assert!(world.minutes(2).is_empty());
    world.replace(&(full() + "\n"));
    assert!(world.minutes(10).is_empty(), "nothing but the drill's end ends it");
    world.operate(&Command::EndExercise).expect("ended");
    assert_eq!(world.standing(), [""; 0], "nothing real stands");
    world.at("b", 10).minutes(6);
    assert_eq!(status(&world, "hospital/b"), Some((Status::Actual, None)));
}

#[test]
fn who_is_no_longer_enrolled_has_no_alarms() {
    let mut world = World::new(&(full() + &rule("ward", "ward", "occupancy", 95, 90, "latch = true")));
    world.at("a", 10).minutes(6);
    assert_eq!(world.standing().len(), 2);
    let entries = world.enrol(&[("b", "01"), ("c", "14")]);
    assert!(entries.iter().any(|e| matches!(e.act, Act::Cleared { ending: Ending::Withdrawn, .. })));
    assert_eq!(world.alarms.book().alarms().count(), 0, "a latched one goes as well");
    assert!(world.minutes(30).is_empty());
}

#[test]
fn after_a_restart_nothing_is_said_twice_and_the_wait_goes_on() {
    let mut world = World::new(&full());
    world.at("a", 10).minutes(6);
    world.at("b", 10).minutes(3);
    assert!(world.restart().is_empty());
    assert!(world.minutes(2).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Alert, "full@hospital/b"));
    // Clearing goes on as well.
    world.at("a", 5).minutes(4);
    assert!(world.restart().is_empty());
    assert_eq!(said(&world.minutes(2)), is(Message::Cancel, "full@hospital/a"));
    assert!(world.restart().is_empty());
}

#[test]
fn other_rules_keep_the_alarms_of_those_that_stay() {
    let mut world = World::new(&(full() + &rule("busy", "hospital", "occupancy", 80, 70, "")));
    world.at("a", 10).minutes(6);
    world.at("b", 10).minutes(3);
    let entries = world.replace(&(full() + &rule("new", "hospital", "occupancy", 99, 70, "")));
    assert_eq!(said(&entries), is(Message::Cancel, "busy@hospital/a"));
    assert_eq!(world.standing(), ["full@hospital/a"]);
    world.minutes(3);
    assert_eq!(world.standing(), ["full@hospital/a", "full@hospital/b"], "the wait goes on");
    world.minutes(3);
    assert_eq!(world.standing().len(), 4);
}

#[test]
fn incidents_raise_and_fade() {
    let text = rule("forged", "hospital", "equivocation", 1, 1, "over = \"10m\"")
        + &rule("refused", "hospital", "refused", 5, 3, "over = \"10m\"");
    let mut world = World::new(&text);
    let now = world.now;
    world.alarms.note_incident(0, Incident::Equivocation, 1, now);
    world.alarms.note_incident(0, Incident::Refused, 4, now);
    assert_eq!(said(&world.judge()), is(Message::Alert, "forged@hospital/a"));
    world.minutes(5);
    let now = world.now;
    world.alarms.note_incident(0, Incident::Refused, 1, now);
    assert_eq!(said(&world.judge()), is(Message::Alert, "refused@hospital/a"));
    assert!(world.minutes(4).is_empty());
    let mut faded = said(&world.minutes(1));
    faded.sort_by_key(|(_, point)| point.clone());
    assert_eq!(faded, [is(Message::Cancel, "forged@hospital/a"), is(Message::Cancel, "refused@hospital/a")].concat());
    assert!(world.minutes(20).is_empty());
}

#[test]
fn a_ward_that_moves_in_the_roster_goes_on_waiting() {
    let mut world = World::with_wards(&rule("ward", "ward", "occupancy", 95, 90, ""), &[1, 2]);
    world.at("a", 10).minutes(3);
    assert!(world.has_wards(&[2]).minutes(2).is_empty());
    assert_eq!(said(&world.minutes(1)), is(Message::Alert, "ward@hospital/a/w2"));
}

#[test]
fn a_ward_that_is_gone_no_longer_counts() {
    let text = rule("ward", "ward", "occupancy", 95, 90, "")
        + &rule("wards", "region", "children", 2, 2, "of = \"ward\"")
        + &rule("here", "hospital", "children", 2, 2, "of = \"ward\"");
    let mut world = World::with_wards(&text, &[1, 2]);
    world.at("a", 10).minutes(6);
    assert!(world.stands(("wards", "region/01")) && world.stands(("here", "hospital/a")));
    world.has_wards(&[2]).minutes(1);
    assert_eq!(world.standing(), ["ward@hospital/a/w2"]);
}

#[test]
fn what_is_raised_anew_after_a_drill_says_what_its_rule_measures() {
    let mut world = World::new(&rule("rise", "hospital", "rise", 20, 5, "over = \"1h\""));
    world.minutes(60);
    world.operate(&drill(&world, 60)).expect("begun");
    world.at("a", 9).minutes(6);
    let ended = world.operate(&Command::EndExercise).expect("ended");
    let raised = ended.iter().find_map(|entry| match &entry.act {
        Act::Raised(raised) => raised.value,
        _ => None,
    });
    assert!(raised.is_some_and(|rise| (rise - 40.0).abs() < 5.0), "{raised:?}");
}

#[test]
fn what_was_silenced_by_a_rule_that_is_gone_speaks() {
    let region = rule("region", "region", "occupancy", 80, 70, "");
    let mut world = World::new(&(full() + "inhibited-by = [\"region\"]\n" + &region));
    world.at("a", 10).at("b", 7).minutes(6);
    assert_eq!(world.standing().len(), 2);
    let mut spoken = said(&world.replace(&full()));
    spoken.sort_by_key(|(_, point)| point.clone());
    let both = [is(Message::Alert, "full@hospital/a"), is(Message::Cancel, "region@region/01")];
    assert_eq!(spoken, both.concat());
}

#[test]
fn what_is_on_the_shelf_silences_nothing_until_it_is_back() {
    let region = rule("region", "region", "occupancy", 80, 70, "");
    let mut world = World::new(&(full() + "inhibited-by = [\"region\"]\n" + &region));
    world.at("a", 10).at("b", 7).minutes(6);
    let until = world.now.plus(Duration::from_mins(10));
    let done = world.operate(&Command::Shelve(point("region", "region/01"), until)).expect("done");
    let moved = [is(Message::Cancel, "region@region/01"), is(Message::Alert, "full@hospital/a")];
    assert_eq!(said(&done), moved.concat());
    let back = [is(Message::Alert, "region@region/01"), is(Message::Cancel, "full@hospital/a")];
    assert_eq!(said(&world.minutes(10)), back.concat());
}

#[test]
fn what_is_gone_is_not_remembered() {
    let mut world = World::new(&full());
    world.at("a", 10).at("c", 10).minutes(3);
    assert_eq!(world.marks.len(), 2);
    world.enrol(&[("b", "01"), ("c", "14")]);
    assert_eq!(world.marks.keys().collect::<Vec<_>>(), ["full@hospital/c"]);
    world.replace(&rule("other", "hospital", "occupancy", 99, 70, ""));
    assert!(!world.marks.contains_key("full@hospital/c"));
}

#[test]
fn an_alarm_that_is_expected_to_return_is_kept_and_the_rest_goes_on() {
    let mut world = World::new(&rule("full", "hospital", "occupancy", 95, 95, "outlook = { margin = 0, near = 5 }"));
    let hour = |world: &mut World, occupied| {
        world.now = world.now.plus(Duration::from_hours(1));
        world.at("a", occupied).turn()
    };
    // Full by day, half empty by night.
    for hours in 0..24 * 6 {
        hour(&mut world, if hours % 24 < 12 { 10 } else { 5 });
    }
    for _ in 0..12 {
        hour(&mut world, 10);
    }
    assert_eq!(world.standing(), ["full@hospital/a"]);
    // The night: its time to clear has passed, and the day is coming.
    hour(&mut world, 5);
    assert_eq!(hour(&mut world, 5), [], "kept");
    // A day that does not come: it is not kept for ever.
    let entries: Vec<Entry> = (0..30).flat_map(|_| hour(&mut world, 5)).collect();
    assert_eq!(said(&entries), is(Message::Cancel, "full@hospital/a"));
}
