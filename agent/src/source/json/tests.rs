//! Documents as hospital systems really answer, and any bytes at all.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vardpuls_shared::count::{Extra, MAX_COUNT};

use super::*;
use crate::source::time::TimeFormat;

const NOW: Time = Time(1_700_000_000_000);

fn id(text: &str) -> WardId {
    text.parse().expect("a ward id")
}

fn rows_shape() -> Shape {
    let mapping = Mapping {
        ward: WardFrom::Column {
            header: "/unit/code".into(),
            names: [("ICU".to_owned(), id("iva")), ("M1".to_owned(), id("med"))].into(),
        },
        counts: [
            (Field::Staffed, "/beds/open".to_owned()),
            (Field::Occupied, "/beds/used".to_owned()),
            (Field::Extra(Extra::BLOCKED), "/beds/blocked".to_owned()),
        ]
        .into(),
        time: TimeFrom::Reading,
        rows: BTreeMap::new(),
        not_reported: [String::new()].into(),
    };
    Shape::Rows { array: "/data/units".into(), mapping }
}

fn wards_shape() -> Shape {
    let ward = |ward: &str, occupied: &str| Mapping {
        ward: WardFrom::Constant(id(ward)),
        counts: [(Field::Occupied, occupied.to_owned())].into(),
        time: TimeFrom::Column { header: "/asOf".into(), format: TimeFormat::iso(None) },
        rows: BTreeMap::new(),
        not_reported: [String::new()].into(),
    };
    Shape::Wards(vec![ward("iva", "/icu/0"), ward("med", "/medicine")])
}

fn read(text: &str) -> Result<Observation, JsonFault> {
    parse(text.as_bytes(), &rows_shape(), NOW)
}

#[test]
fn rows_give_counts_as_numbers_or_text_and_null_is_not_reported() {
    let text = r#"{"data": {"units": [
        {"unit": {"code": " ICU "}, "beds": {"open": 10, "used": "7", "blocked": 1.0}},
        {"unit": {"code": "M1"}, "beds": {"open": null, "used": 21}},
        {"unit": {"code": "X"}, "beds": {}}]}}"#;
    let seen = read(text).expect("readable");
    let iva = &seen.wards[&id("iva")];
    assert_eq!((iva.staffed, iva.occupied, iva.at), (Some(10), Some(7), NOW));
    assert_eq!(iva.extras, [(Extra::BLOCKED, 1)].into());
    let med = &seen.wards[&id("med")];
    assert_eq!((med.staffed, med.occupied, med.extras.len()), (None, Some(21), 0));
    assert_eq!(seen.unknown, ["X".to_owned()].into());
}

#[test]
fn pointers_of_wards_read_from_the_root_and_the_documents_own_time() {
    let text = r#"{"asOf": "2023-11-14T22:13:20Z", "icu": [5], "medicine": "many"}"#;
    let seen = parse(text.as_bytes(), &wards_shape(), Time(NOW.0 + 99_000)).expect("readable");
    assert_eq!((seen.at, seen.wards[&id("iva")].occupied), (NOW, Some(5)));
    let message = seen.spoiled[&id("med")].to_string();
    assert!(message.starts_with("at /medicine: [4 letters] is not a count"), "{message}");
    let late = parse(br#"{"asOf": "yesterday", "icu": [5], "medicine": 1}"#, &wards_shape(), NOW).expect("readable");
    assert!(
        late.spoiled[&id("iva")].to_string().contains("[9 letters] is not a time like \"2026-11-25T14:00:00+01:00\"")
    );
}

#[test]
fn a_document_in_doubt_is_a_named_error() {
    for (text, expected) in [
        ("", "line 1, column 0: the answer is not JSON"),
        ("<html>personal number 19121212-1212</html>", "line 1, column 1: the answer is not JSON"),
        (r#"{"data": {"units": {}}}"#, "\"/data/units\" points to no array"),
        (r#"{"data": {"units": []}}"#, "\"/data/units\" points to an empty array"),
        (
            r#"{"data": {"units": [{"unit": {"code": "ICU"}, "beds": {"open": 1}}]}}"#,
            "\"/beds/used\" points to nothing in the whole answer; correct source.columns.occupied",
        ),
        (
            r#"{"data": {"units": [{"unit": {"code": "ICU"}, "beds": {"open": 1, "used": 1}}, {"unit": {"code": "ICU"}}]}}"#,
            "elements 0 and 1 of \"/data/units\" are both about ward iva",
        ),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
        assert!(!error.contains("1912"));
    }
}

#[test]
fn what_is_no_single_value_spoils_its_ward_without_being_shown() {
    let text = r#"{"data": {"units": [{"unit": {"code": "ICU"}, "beds": {"open": 1, "used": [{"name": "Anna"}]}}]}}"#;
    let message = read(text).expect("readable").spoiled[&id("iva")].to_string();
    assert!(message.starts_with("at /data/units/0/beds/used: \"[…]\" is not a count"), "{message}");
}

#[test]
fn what_did_not_change_is_so_now_unless_the_document_is_dated() {
    let mut seen =
        read(r#"{"data": {"units": [{"unit": {"code": "ICU"}, "beds": {"open": 1, "used": 1}}]}}"#).expect("ok");
    renew(&mut seen, &rows_shape(), Time(NOW.0 + 5));
    assert_eq!((seen.at, seen.wards[&id("iva")].at), (Time(NOW.0 + 5), Time(NOW.0 + 5)));
    let text = br#"{"asOf": "2023-11-14T22:13:20Z", "icu": [5], "medicine": 4}"#;
    let mut dated = parse(text, &wards_shape(), NOW).expect("readable");
    renew(&mut dated, &wards_shape(), Time(NOW.0 + 5));
    assert_eq!((dated.at, dated.wards[&id("iva")].at), (NOW, NOW));
}

proptest! {
    #[test]
    fn any_bytes_are_an_observation_or_an_error(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}\",:0-9a-z/ ]{0,200}".prop_map(String::into_bytes),
    ]) {
        for shape in [rows_shape(), wards_shape()] {
            if let Err(e) = parse(&bytes, &shape, NOW) {
                prop_assert!(e.to_string().len() < 300);
            }
        }
    }

    #[test]
    fn what_was_written_is_read(counts in prop::collection::vec((0u16..=MAX_COUNT, prop::option::of(0u16..=MAX_COUNT)), 2), text: bool) {
        let number = |n: u16| if text { serde_json::json!(n.to_string()) } else { serde_json::json!(n) };
        let units: Vec<_> = ["ICU", "M1"].iter().zip(&counts).map(|(code, (open, used))| {
            serde_json::json!({"unit": {"code": code}, "beds": {"open": number(*open), "used": used.map(number)}})
        }).collect();
        let body = serde_json::json!({"data": {"units": units}}).to_string();
        let seen = read(&body).expect("readable");
        for (ward, (open, used)) in ["iva", "med"].iter().zip(&counts) {
            let ward = &seen.wards[&id(ward)];
            prop_assert_eq!((ward.staffed, ward.occupied), (Some(*open), *used));
        }
    }
}
