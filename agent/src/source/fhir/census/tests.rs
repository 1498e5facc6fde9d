//! Hospitals as FHIR servers describe them, and any at all against a plain recount.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Time = Time(1_700_000_000_000);
const BASE: &str = "https://fhir.example/r4";

fn id(text: &str) -> WardId {
    text.parse().expect("a ward id")
}

fn counting(beds: Beds) -> Counting {
    Counting {
        classes: ["IMP", "ACUTE"].map(str::to_owned).into(),
        beds,
        wards: [("w1".to_owned(), id("iva")), ("MED1".to_owned(), id("med"))].into(),
    }
}

fn parsed<R: serde::de::DeserializeOwned>(resources: Value) -> Vec<R> {
    serde_json::from_value(resources).expect("resources")
}

/// A ward with a room of two beds, and another ward, known by its identifier, with two.
fn locations() -> Value {
    let bed = |id: &str, above: &str, status: &str| {
        json!({"resourceType": "Location", "id": id, "status": "active", "partOf": {"reference": above},
               "physicalType": {"coding": [{"code": "bd"}]}, "operationalStatus": {"code": status}})
    };
    json!([
        {"resourceType": "Location", "id": "w1", "name": "IVA"},
        {"resourceType": "Location", "id": "r1", "partOf": {"reference": "Location/w1"}},
        {"resourceType": "Location", "id": "77", "identifier": [{"value": "MED1"}]},
        bed("b1", "Location/r1", "O"),
        bed("b2", "https://fhir.example/r4/Location/r1", "H"),
        bed("b3", "Location/77/_history/2", "C"),
        bed("b4", "Location?identifier=urn:x|MED1", "I"),
        {"resourceType": "Location", "id": "loop", "partOf": {"reference": "Location/loop"}},
    ])
}

fn encounter(id: &str, class: &str, stays: &Value) -> Value {
    json!({"resourceType": "Encounter", "id": id, "status": "in-progress", "class": {"code": class}, "location": stays,
           "subject": {"reference": "Patient/1", "display": "Anna Andersson"}})
}

fn stay(place: &str, status: &str, start: &str) -> Value {
    json!({"location": {"reference": place}, "status": status, "period": {"start": start}})
}

#[test]
fn the_latest_active_stay_counts_for_the_first_ward_above_it() {
    let early = "2023-11-01T08:00:00+01:00";
    let late = "2023-11-01T07:30:00Z";
    let encounters = parsed(json!([
        encounter("1", "IMP", &json!([stay("Location/77", "active", early), stay("Location/b1", "active", late)])),
        encounter("1", "IMP", &json!([stay("Location/77", "active", early)])),
        encounter("2", "IMP", &json!([stay("Location/r1", "completed", late), stay("Location?identifier=urn:x|MED1", "active", early)])),
        encounter("3", "AMB", &json!([stay("Location/b1", "active", early)])),
        encounter("4", "IMP", &json!([stay("Location/b1", "reserved", early)])),
        encounter("5", "ACUTE", &json!([stay("Location/loop", "active", early)])),
        encounter("6", "IMP", &json!([{"location": {"reference": "Location/b2"}}])),
        {"resourceType": "OperationOutcome"},
        {"resourceType": "Encounter", "id": "7", "status": "finished", "class": {"code": "IMP"}},
    ]));
    let seen = count(&counting(Beds::Blocked), &parsed(locations()), &encounters, BASE, NOW);
    assert_eq!((seen.wards[&id("iva")].occupied, seen.wards[&id("med")].occupied), (Some(2), Some(1)));
    let unknown: Vec<_> = seen.unknown.iter().map(String::as_str).collect();
    assert_eq!(unknown, ["Location/[4 letters]", "an encounter without a place"]);
    assert!(!format!("{encounters:?}").contains("Anna"), "no field holds a name");
}

#[test]
fn beds_say_what_is_blocked_and_where_asked_what_is_staffed() {
    let encounters = parsed(json!([encounter("1", "IMP", &json!([stay("Location/b4", "active", "2023-11-01")]))]));
    let seen = |beds| count(&counting(beds), &parsed(locations()), &encounters, BASE, NOW);
    let staffed = seen(Beds::Staffed);
    let (iva, med) = (&staffed.wards[&id("iva")], &staffed.wards[&id("med")]);
    assert_eq!((iva.staffed, &iva.extras), (Some(2), &[(Extra::BLOCKED, 1), (Extra::PHYSICAL, 2)].into()));
    // Closed is not staffed; isolated with somebody in it is occupied, not blocked.
    assert_eq!((med.staffed, &med.extras), (Some(1), &[(Extra::BLOCKED, 0), (Extra::PHYSICAL, 2)].into()));
    assert_eq!(seen(Beds::Blocked).wards[&id("iva")].staffed, None);
    assert!(seen(Beds::Ignore).wards[&id("iva")].extras.is_empty());
}

#[test]
fn a_ward_that_the_server_does_not_have_is_absent_and_named() {
    let mut counting = counting(Beds::Ignore);
    counting.wards.insert("gone".to_owned(), id("bb"));
    let seen = count(&counting, &parsed(locations()), &[], BASE, NOW);
    assert_eq!(seen.wards.keys().collect::<Vec<_>>(), [&id("iva"), &id("med")]);
    assert_eq!(seen.wards[&id("iva")].occupied, Some(0), "known and empty");
    let told = seen.spoiled[&id("bb")].to_string();
    assert!(told.contains("no location with the id or identifier gone; correct [source.wards]"), "{told}");
}

proptest! {
    /// Everybody with a place in a ward is counted once, wherever the place hangs in the tree.
    #[test]
    fn counts_equal_a_plain_recount(parents in prop::collection::vec(0usize..12, 12), places in prop::collection::vec((0usize..16, 0u8..3), 0..40)) {
        let locations: Vec<Value> = parents.iter().enumerate().map(|(at, above)| {
            json!({"resourceType": "Location", "id": format!("l{at}"), "partOf": {"reference": format!("Location/l{above}")}})
        }).collect();
        let names: BTreeMap<String, WardId> = [("l0".to_owned(), id("a")), ("l1".to_owned(), id("b"))].into();
        let encounters: Vec<Value> = places.iter().enumerate().map(|(at, (place, class))| {
            encounter(&at.to_string(), ["IMP", "ACUTE", "EMER"][usize::from(*class)], &json!([stay(&format!("Location/l{place}"), "active", "2023-11-01")]))
        }).collect();
        let counting = Counting { wards: names, ..counting(Beds::Blocked) };
        let seen = count(&counting, &parsed(json!(locations)), &parsed(json!(encounters)), BASE, NOW);
        let above = |mut at: usize| {
            for _ in 0..MAX_DEPTH {
                if at < 2 { return Some(at) }
                at = *parents.get(at)?;
            }
            None
        };
        for (ward, root) in [("a", 0), ("b", 1)] {
            let expected = places.iter().filter(|(place, class)| *class < 2 && above(*place) == Some(root)).count();
            prop_assert_eq!(seen.wards[&id(ward)].occupied.map(usize::from), Some(expected));
        }
    }
}
