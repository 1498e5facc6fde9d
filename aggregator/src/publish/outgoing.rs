//! What waits to go out.
//!
//! In: receipts, feeds and alerts from whoever has them, who never waits for the broker. Receipts wait
//! in a bounded line, the oldest dropped and counted (an agent without a receipt sends again). Of each
//! alarm and each scope only the newest word waits. Out: receipts first, then alerts, then feeds, the
//! nation before regions before hospitals.
//!
//! The alerts that the broker should have retained are known here, under one lock with what waits: a
//! seeding after a connection cannot bring back an alarm that is just over, and nothing that stands is
//! taken for a ghost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vardpuls_shared::alert::{Alert, AlertId};
use vardpuls_shared::feed::Feed;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::topic::{Scope, Topic};

use crate::alert::entry::{Message, Said};
use crate::alert::standing::Standing;
use crate::view::View;

/// Receipts that may wait for the broker.
pub(super) const MAX_RECEIPTS: usize = 10_000;

/// Retained alerts that may wait to be looked at; the rest is found after the next connection.
const MAX_FOUND: usize = 10_000;

/// What waits to go out. Shared by the core, the committer, the connection and the publisher.
#[derive(Debug)]
pub struct Outgoing {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    receipts: VecDeque<Receipt>,
    /// What is to be said of an alarm: that it stands, as `standing` has it, or its end.
    alerts: BTreeMap<AlertId, Option<Arc<Alert>>>,
    /// Topics of retained alerts that the broker has shown.
    found: VecDeque<Topic>,
    feeds: BTreeMap<Scope, Content>,
    /// The alarms that receivers should see.
    standing: BTreeMap<AlertId, Arc<Alert>>,
    closed: bool,
}

/// What stands on a scope's topic.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Feed(Arc<Feed>),
    /// Nothing any more: the retained message is cleared.
    Gone,
}

#[derive(Debug)]
pub(super) enum Next {
    Receipt(Receipt),
    /// An alarm stands.
    Alert(Arc<Alert>),
    /// An alarm does not stand any more.
    Over(Arc<Alert>),
    /// The broker keeps an alert that does not stand.
    Ghost(Topic),
    Feed(Scope, Content),
    Closed,
}

impl Outgoing {
    /// Nothing waits, and these alarms stand.
    pub fn new(standing: &Standing) -> Outgoing {
        let visible = standing.alerts.iter().filter(|alert| alert.hidden.is_none());
        let standing = visible.map(|alert| (alert.id.clone(), alert.clone())).collect();
        Outgoing { waiting: Mutex::new(Waiting { standing, ..Waiting::default() }), arrived: Notify::new() }
    }

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

    /// Lets what is said about an alarm wait, in the place of what was said before.
    pub fn put_alert(&self, said: &Said) {
        let (id, alert) = (said.alert.id.clone(), Arc::new(said.alert.clone()));
        let mut waiting = self.lock();
        match said.message {
            Message::Alert | Message::Update => {
                waiting.standing.insert(id.clone(), alert);
                waiting.alerts.insert(id, None);
            }
            Message::Cancel => {
                waiting.standing.remove(&id);
                waiting.alerts.insert(id, Some(alert));
            }
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The broker keeps something on an alert's topic: lets it be cleared where the alarm does not stand.
    pub fn found(&self, topic: Topic) {
        let mut waiting = self.lock();
        if waiting.found.len() < MAX_FOUND {
            waiting.found.push_back(topic);
        }
        drop(waiting);
        self.arrived.notify_one();
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

    /// Lets every feed and every alert that stands be published again, as after a connection: a broker
    /// may have lost them.
    pub fn seed(&self, view: &View) {
        let mut waiting = self.lock();
        for (scope, feed) in view.feeds() {
            waiting.feeds.entry(scope).or_insert_with(|| Content::Feed(feed.clone()));
        }
        let Waiting { standing, alerts, .. } = &mut *waiting;
        alerts.extend(standing.keys().map(|id| (id.clone(), None)));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lets the publisher end once everything is out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.lock().pop() {
                return next;
            }
            self.arrived.notified().await;
        }
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Next> {
        if let Some(receipt) = self.receipts.pop_front() {
            return Some(Next::Receipt(receipt));
        }
        if let Some((id, end)) = self.alerts.pop_first() {
            let stands = || Next::Alert(self.standing.get(&id).expect("said to stand until its end is put").clone());
            return Some(end.map_or_else(stands, Next::Over));
        }
        while let Some(topic) = self.found.pop_front() {
            if let Topic::Alert(id) | Topic::JsonAlert(id) = &topic
                && !self.standing.contains_key(id)
            {
                return Some(Next::Ghost(topic));
            }
        }
        if let Some((scope, content)) = self.feeds.pop_first() {
            return Some(Next::Feed(scope, content));
        }
        self.closed.then_some(Next::Closed)
    }
}
