//! Each message's `.cddl` and the code that makes the message say the same.
//!
//! In: the messages of the golden vectors and planted wrong ones. A schema that takes everything, or one
//! that the code has left behind, fails here.

use cddl_cat::validate_cbor_bytes;
use ciborium::Value;
use proptest::prelude::*;
use vardpuls_shared::alert::{Alert, Hidden, Severity, State, Status};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;

#[path = "golden/messages.rs"]
mod messages;

const REPORT: &str = include_str!("../src/report.cddl");
const ROSTER: &str = include_str!("../src/roster.cddl");
const RECEIPT: &str = include_str!("../src/receipt.cddl");
const FEED: &str = include_str!("../src/feed.cddl");
const ALERT: &str = include_str!("../src/alert.cddl");

/// Holds a payload against a schema, whose first rule is the message.
fn check(schema: &str, payload: &[u8]) -> Result<(), String> {
    let (message, _) = schema.lines().find_map(|line| line.split_once(" = ")).expect("a rule");
    validate_cbor_bytes(message, schema, payload).map_err(|e| e.to_string())
}

fn parse(payload: &[u8]) -> Value {
    ciborium::from_reader(payload).expect("CBOR")
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("writing to a Vec cannot fail");
    out
}

/// The item at `path` (array indices, or positions in a map) inside `value`.
fn at<'a>(value: &'a mut Value, path: &[usize]) -> &'a mut Value {
    path.iter().fold(value, |v, &n| match v {
        Value::Array(items) => &mut items[n],
        Value::Map(pairs) => &mut pairs[n].1,
        other => panic!("{other:?} holds nothing"),
    })
}

/// `good` validates; with each planted `(what, path, wrong value)` it does not.
fn holds(schema: &str, good: &[u8], planted: &[(&str, &[usize], Value)]) {
    check(schema, good).unwrap_or_else(|e| panic!("what the code makes does not follow its CDDL: {e}"));
    for (what, path, wrong) in planted {
        let mut value = parse(good);
        *at(&mut value, path) = wrong.clone();
        assert!(check(schema, &bytes(&value)).is_err(), "the CDDL takes {what}");
    }
    let mut longer = parse(good);
    match &mut longer {
        Value::Array(items) => items.push(Value::Null),
        Value::Map(pairs) => pairs.push((Value::from("more"), Value::Null)),
        other => panic!("{other:?} is no message"),
    }
    assert!(check(schema, &bytes(&longer)).is_err(), "the CDDL takes a field more");
    let mut shorter = parse(good);
    match &mut shorter {
        Value::Array(items) => drop(items.remove(2)),
        Value::Map(pairs) => drop(pairs.remove(2)),
        other => panic!("{other:?} is no message"),
    }
    assert!(check(schema, &bytes(&shorter)).is_err(), "the CDDL takes a field less");
}

#[test]
fn reports_follow_their_cddl() {
    for report in [messages::empty_report(), messages::large_report()] {
        assert_eq!(check(REPORT, &report.encode()), Ok(()));
    }
    holds(
        REPORT,
        &messages::report().encode(),
        &[
            ("another version", &[0], Value::from(2)),
            // cddl-cat does not anchor .regexp, as RFC 8610 does: "a/b" would pass here.
            ("an empty hospital", &[1], Value::from("")),
            ("a hospital of other characters", &[1], Value::from("å/+")),
            ("a negative sequence", &[3], Value::from(-1)),
            ("a sequence beyond 2^53", &[3], Value::from(1u64 << 53)),
            ("a time beyond the year 9999", &[4], Value::from(253_402_207_200_001u64)),
            ("a validity of more than a week", &[5], Value::from(604_801)),
            ("a roster version of five bytes", &[6], Value::from(1u64 << 32)),
            ("a ward that is no array", &[7, 0], Value::from(1)),
            ("a ward without occupied", &[7, 0], Value::Array(vec![Value::from(1), Value::from(10)])),
            ("10000 staffed beds", &[7, 0, 1], Value::from(10_000)),
            ("a negative count", &[7, 0, 2], Value::from(-1)),
            ("a count that is a float", &[7, 0, 2], Value::from(1.5)),
            ("no extras where extras are said", &[7, 0, 3], Value::Map(Vec::new())),
            ("an extra count of 10000", &[7, 0, 3], Value::Map(vec![(Value::from(1), Value::from(10_000))])),
            ("an extra with a name", &[7, 0, 3], Value::Map(vec![(Value::from("blocked"), Value::from(1))])),
        ],
    );
}

#[test]
fn rosters_follow_their_cddl() {
    holds(
        ROSTER,
        &messages::roster().encode(),
        &[
            ("another version", &[0], Value::from(2)),
            ("a roster version of five bytes", &[2], Value::from(1u64 << 32)),
            ("a ward with an empty id", &[3, 0, 1], Value::from("")),
            ("a name of 121 bytes", &[3, 0, 2], Value::from("n".repeat(121))),
            ("a care type by name", &[3, 0, 3], Value::from("icu")),
            ("a latitude beyond the pole", &[3, 0, 4, 0], Value::from(9_000_001)),
            ("a longitude beyond the date line", &[3, 0, 4, 1], Value::from(-18_000_001)),
            ("a capability by name", &[3, 0, 5, 0], Value::from("ecmo")),
            ("a contact that is a number", &[3, 0, 6], Value::from(112)),
        ],
    );
}

