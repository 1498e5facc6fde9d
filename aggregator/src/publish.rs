//! What goes out over MQTT: receipts and feeds, signed here, in a task of its own.
//!
//! In: receipts and feeds from the core, which never waits for the broker. Receipts wait in a
//! bounded line, the oldest dropped and counted (an agent without a receipt sends again). Of each
//! scope only the newest feed waits. Out: receipts first, then feeds, the nation before regions
//! before hospitals; at least once, feeds retained; one at a time into the connection's bounded channel.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::{AsyncClient, ClientError, QoS};
use tokio::sync::Notify;
use vardpuls_shared::feed::Feed;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_shared::topic::{Scope, Topic};
use vardpuls_shared::wire::MAX_ENVELOPE;

use crate::metrics::Metrics;
use crate::view::View;

/// Receipts that may wait for the broker.
const MAX_RECEIPTS: usize = 10_000;

/// What waits to go out. Shared by the core, the committer, the connection and the publisher.
#[derive(Debug, Default)]
pub struct Outgoing {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    receipts: VecDeque<Receipt>,
    feeds: BTreeMap<Scope, Content>,
    closed: bool,
}

/// What stands on a scope's topic.
#[derive(Debug, Clone)]
enum Content {
    Feed(Arc<Feed>),
    /// Nothing any more: the retained message is cleared.
    Gone,
}

enum Next {
    Receipt(Receipt),
    Feed(Scope, Content),
    Closed,
}

impl Outgoing {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every state is a good one, also after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets receipts wait. Returns how many older ones were dropped for them.
    pub fn put_receipts(&self, receipts: Vec<Receipt>) -> usize {
        let mut waiting = self.lock();
        waiting.receipts.extend(receipts);
        let over = waiting.receipts.len().saturating_sub(MAX_RECEIPTS);
        waiting.receipts.drain(..over);
        drop(waiting);
        self.arrived.notify_one();
        over
    }

    /// Lets feeds wait, in the place of older ones of the same scopes.
    pub fn put_feeds(&self, feeds: impl IntoIterator<Item = (Scope, Arc<Feed>)>) {
        self.lock().feeds.extend(feeds.into_iter().map(|(scope, feed)| (scope, Content::Feed(feed))));
        self.arrived.notify_one();
    }

    /// Lets the retained feed of a scope be cleared.
    pub fn clear(&self, scope: Scope) {
        self.lock().feeds.insert(scope, Content::Gone);
        self.arrived.notify_one();
    }

    /// Lets every feed be published again, as after a connection: a broker may have lost them.
    pub fn seed(&self, view: &View) {
        let mut waiting = self.lock();
        for (scope, feed) in view.feeds() {
            waiting.feeds.entry(scope).or_insert_with(|| Content::Feed(feed.clone()));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lets the publisher end once all receipts are out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    async fn next(&self) -> Next {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(receipt) = waiting.receipts.pop_front() {
                    return Next::Receipt(receipt);
                }
                if let Some((scope, content)) = waiting.feeds.pop_first() {
                    return Next::Feed(scope, content);
                }
                if waiting.closed {
                    return Next::Closed;
                }
            }
            self.arrived.notified().await;
        }
    }
}

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

    async fn receipt(&self, receipt: &Receipt) -> Result<bool, ClientError> {
        let envelope = sign(Kind::Receipt, &receipt.encode(), &self.key);
        let topic = Topic::Receipt(receipt.hospital.clone());
        self.client.publish(topic.to_string(), QoS::AtLeastOnce, false, envelope).await?;
        self.metrics.receipts.inc();
        Ok(true)
    }

    async fn feed(&self, scope: Scope, feed: &Feed) -> Result<bool, ClientError> {
        let envelope = sign(Kind::Feed, &feed.encode(), &self.key);
        if envelope.len() > MAX_ENVELOPE {
            self.metrics.feed_oversize.inc();
            tracing::error!(%scope, bytes = envelope.len(), "the feed message is larger than any reader takes; split the hospital");
        } else {
            self.client.publish(Topic::Feed(scope.clone()).to_string(), QoS::AtLeastOnce, true, envelope).await?;
        }
        if self.json {
            let text = serde_json::to_vec(feed).expect("a feed has a JSON form");
            self.client.publish(Topic::JsonFeed(scope).to_string(), QoS::AtLeastOnce, true, text).await?;
        }
        self.metrics.feed_published.inc();
        Ok(true)
    }

    async fn gone(&self, scope: Scope) -> Result<bool, ClientError> {
        let nothing = Vec::<u8>::new;
        self.client.publish(Topic::Feed(scope.clone()).to_string(), QoS::AtLeastOnce, true, nothing()).await?;
        if self.json {
            self.client.publish(Topic::JsonFeed(scope).to_string(), QoS::AtLeastOnce, true, nothing()).await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::clock::Time;

    use super::*;

    fn receipt(epoch: u64) -> Receipt {
        Receipt {
            hospital: "h".parse().expect("valid"),
            issued_at: Time(1),
            epoch,
            stored: vec![(1, 1)],
            refused: Vec::new(),
            wanted: Vec::new(),
        }
    }

    #[tokio::test]
    async fn receipts_go_first_and_the_oldest_are_dropped() {
        let outgoing = Outgoing::default();
        outgoing.clear(Scope::Nation);
        let dropped = outgoing.put_receipts((0..MAX_RECEIPTS as u64 + 3).map(receipt).collect());
        assert_eq!(dropped, 3);
        assert!(matches!(outgoing.next().await, Next::Receipt(r) if r.epoch == 3));
        outgoing.close();
        while let Next::Receipt(_) = outgoing.next().await {}
        assert!(matches!(outgoing.next().await, Next::Closed));
    }

    #[tokio::test]
    async fn only_the_newest_feed_of_a_scope_waits() {
        let outgoing = Outgoing::default();
        outgoing.clear(Scope::Region("01".parse().expect("valid")));
        outgoing.clear(Scope::Nation);
        outgoing.clear(Scope::Nation);
        assert!(matches!(outgoing.next().await, Next::Feed(Scope::Nation, _)));
        assert!(matches!(outgoing.next().await, Next::Feed(Scope::Region(_), _)));
        outgoing.close();
        assert!(matches!(outgoing.next().await, Next::Closed));
    }
}
