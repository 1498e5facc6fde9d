//! CAP messages in full: an alarm, its acknowledgement and its end; a drill; texts that no XML may hold.
//! Against the schema itself they are held in `tests/system/test_cap.py`.

use std::time::Duration;

use super::*;
use crate::alert::entry::Act;
use crate::receivers::tests::Story;

fn message(entry: &Entry, previous: &[Earlier]) -> String {
    cap(entry, entry.said.as_ref().expect("says something"), "vardpuls.SE", previous)
}

fn earlier(entry: &Entry) -> Earlier {
    Earlier { number: entry.number, sent: entry.at }
}

#[test]
fn an_alarm_is_an_alert_an_update_and_a_cancel() {
    let mut story = Story::new();
    let alarm = story.raise("a", Severity::Severe);
    story.act(Act::Acknowledged { alarm: alarm.clone() });
    story.clear(&alarm);
    let [alert, update, cancel] = story.entries.as_slice() else { panic!("three") };
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\">\
        <identifier>full.hospital.a.1770000060000.1</identifier><sender>vardpuls.SE</sender>\
        <sent>2026-02-02T02:41:00-00:00</sent><status>Actual</status><msgType>Alert</msgType><scope>Public</scope>\
        <info><language>en</language><category>Health</category><event>full</event>\
        <responseType>Execute</responseType><urgency>Immediate</urgency><severity>Severe</severity>\
        <certainty>Observed</certainty><onset>2026-02-02T02:41:00-00:00</onset><headline>a is full</headline>\
        <description>Hospital a: occupancy is 97.3 %. Raised 2026-02-02T02:41:00.000Z.</description>\
        <instruction>Call the bed coordinator.</instruction>\
        <parameter><valueName>vardpuls:rule</valueName><value>full</value></parameter>\
        <parameter><valueName>vardpuls:target</valueName><value>hospital/a</value></parameter>\
        <parameter><valueName>vardpuls:measure</valueName><value>occupancy</value></parameter>\
        <parameter><valueName>vardpuls:value</valueName><value>97.26</value></parameter>\
        <parameter><valueName>vardpuls:unit</valueName><value>%</value></parameter>\
        <area><areaDesc>Hospital a</areaDesc>\
        <geocode><valueName>vardpuls:region</valueName><value>01</value></geocode></area></info></alert>";
    assert_eq!(message(alert, &[]), expected);
    let update = (message(update, &[earlier(alert)]), update);
    assert!(update.0.contains(
        "<msgType>Update</msgType><scope>Public</scope><references>vardpuls.SE,full.hospital.a.1770000060000.1,\
         2026-02-02T02:41:00-00:00</references>"
    ));
    assert!(update.0.contains("Acknowledged 2026-02-02T02:42:00.000Z."));
    let cancel = message(cancel, &[earlier(alert), earlier(update.1)]);
    for part in [
        "<msgType>Cancel</msgType>",
        ".1,2026-02-02T02:41:00-00:00 vardpuls.SE,full.hospital.a.1770000060000.2,2026-02-02T02:42:00-00:00</references>",
        "<responseType>AllClear</responseType><urgency>Past</urgency><severity>Severe</severity>",
        "Over 2026-02-02T02:43:00.000Z.",
    ] {
        assert!(cancel.contains(part), "{part} in {cancel}");
    }
}

#[test]
fn an_alarm_that_was_only_hidden_is_not_all_clear() {
    let mut story = Story::new();
    story.raise("a", Severity::Severe);
    let until = Time(0).plus(Duration::from_hours(1));
    story.act(Act::Shelved { point: "full@hospital/a".parse().expect("a point"), until });
    let cancel = message(&story.entries[1], &[]);
    assert!(cancel.contains("<msgType>Cancel</msgType>") && !cancel.contains("AllClear"), "{cancel}");
    assert!(cancel.contains("<responseType>None</responseType><urgency>Past</urgency>"), "{cancel}");
}

#[test]
fn a_drill_cannot_be_mistaken() {
    let mut story = Story::new();
    story.raise_with("a", Severity::Critical, |raised| {
        (raised.status, raised.exercise) = (Status::Exercise, Some("Höst & övning".into()));
    });
    story.raise_with("b", Severity::Critical, |raised| raised.status = Status::Test);
    let drill = message(&story.entries[0], &[]);
    for part in [
        "<status>Exercise</status>",
        "<scope>Public</scope><note>Höst &amp; övning</note><info>",
        "<headline>EXERCISE: a is full</headline>",
        "<severity>Extreme</severity>",
    ] {
        assert!(drill.contains(part), "{part} in {drill}");
    }
    let test = message(&story.entries[1], &[]);
    assert!(test.contains("<status>Test</status>") && test.contains("<headline>TEST: b is full</headline>"), "{test}");
}

#[test]
fn no_text_breaks_the_document() {
    let mut story = Story::new();
    story.raise_with("a", Severity::Notice, |raised| {
        raised.headline = "</headline>\u{0}\u{1b}\u{ffff}]]>".into();
        (raised.measure, raised.value) = ("time-to-full".into(), None);
    });
    let text = message(&story.entries[0], &[]);
    assert!(text.contains("<headline>&lt;/headline&gt;\u{fffd}\u{fffd}\u{fffd}]]&gt;</headline>"), "{text}");
    assert!(text.contains("<certainty>Possible</certainty>") && text.contains("time-to-full is unknown."), "{text}");
    let mut reader = quick_xml::Reader::from_str(&text);
    while !matches!(reader.read_event().expect("well-formed"), quick_xml::events::Event::Eof) {}
}
