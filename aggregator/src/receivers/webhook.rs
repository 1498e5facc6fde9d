//! What a webhook is told (Standard Webhooks): one signed message a change. Pure; time is an argument.
//!
//! In: journal entries, or what stands for a receiver that is new. Out: posts. The message id is
//! `<journal number>.<alert id>`: the same whenever the same change is told.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;
use vardpuls_shared::alert::{Alert, Severity};
use vardpuls_shared::clock::Time;

use super::post::Post;
use super::secret::Secret;
use super::{Step, last};
use crate::alert::entry::{Entry, Message};
use crate::alert::standing::Standing;

/// A webhook.
#[derive(Debug)]
pub struct Webhook {
    /// What its messages are signed with.
    pub secret: Secret,
    /// Nothing below this severity.
    pub least_severity: Severity,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Time,
    data: &'a Alert,
}

impl Webhook {
    /// The first of these entries that it wants to hear of.
    pub fn step(&self, entries: &[Entry], now: Time) -> Step {
        let wanted = entries.iter().find_map(|entry| {
            let said = entry.said.as_ref().filter(|said| self.wants(&said.alert))?;
            Some(Step {
                post: Some(self.post(entry.number, said.message, entry.at, &said.alert, now)),
                place: entry.number,
            })
        });
        wanted.unwrap_or_else(|| Step { post: None, place: last(entries) })
    }

    /// The alarms that stand and that it wants to hear of, when it is new; the oldest change first.
    pub fn greetings(&self, standing: &Standing) -> VecDeque<Arc<Alert>> {
        let visible = standing.alerts.iter().filter(|alert| alert.hidden.is_none() && self.wants(alert));
        let mut greetings: VecDeque<_> = visible.cloned().collect();
        greetings.make_contiguous().sort_by_key(|alert| alert.number);
        greetings
    }

    /// What a receiver that is new is told of an alarm that stands.
    pub fn greeting(&self, alert: &Alert, now: Time) -> Post {
        self.post(alert.number, Message::Alert, alert.as_of, alert, now)
    }

    fn wants(&self, alert: &Alert) -> bool {
        alert.severity >= self.least_severity
    }

    fn post(&self, number: u64, message: Message, timestamp: Time, alert: &Alert, now: Time) -> Post {
        let kind = match message {
            Message::Alert => "alert.raised",
            Message::Update => "alert.updated",
            Message::Cancel => "alert.cancelled",
        };
        let body = serde_json::to_vec(&Body { kind, timestamp, data: alert }).expect("an alert is JSON");
        let id = format!("{number}.{}", alert.id);
        // The attempt's time, not the change's: receivers refuse what is minutes old as a replay.
        let attempted = now.0 / 1000;
        let signature = self.secret.sign(&id, attempted, &body);
        let headers =
            vec![("webhook-id", id), ("webhook-timestamp", attempted.to_string()), ("webhook-signature", signature)];
        Post { headers, body }
    }
}
