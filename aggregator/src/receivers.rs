//! Where alarms go besides MQTT: Prometheus Alertmanager and signed webhooks.
//!
//! In: the config, the journal, what stands. Out: HTTP posts, in the order of the journal.
//!
//! | file | owns |
//! |---|---|
//! | [`delivery`] | the task of one receiver: reads the journal, posts, tries again, keeps its place |
//! | [`alertmanager`] | what Alertmanager is told (pure) |
//! | [`webhook`] | what a webhook is told, and its signature (pure) |
//! | [`secret`] | a webhook's shared secret |
//! | [`back_off`] | how long to wait before the next attempt (pure) |
//! | [`post`] | one HTTP request and what its answer means |
//! | [`counts`] | what `/metrics` shows of them |
//!
//! Invariants. Each receiver is a task of its own with its own place in the journal: a dead one delays
//! no other and no part of the centre. A change is sent once. What can repeat it is a crash between the
//! receiver's answer and the commit of the place, or an answer that never came; it then carries the same
//! message id. A receiver that is new hears what stands, then what changes.

pub mod alertmanager;
pub mod back_off;
pub mod counts;
pub mod delivery;
pub mod post;
pub mod secret;
pub mod webhook;

use crate::alert::entry::Entry;
use crate::config::Config;

use alertmanager::Alertmanager;
use post::{Post, PostError, Poster};
use secret::{Secret, SecretError};
use webhook::Webhook;

/// A receiver, ready to be told.
#[derive(Debug)]
pub struct Receiver {
    /// What it is called in logs and metrics, and by what its place in the journal is kept.
    pub name: String,
    /// How it is told.
    pub kind: Kind,
    /// Where its posts go.
    pub poster: Poster,
}

/// How a receiver is told.
#[derive(Debug)]
pub enum Kind {
    /// By what stands, again and again.
    Alertmanager(Alertmanager),
    /// By each change, once.
    Webhook(Webhook),
}

/// What is to be done for the next entries of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is posted; none where the receiver does not want to hear of them.
    pub post: Option<Post>,
    /// The place in the journal that is reached by it.
    pub place: u64,
}

/// Why a receiver cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// Its address, or TLS towards it.
    #[error("the receiver {0}: {1}")]
    Post(String, #[source] PostError),
    /// Its secret.
    #[error("the receiver {0}: {1}")]
    Secret(String, #[source] SecretError),
}

/// The receivers that the config names.
pub fn open(config: &Config) -> Result<Vec<Receiver>, ReceiverError> {
    let poster = |name: &str, url: &str| Poster::new(url).map_err(|e| ReceiverError::Post(name.to_owned(), e));
    let mut receivers = Vec::new();
    if let Some(alertmanager) = &config.alertmanager {
        let name = "alertmanager".to_owned();
        let url = format!("{}{}", alertmanager.url.trim_end_matches('/'), alertmanager::PATH);
        let kind = Kind::Alertmanager(Alertmanager { repeat_every: alertmanager.repeat_every });
        receivers.push(Receiver { poster: poster(&name, &url)?, name, kind });
    }
    for webhook in &config.webhooks {
        // No webhook can be taken for Alertmanager, whatever it is called.
        let name = format!("webhook/{}", webhook.name);
        let secret = Secret::load(&webhook.secret_file).map_err(|e| ReceiverError::Secret(name.clone(), e))?;
        let kind = Kind::Webhook(Webhook { secret, least_severity: webhook.least_severity });
        receivers.push(Receiver { poster: poster(&name, &webhook.url)?, name, kind });
    }
    Ok(receivers)
}

/// The last of these entries.
fn last(entries: &[Entry]) -> u64 {
    entries.last().map_or(0, |entry| entry.number)
}

#[cfg(test)]
pub(crate) mod tests;
