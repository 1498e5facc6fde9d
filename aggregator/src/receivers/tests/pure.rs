//! What receivers are told, as a function of the journal and what stands.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use vardpuls_shared::alert::{Severity, Status};
use vardpuls_shared::clock::Time;

use super::super::alertmanager::Alertmanager;
use super::super::webhook::Webhook;
use super::{START, Story, secret};
use crate::alert::entry::{Act, Entry, Message, PointKey};
use crate::alert::standing::Standing;

fn told(entries: &[Entry], standing: &Standing) -> Vec<Value> {
    let alertmanager = Alertmanager { repeat_every: Duration::from_mins(1) };
    let place = entries.first().map_or(0, |entry| entry.number - 1);
    let step = alertmanager.step(place, entries, standing, START.plus(Duration::from_hours(5)));
    serde_json::from_slice(&step.post.expect("always a post").body).expect("JSON")
}

#[test]
fn labels_are_the_same_for_an_alarms_whole_life() {
    let mut story = Story::new();
    let alarm = story.raise_with("a", Severity::Critical, |raised| {
        raised.point.target = "hospital/a/iva-1".parse().expect("a ward");
        raised.care = vec!["icu".parse().expect("a care type"), "burn".parse().expect("a care type")];
        (raised.status, raised.exercise) = (Status::Exercise, Some("Autumn drill".into()));
    });
    let raised = told(&story.entries, &story.standing());
    let labels = serde_json::json!({
        "alertname": "full", "severity": "critical", "status": "exercise", "exercise": "Autumn drill",
        "scope": "ward", "region": "01", "hospital": "a", "ward": "iva-1", "care": "icu+burn",
    });
    assert_eq!(raised[0]["labels"], labels);
    let annotations = serde_json::json!({
        "id": alarm.as_str(), "summary": "EXERCISE: a is full", "response": "Call the bed coordinator.",
        "name": "Hospital a", "measure": "occupancy", "value": "97.3 %",
    });
    assert_eq!(raised[0]["annotations"], annotations);
    story.act(Act::Acknowledged { alarm: alarm.clone() });
    let acknowledged = told(&story.entries[1..], &story.standing());
    assert_eq!(acknowledged[0]["labels"], labels);
    assert_eq!(acknowledged[0]["annotations"]["acknowledged"], "2026-02-02T02:42:00.000Z");
    assert_eq!(acknowledged[0]["endsAt"], raised[0]["endsAt"], "it goes on firing");
    story.clear(&alarm);
    assert_eq!(told(&story.entries[2..], &story.standing())[0]["labels"], labels);
}

#[test]
fn hidden_and_latched_alarms_have_ended_for_alertmanager() {
    let mut story = Story::new();
    let alarm = story.raise_with("a", Severity::Severe, |raised| raised.latch = true);
    let point: PointKey = "full@hospital/a".parse().expect("a point");
    story.act(Act::Shelved { point: point.clone(), until: Time::MAX });
    let shelved = told(&story.entries, &story.standing());
    assert_eq!((shelved.len(), &shelved[0]["endsAt"]), (1, &Value::from("2026-02-02T02:42:00.000Z")));
    story.act(Act::Unshelved { point });
    assert_eq!(told(&story.entries[2..], &story.standing())[0]["endsAt"], "2026-02-02T07:44:00.000Z");
    story.clear(&alarm);
    let cleared = told(&story.entries[3..], &story.standing());
    assert_eq!((cleared.len(), &cleared[0]["endsAt"]), (1, &Value::from("2026-02-02T02:44:00.000Z")));
}

proptest! {
    /// However entries are cut into posts, and however what stands runs ahead of them or behind: the last word
    /// on each alarm is right.
    #[test]
    fn the_last_word_on_each_alarm_is_right(
        acts in proptest::collection::vec((0usize..4, 0u8..5), 1..60),
        cuts in proptest::collection::vec((1usize..6, 0usize..8), 60),
    ) {
        let mut story = Story::new();
        let mut standings = vec![story.standing()];
        for (hospital, act) in acts {
            let name = ["a", "b", "c", "d"][hospital];
            let point: PointKey = format!("full@hospital/{name}").parse().expect("a point");
            let open = story.book.at_point(&point).map(|(id, _)| id.clone());
            match (open, act) {
                (None, _) => drop(story.raise_with(name, Severity::Severe, |raised| raised.latch = hospital == 0)),
                (Some(alarm), 0) => story.clear(&alarm),
                (Some(alarm), 1) => drop(story.act(Act::Acknowledged { alarm }).number),
                (Some(_), 2) => drop(story.act(Act::Shelved { point, until: Time::MAX }).number),
                (Some(_), 3) => drop(story.act(Act::Unshelved { point }).number),
                (Some(alarm), _) => drop(story.act(Act::Returned { alarm, value: None }).number),
            }
            standings.push(story.standing());
        }
        let mut state = std::collections::BTreeMap::new();
        let (mut from, mut known) = (0, 0);
        let now = START.plus(Duration::from_hours(5)).to_string();
        for (many, ahead) in cuts {
            let to = (from + many).min(story.entries.len());
            if from == to {
                break;
            }
            // What stands was shown before or after, and is never shown older than it was.
            known = known.max((to + ahead).saturating_sub(4).min(story.entries.len()));
            for told in told(&story.entries[from..to], &standings[known]) {
                state.insert(told["labels"].to_string(), told["endsAt"].as_str().expect("text") > now.as_str());
            }
            from = to;
        }
        prop_assert_eq!(from, story.entries.len());
        let last = standings.last().expect("one");
        for told in told(&[], last) {
            state.insert(told["labels"].to_string(), true);
        }
        let fires = |alert: &vardpuls_shared::alert::Alert| alert.state.is_active() && alert.hidden.is_none();
        let firing = last.alerts.iter().filter(|alert| fires(alert)).count();
        prop_assert_eq!(state.values().filter(|fires| **fires).count(), firing);
    }

    #[test]
    fn a_webhook_takes_the_first_that_it_wants(severities in proptest::collection::vec(0usize..4, 1..20)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut story = Story::new();
        for (n, severity) in severities.iter().enumerate() {
            story.raise(&format!("h{n}"), Severity::ALL[*severity]);
        }
        let webhook = Webhook { secret: secret(folder.path()), least_severity: Severity::Severe };
        let step = webhook.step(&story.entries, START);
        let first = severities.iter().position(|severity| *severity >= 2);
        prop_assert_eq!(step.post.is_some(), first.is_some());
        prop_assert_eq!(step.place, first.map_or(severities.len(), |n| n + 1) as u64);
    }
}

#[test]
fn an_alert_is_said_as_such_until_it_is_cancelled() {
    let mut story = Story::new();
    let alarm = story.raise("a", Severity::Severe);
    story.clear(&alarm);
    let said: Vec<_> = story.entries.iter().filter_map(|entry| Some(entry.said.as_ref()?.message)).collect();
    assert_eq!(said, [Message::Alert, Message::Cancel]);
}
