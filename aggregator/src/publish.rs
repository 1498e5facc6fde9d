//! What goes out over MQTT: receipts, alerts and feeds, signed here, in a task of its own.
//!
//! In: what waits ([`Outgoing`]). Out: at least once, one at a time into the connection's bounded
//! channel; feeds and the alerts that stand are retained. The end of an alarm is retained for a minute, so that
//! those who listen hear it, also over a lost connection, and those who come later find nothing. It is said
//! again until the broker has it, also after a crash.

pub mod ends;
mod outgoing;
pub mod place;

use std::sync::Arc;

use rumqttc::{AsyncClient, ClientError, QoS};
use vardpuls_service::event::Event;
use vardpuls_shared::alert::Alert;
use vardpuls_shared::feed::Feed;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_shared::topic::{Scope, Topic};
use vardpuls_shared::wire::MAX_ENVELOPE;

use crate::metrics::Metrics;

pub use outgoing::Outgoing;
use outgoing::{Content, Next};

/// The task that signs and publishes.
#[derive(Debug)]
pub struct Publisher {
    /// What waits.
    pub outgoing: Arc<Outgoing>,
    /// The connection.
    pub client: AsyncClient,
    /// The centre's key.
    pub key: Arc<SigningKey>,
    /// Whether the unsigned JSON twin is published.
    pub json: bool,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Publisher {
    /// Publishes until [`Outgoing::close`], then says goodbye to the broker.
    pub async fn run(self) {
        loop {
            let sent = match self.outgoing.next().await {
                Next::Receipt(receipt) => self.receipt(&receipt).await,
                Next::Alert(alert) => self.alert(&alert).await,
                Next::Over(alert) => self.over(&alert).await,
                Next::Ghost(topic) => self.send(&topic, true, Vec::new()).await,
                Next::Feed(scope, Content::Feed(feed)) => self.feed(scope, &feed).await,
                Next::Feed(scope, Content::Gone) => self.gone(scope).await,
                Next::Closed => self.client.disconnect().await.map(|()| false),
            };
            match sent {
                Ok(true) => {}
                // Closed, or the connection's task has ended.
                Ok(false) | Err(_) => return,
            }
        }
    }

    async fn send(&self, topic: &Topic, retain: bool, payload: Vec<u8>) -> Result<bool, ClientError> {
        self.client.publish(topic.to_string(), QoS::AtLeastOnce, retain, payload).await.map(|()| true)
    }

    async fn receipt(&self, receipt: &Receipt) -> Result<bool, ClientError> {
        let envelope = sign(Kind::Receipt, &receipt.encode(), &self.key);
        self.send(&Topic::Receipt(receipt.hospital.clone()), false, envelope).await?;
        self.metrics.receipts.inc();
        Ok(true)
    }

    /// An alarm that stands.
    async fn alert(&self, alert: &Alert) -> Result<bool, ClientError> {
        for (topic, payload) in self.messages(alert) {
            self.send(&topic, true, payload).await?;
        }
        self.metrics.alert_published.inc();
        Ok(true)
    }

    /// An alarm that is over or hidden: its last state, which the broker keeps until it is a ghost.
    async fn over(&self, alert: &Alert) -> Result<bool, ClientError> {
        let messages = self.messages(alert);
        if messages.is_empty() {
            // Nothing goes out that could come back.
            self.outgoing.come_back(&alert.id, alert.number);
        }
        for (topic, payload) in messages {
            self.send(&topic, true, payload).await?;
        }
        self.metrics.alert_published.inc();
        Ok(true)
    }

    /// An alert as it goes out: signed, and its JSON twin.
    fn messages(&self, alert: &Alert) -> Vec<(Topic, Vec<u8>)> {
        let mut messages = Vec::with_capacity(2);
        let envelope = sign(Kind::Alert, &alert.encode(), &self.key);
        if envelope.len() > MAX_ENVELOPE {
            self.metrics.alert_oversize.inc();
            tracing::error!(name: Event::MessageTooLarge.name(), alert = %alert.id, bytes = envelope.len(),
                "the alert is larger than any reader takes; shorten the rule's texts");
        } else {
            messages.push((Topic::Alert(alert.id.clone()), envelope));
        }
        if self.json {
            let text = serde_json::to_vec(alert).expect("an alert has a JSON form");
            messages.push((Topic::JsonAlert(alert.id.clone()), text));
        }
        messages
    }

    async fn feed(&self, scope: Scope, feed: &Feed) -> Result<bool, ClientError> {
        let envelope = sign(Kind::Feed, &feed.encode(), &self.key);
        if envelope.len() > MAX_ENVELOPE {
            self.metrics.feed_oversize.inc();
            tracing::error!(name: Event::MessageTooLarge.name(), %scope, bytes = envelope.len(),
                "the feed message is larger than any reader takes; split the hospital");
        } else {
            self.send(&Topic::Feed(scope.clone()), true, envelope).await?;
        }
        if self.json {
            let text = serde_json::to_vec(feed).expect("a feed has a JSON form");
            self.send(&Topic::JsonFeed(scope), true, text).await?;
        }
        self.metrics.feed_published.inc();
        Ok(true)
    }

    async fn gone(&self, scope: Scope) -> Result<bool, ClientError> {
        self.send(&Topic::Feed(scope.clone()), true, Vec::new()).await?;
        if self.json {
            self.send(&Topic::JsonFeed(scope), true, Vec::new()).await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
