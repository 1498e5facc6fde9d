//! An alarm's life under kill -9: at every step the centre dies before, at and after it, and the next life stands
//! where the last one stood; nothing is said twice, nothing is left unsaid.
//!
//! Each step is struck at several moments (`When`). Whatever had become of it, it is then brought to its end, and
//! the journal, a webhook and an MQTT reader must tell the same story, also after one more kill.

use std::path::PathBuf;

use serde_json::{Value, json};
use vardpuls_shared::alert::State;
use vardpuls_shared::care::CareType;
use vardpuls_tests::alarms::hospitals::BEDS;
use vardpuls_tests::alarms::listener::Word;
use vardpuls_tests::alarms::stage::{Stage, When, alarm};

const FULL: u16 = BEDS;
const CALM: u16 = BEDS / 2;
const A: &str = "hospital/a";

/// A stage in a folder that goes with the test.
fn stage() -> (tempfile::TempDir, Stage) {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage::set(folder.path().to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_centre")));
    (folder, stage.expect("the centre starts"))
}

/// How full the first hospital's ward of a care type is.
fn fill(stage: &Stage, care: CareType, occupied: u16) {
    stage.hospitals.set(&stage.ids[0], care, occupied);
}

/// How full every emergency department is.
fn fill_region(stage: &Stage, occupied: u16) {
    for id in &stage.ids {
        stage.hospitals.set(id, CareType::Emergency, occupied);
    }
}

fn is_open(alerts: &Value, rule: &str, target: &str) -> bool {
    alarm(alerts, rule, target).is_some()
}

fn raise(stage: &Stage) -> String {
    fill(stage, CareType::General, FULL);
    stage.settled("raised", |alerts| is_open(alerts, "full", A));
    let alerts = stage.alerts().expect("stands");
    alarm(&alerts, "full", A).expect("open")["id"].as_str().expect("a name").to_owned()
}

fn clear(stage: &Stage) {
    fill(stage, CareType::General, CALM);
    stage.settled("cleared", |alerts| !is_open(alerts, "full", A));
}

/// Why the first hospital's alarm is hidden; none where it is not.
fn hidden(alerts: &Value) -> Option<Value> {
    alarm(alerts, "full", A)?.get("hidden").map(|hidden| hidden["kind"].clone()).filter(|kind| !kind.is_null())
}

fn is_hidden(alerts: &Value, kind: &str) -> bool {
    hidden(alerts) == Some(json!(kind))
}

/// Stands before everybody.
fn is_seen(alerts: &Value) -> bool {
    is_open(alerts, "full", A) && hidden(alerts).is_none()
}

/// Does it, unless a life before this one has.
fn finish(stage: &Stage, path: &str, body: &Value, done: impl Fn(&Value) -> bool) {
    let was = stage.alerts().is_some_and(|alerts| done(&alerts));
    assert_eq!(stage.act(path, body), !was, "whole or not at all: {path}");
}

#[test]
fn raised_and_cleared() {
    let (_folder, stage) = stage();
    for when in When::ALL {
        stage.strike(when, |stage| fill(stage, CareType::General, FULL), |alerts| is_open(alerts, "full", A));
        stage.settled("raised", |alerts| is_open(alerts, "full", A));
        stage.strike(when, |stage| fill(stage, CareType::General, CALM), |alerts| !is_open(alerts, "full", A));
        stage.settled("cleared", |alerts| !is_open(alerts, "full", A));
    }
    let raised = stage.journal().expect("a journal").iter().filter(|entry| entry["act"] == "raised").count();
    assert_eq!(raised, When::ALL.len(), "once each");
}

#[test]
fn acknowledged() {
    let (_folder, stage) = stage();
    for when in When::ALL {
        let id = raise(&stage);
        let path = format!("/api/v1/alerts/{id}/acknowledge");
        let done = |alerts: &Value| {
            alarm(alerts, "full", A).is_some_and(|alert| alert["state"] == json!("active_acknowledged"))
        };
        stage.strike(when, |stage| stage.act(&path, &json!({})), done);
        finish(&stage, &path, &json!({}), done);
        stage.settled("acknowledged", done);
        clear(&stage);
    }
}

#[test]
fn shelved_and_back() {
    let (_folder, stage) = stage();
    let back = "/api/v1/points/full@hospital.a/unshelve";
    for when in When::ALL {
        let path = format!("/api/v1/alerts/{}/shelve", raise(&stage));
        // Shelving twice is no fault: the later word holds.
        let shelve = json!({ "minutes": 30, "why": "known" });
        stage.strike(when, |stage| stage.act(&path, &shelve), |alerts| is_hidden(alerts, "shelved"));
        if !stage.alerts().is_some_and(|alerts| is_hidden(&alerts, "shelved")) {
            assert!(stage.act(&path, &shelve));
        }
        stage.settled("shelved", |alerts| is_hidden(alerts, "shelved"));
        stage.strike(when, |stage| stage.act(back, &json!({})), is_seen);
        finish(&stage, back, &json!({}), is_seen);
        stage.settled("back from the shelf", is_seen);
        clear(&stage);
    }
}

#[test]
fn out_of_service_and_back() {
    let (_folder, stage) = stage();
    let out = "/api/v1/points/full@hospital.a/remove-from-service";
    let back = "/api/v1/points/full@hospital.a/return-to-service";
    let why = json!({ "why": "rebuilding" });
    for when in When::ALL {
        raise(&stage);
        stage.strike(when, |stage| stage.act(out, &why), |alerts| is_hidden(alerts, "out_of_service"));
        finish(&stage, out, &why, |alerts| is_hidden(alerts, "out_of_service"));
        stage.settled("out of service", |alerts| is_hidden(alerts, "out_of_service"));
        stage.strike(when, |stage| stage.act(back, &why), is_seen);
        finish(&stage, back, &why, is_seen);
        stage.settled("in service", is_seen);
        clear(&stage);
    }
}

#[test]
fn suppressed_and_released() {
    let (_folder, stage) = stage();
    let suppressed = |alerts: &Value| is_hidden(alerts, "suppressed") && is_open(alerts, "region-full", "region/01");
    let released = |alerts: &Value| is_seen(alerts) && !is_open(alerts, "region-full", "region/01");
    for when in When::ALL {
        raise(&stage);
        stage.strike(when, |stage| fill_region(stage, FULL), suppressed);
        stage.settled("suppressed", suppressed);
        stage.strike(when, |stage| fill_region(stage, CALM), released);
        stage.settled("released", released);
        clear(&stage);
    }
}

#[test]
fn latched_until_somebody_has_seen_it() {
    let (_folder, stage) = stage();
    let phase = |alerts: &Value| alarm(alerts, "icu-full", A).map(|alert| alert["state"].clone());
    let latched = |alerts: &Value| phase(alerts) == Some(json!("cleared_unacknowledged"));
    let closed = |alerts: &Value| phase(alerts).is_none();
    for when in When::ALL {
        fill(&stage, CareType::Icu, FULL);
        stage.settled("raised", |alerts| phase(alerts) == Some(json!("active_unacknowledged")));
        stage.strike(when, |stage| fill(stage, CareType::Icu, CALM), latched);
        stage.settled("latched", latched);
        let alerts = stage.alerts().expect("stands");
        let id = alarm(&alerts, "icu-full", A).expect("latched")["id"].as_str().expect("a name").to_owned();
        let path = format!("/api/v1/alerts/{id}/acknowledge");
        stage.strike(when, |stage| stage.act(&path, &json!({})), closed);
        finish(&stage, &path, &json!({}), closed);
        stage.settled("closed", closed);
    }
}

#[test]
fn an_exercise_and_its_end() {
    let (_folder, stage) = stage();
    let (begin, inject) = ("/api/v1/exercise", "/api/v1/exercise/alarms");
    let storm = json!({ "name": "Storm", "minutes": 60 });
    let alarm_of_it = json!({ "rule": "full", "target": A });
    let is_on = |alerts: &Value| alerts.get("exercise").is_some_and(|exercise| exercise["name"] == json!("Storm"));
    let is_drilled = |alerts: &Value| {
        alarm(alerts, "full", A)
            .is_some_and(|alert| alert["status"] == json!("exercise") && alert["exercise"] == json!("Storm"))
    };
    for when in When::ALL {
        // Nobody is told that it begins: there is nothing to strike at but its sending and its end.
        let beginning = if matches!(when, When::Heard) { When::Done } else { when };
        stage.strike(beginning, |stage| stage.act(begin, &storm), is_on);
        finish(&stage, begin, &storm, is_on);
        stage.strike(when, |stage| stage.act(inject, &alarm_of_it), is_drilled);
        finish(&stage, inject, &alarm_of_it, is_drilled);
        stage.settled("drilled", |alerts| is_on(alerts) && is_drilled(alerts));
        stage.strike(when, Stage::end_exercise, |alerts| !is_on(alerts));
        let was = stage.alerts().is_some_and(|alerts| !is_on(&alerts));
        assert_eq!(stage.end_exercise(), !was, "whole or not at all");
        stage.settled("over", |alerts| !is_on(alerts) && !is_open(alerts, "full", A));
    }
}

#[test]
fn an_end_is_said_again_by_the_next_life() {
    let (_folder, stage) = stage();
    let id = raise(&stage);
    clear(&stage);
    let journal = stage.journal().expect("a journal");
    let end = journal.iter().rev().find(|entry| entry["said"]["message"] == "cancel").expect("it was cleared");
    let end = end["number"].as_u64().expect("a number");
    // The broker dies with the centre: whoever has not heard the end yet can hear it from the next life only.
    let heard = stage.words().len();
    stage.restart();
    stage.wait_for("the end", || stage.words().len() > heard);
    let again = stage.words()[heard..].to_vec();
    let [Word::Said(alert)] = &again[..] else { panic!("{again:?}") };
    assert_eq!((alert.id.to_string(), alert.state, alert.number), (id, State::Closed, end));
}
