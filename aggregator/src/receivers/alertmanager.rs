//! What Prometheus Alertmanager is told (`POST /api/v2/alerts`). Pure; time is an argument.
//!
//! In: what stands, and the journal entries since the last time. Out: one post of everything that
//! fires, with an end that the next repetition moves on, and of what has ended since, with its end.
//! Alertmanager knows an alarm by its labels, so these hold only what is the same for an alarm's whole
//! life: whoever is told twice knows one alarm. Acknowledging is said in an annotation and stops
//! nothing: grouping, silences and paging are Alertmanager's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vardpuls_shared::alert::{Alert, AlertId, Status, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::post::Post;
use super::{Step, last};
use crate::alert::entry::Entry;
use crate::alert::standing::Standing;
use crate::cap;

/// Where it takes alerts.
pub const PATH: &str = "/api/v2/alerts";

/// What fires ends after so many repetitions that did not come.
const MISSED: u32 = 4;

/// A Prometheus Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    /// How often what stands is told again.
    pub repeat_every: Duration,
}

type Labels = BTreeMap<&'static str, String>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    labels: &'a Labels,
    annotations: BTreeMap<&'static str, Cow<'a, str>>,
    starts_at: Time,
    ends_at: Time,
}

impl Alertmanager {
    /// What stands, and what these entries, the next ones after `place`, say has ended.
    pub fn step(&self, place: u64, entries: &[Entry], standing: &Standing, now: Time) -> Step {
        // What stands may be shown a moment after its entries are committed. What was shown before the last
        // post could raise again what that one ended: the entries alone are right, if not all there is.
        let known = if standing.number >= place { standing } else { &Standing::default() };
        Step { post: Some(self.post(entries, known, now)), place: last(entries) }
    }

    /// What stands, told again.
    pub fn repetition(&self, standing: &Standing, now: Time) -> Post {
        self.post(&[], standing, now)
    }

    fn post(&self, entries: &[Entry], standing: &Standing, now: Time) -> Post {
        let until = now.plus(self.repeat_every * MISSED);
        let mut told: BTreeMap<Labels, (&Alert, Time)> = BTreeMap::new();
        let (firing, ended) = picture(entries, standing);
        told.extend(ended.into_values().map(|(alert, end)| (labels(alert), (alert, end))));
        // What fires last: one label set is one alarm to Alertmanager, and the newer one holds.
        told.extend(firing.into_values().map(|alert| (labels(alert), (alert, until))));
        let told: Vec<_> = told
            .iter()
            .map(|(labels, &(alert, ends_at))| {
                // It refuses whole posts for an alarm that ends before it starts, as after a clock was set back.
                let ends_at = ends_at.max(alert.raised_at);
                Told { labels, annotations: annotations(alert), starts_at: alert.raised_at, ends_at }
            })
            .collect();
        Post { headers: Vec::new(), body: serde_json::to_vec(&told).expect("labels and texts are JSON") }
    }
}

type Firing<'a> = BTreeMap<&'a AlertId, &'a Alert>;
type Ended<'a> = BTreeMap<&'a AlertId, (&'a Alert, Time)>;

/// What fires, and what has ended. Where an entry is newer than what stands is known to be, the entry holds.
fn picture<'a>(entries: &'a [Entry], standing: &'a Standing) -> (Firing<'a>, Ended<'a>) {
    let alerts = standing.alerts.iter().map(Arc::as_ref);
    let mut firing: Firing<'_> = alerts.filter(|alert| fires(alert)).map(|alert| (&alert.id, alert)).collect();
    let mut ended = Ended::new();
    for entry in entries {
        let Some(alert) = entry.said.as_ref().map(|said| &said.alert) else { continue };
        let newer = entry.number > standing.number;
        if fires(alert) {
            ended.remove(&alert.id);
            if newer {
                firing.insert(&alert.id, alert);
            }
        } else {
            // A hidden alarm ends for Alertmanager when it was hidden.
            ended.insert(&alert.id, (alert, alert.cleared_at.unwrap_or(entry.at)));
            if newer {
                firing.remove(&alert.id);
            }
        }
    }
    ended.retain(|id, _| !firing.contains_key(id));
    (firing, ended)
}

fn fires(alert: &Alert) -> bool {
    alert.state.is_active() && alert.hidden.is_none()
}

fn labels(alert: &Alert) -> Labels {
    let mut labels = Labels::from([
        ("alertname", alert.rule.clone()),
        ("severity", alert.severity.to_string()),
        ("status", status(alert.status).to_owned()),
    ]);
    let scope = match &alert.target {
        Target::Scope(Scope::Nation) => "nation",
        Target::Scope(Scope::Region(_)) => "region",
        Target::Scope(Scope::Hospital(hospital)) => {
            labels.insert("hospital", hospital.to_string());
            "hospital"
        }
        Target::Ward(hospital, ward) => {
            labels.insert("hospital", hospital.to_string());
            labels.insert("ward", ward.to_string());
            "ward"
        }
    };
    labels.insert("scope", scope.to_owned());
    let region = match &alert.target {
        Target::Scope(Scope::Region(code)) => Some(code),
        _ => alert.region.as_ref(),
    };
    labels.extend(region.map(|code| ("region", code.to_string())));
    if !alert.care.is_empty() {
        let names: Vec<_> = alert.care.iter().map(|care| care.name()).collect();
        labels.insert("care", names.join("+"));
    }
    labels.extend(alert.exercise.clone().map(|name| ("exercise", name)));
    labels
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Actual => "actual",
        Status::Exercise => "exercise",
        Status::Test => "test",
    }
}

fn annotations(alert: &Alert) -> BTreeMap<&'static str, Cow<'_, str>> {
    let mut annotations = BTreeMap::from([
        ("id", Cow::from(alert.id.as_str())),
        ("summary", cap::headline(alert)),
        ("response", Cow::from(&alert.response)),
        ("name", Cow::from(&alert.name)),
        ("measure", Cow::from(&alert.measure)),
    ]);
    annotations.extend(alert.value.map(|value| ("value", Cow::from(cap::quantity(value, &alert.unit)))));
    annotations.extend(alert.acknowledged_at.map(|at| ("acknowledged", Cow::from(at.to_string()))));
    annotations
}
