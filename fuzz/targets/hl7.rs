//! HL7 v2, from the stream to the counts and the answers: MLLP frames of messages are read, said to the census, and
//! answered.
//!
//! The byte `@` stands for a person: it is replaced by a name and a number that look like one. Neither is ever in an
//! answer, but where the sender put it into the header, which answers repeat; nor in anything that is kept or shown.
//! The counts are always those that a fresh computation over everything kept gives.
#![no_main]

#[path = "parts/person.rs"]
mod person;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::adt::ack::answer;
use vardpuls_agent::source::adt::event::{self, Class, Event, Habits};
use vardpuls_agent::source::adt::frame::{Framer, Piece};
use vardpuls_agent::source::adt::hl7::Message;
use vardpuls_agent::source::adt::place::{Map, PlaceName};
use vardpuls_agent::source::adt::reason::{Answer, Reason};
use vardpuls_agent::source::adt::secret::Secret;
use vardpuls_agent::source::adt::visit::PlaceNumber;
use vardpuls_agent::source::adt::visits::{Kept, Rules, Visits};
use vardpuls_shared::clock::Time;

const NOW: Time = Time(1_795_000_000_000);

static HABITS: LazyLock<Habits> = LazyLock::new(|| Habits {
    charset: encoding_rs::WINDOWS_1252,
    zone: jiff::tz::TimeZone::UTC,
    registrations: true,
    processing: vec!["P".to_owned()],
});
static SECRET: LazyLock<Secret> = LazyLock::new(|| Secret::of(&[7; 32]));
static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let place = |text: &str| PlaceName::parse(text).expect("a place");
    let wards = ["A", "B"].map(|name| (place(name), name.to_lowercase().parse().expect("valid")));
    Rules {
        map: Map::new(wards.into(), BTreeSet::from([place("OP")])),
        classes: Class::new(b"I").into_iter().collect(),
        assume_empty: true,
        tombstone: Duration::from_hours(48),
        longest_stay: Duration::from_hours(1000),
    }
});

fn say(visits: &mut Visits, bytes: &[u8]) -> Reason {
    let Some(message) = Message::parse(bytes) else { return Reason::NotHl7 };
    let mut reason = Reason::NotCounted;
    match event::read(&message, &HABITS, NOW) {
        Err(reason) => return reason,
        Ok(Event::Bed { spot, state, when }) => reason = visits.bed(&spot, state, when),
        Ok(Event::Visits(steps)) => {
            for step in steps {
                let before = step.before.map(|number| SECRET.hide(&number));
                reason = visits.say(SECRET.hide(&step.number), before, &step.said, NOW);
            }
        }
    }
    reason
}

fuzz_target!(|stream: &[u8]| {
    let stream = person::put_into(stream);
    let mut pieces = Vec::new();
    Framer::new(64 * 1024).push(&stream, &mut pieces);
    if !stream.contains(&0x0b) {
        // A recorded message, without its frame.
        pieces = vec![Piece::Message(stream)];
    }
    let mut visits = Visits::new(RULES.clone(), Kept::default());
    for (number, piece) in (1..).zip(pieces) {
        let Piece::Message(bytes) = piece else { continue };
        let reason = say(&mut visits, &bytes);
        let message = Message::parse(&bytes);
        let mut answers = Vec::new();
        answer(message.as_ref(), reason, NOW, number, &mut answers);
        let header =
            bytes.split(|b| matches!(b, b'\r' | b'\n')).find(|line| line.trim_ascii_start().starts_with(b"MSH"));
        if !header.is_some_and(person::is_in) {
            assert!(!person::is_in(&answers));
        }
        let mut answered = Vec::new();
        Framer::new(64 * 1024).push(&answers, &mut answered);
        assert!(answered.len() <= 2, "two kinds of answer at most");
        if message.is_none() {
            assert_eq!(reason.answer(), Answer::Reject);
        }
    }
    let shown = format!("{:?} {:?}", visits.unmapped(usize::MAX), visits.counts());
    assert!(!person::is_in(shown.as_bytes()), "{shown}");
    let changes = visits.take_changes();
    let kept = Kept {
        places: visits.places_from(PlaceNumber(0)).map(|(_, name)| name.clone()).collect(),
        visits: changes.visits.iter().filter_map(|key| Some((*key, visits.visit(*key)?.clone()))).collect(),
        beds: changes
            .beds
            .iter()
            .filter_map(|&(place, bed)| Some((place, bed, visits.bed_said(place, bed)?)))
            .collect(),
        anchors: Vec::new(),
    };
    assert!(!person::is_in(format!("{:?}", kept.places).as_bytes()), "{:?}", kept.places);
    assert_eq!(Visits::new(RULES.clone(), kept).counts(), visits.counts());
});