#[test]
fn receipts_follow_their_cddl() {
    holds(
        RECEIPT,
        &messages::receipt().encode(),
        &[
            ("another version", &[0], Value::from(2)),
            ("a time as text", &[2], Value::from("2026-02-25T06:13:20Z")),
            ("a range of one", &[4, 0], Value::Array(vec![Value::from(1)])),
            ("a reason of two bytes", &[5, 0, 1], Value::from(256)),
            ("a reason by name", &[5, 0, 1], Value::from("absurd_count")),
            ("a wanted version of five bytes", &[6, 0], Value::from(1u64 << 32)),
        ],
    );
}

#[test]
fn feed_messages_follow_their_cddl() {
    let unknown = messages::unknown_feed();
    assert_eq!(check(FEED, &unknown.encode()), Ok(()));
    // Positions in the map: version 0, number 1, as_of 2, level 3, …, total 6, care 7, coverage 8, hospital 9.
    holds(
        FEED,
        &messages::hospital_feed().encode(),
        &[
            ("another version", &[0], Value::from(2)),
            ("a time in milliseconds", &[2], Value::from(1_772_000_000_123u64)),
            ("a level that is none", &[3], Value::from("county")),
            ("a negative figure", &[6, 1], Value::from(-1)),
            ("a figure as text", &[6, 2], Value::from("12")),
            ("no coverage", &[8], Value::Null),
            ("a coverage with a hole", &[8], Value::Map(vec![(Value::from("hospitals"), Value::from(1))])),
            ("a state that is none", &[9, 1], Value::from("green")),
            ("a ward of no care type", &[9, 5, 0, 2], Value::from("beds")),
        ],
    );
}

#[test]
fn alert_messages_follow_their_cddl() {
    assert_eq!(check(ALERT, &messages::raised_alert().encode()), Ok(()));
    // Positions in the map: version 0, id 1, number 2, as_of 3, status 4, exercise 5, rule 6, severity 7, target 8,
    // name 9, region 10, care 11, headline 12, …, value 16, state 17, hidden 18, raised_at 19, acknowledged_at 20.
    let kind = |kind: &str| Value::Map(vec![(Value::from("kind"), Value::from(kind))]);
    holds(
        ALERT,
        &messages::closed_alert().encode(),
        &[
            ("another version", &[0], Value::from(2)),
            ("an empty id", &[1], Value::from("")),
            ("a negative number", &[2], Value::from(-1)),
            ("a time in milliseconds", &[3], Value::from(1_772_000_000_123u64)),
            ("a status in capitals", &[4], Value::from("Exercise")),
            ("a drill without a name", &[5], Value::Null),
            ("a severity that is none", &[7], Value::from("major")),
            ("a region that is null", &[10], Value::Null),
            ("a care type that is none", &[11], Value::Array(vec![Value::from("beds")])),
            ("no headline", &[12], Value::Null),
            ("a value that is text", &[16], Value::from("9.5")),
            ("a state that is none", &[17], Value::from("open")),
            ("a shelf without an end", &[18], kind("shelved")),
            ("a reason to hide that is none", &[18], kind("asleep")),
            ("no time of beginning", &[19], Value::Null),
            ("an acknowledgement that is a flag", &[20], Value::from(true)),
        ],
    );
}

fn an_alert() -> impl Strategy<Value = Alert> {
    let status = prop_oneof![Just(Status::Actual), Just(Status::Exercise), Just(Status::Test)];
    let state = prop_oneof![
        Just(State::ActiveUnacknowledged),
        Just(State::ActiveAcknowledged),
        Just(State::ClearedUnacknowledged),
        Just(State::Closed),
    ];
    let hidden = prop_oneof![
        (0..Time::MAX.0).prop_map(|until| Hidden::Shelved { until: Time(until) }),
        ".*".prop_map(|by| Hidden::Suppressed { by }),
        Just(Hidden::OutOfService),
    ];
    let options = (proptest::option::of(".*"), proptest::option::of(any::<f64>()), proptest::option::of(hidden));
    let times = proptest::option::of((0..Time::MAX.0).prop_map(Time));
    let care = proptest::collection::vec((0u8..14).prop_map(CareType::from_number), 0..14);
    (status, state, options, times, care, any::<u64>(), proptest::sample::select(&Severity::ALL[..])).prop_map(
        |(status, state, (exercise, value, hidden), time, care, number, severity)| Alert {
            number,
            status,
            exercise,
            severity,
            region: None,
            care,
            value: value.filter(|v| v.is_finite()),
            state,
            hidden,
            acknowledged_at: time,
            cleared_at: time,
            ..messages::raised_alert()
        },
    )
}

proptest! {
    #[test]
    fn every_alert_message_follows_its_cddl_and_is_read_back(alert in an_alert()) {
        prop_assert_eq!(check(ALERT, &alert.encode()), Ok(()));
        prop_assert_eq!(Alert::decode(&alert.encode()), Ok(alert));
    }
}
