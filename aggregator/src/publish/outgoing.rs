//! What waits to go out.
//!
//! In: receipts, feeds and alerts from whoever has them, who never waits for the broker. Receipts wait
//! in a bounded line, the oldest dropped and counted (an agent without a receipt sends again). Of each
//! alarm and each scope only the newest word waits. Out: receipts first, then alerts, then feeds, the
//! nation before regions before hospitals.
//!
//! The alerts that the broker should have retained are known here, under one lock with what waits: a
//! seeding after a connection cannot bring back an alarm that is just over, and nothing that stands is
//! taken for a ghost. So are the ends that are on their way ([`Ends`]). The broker keeps every end for a while:
//! whoever lost it together with us may come back later than we do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use vardpuls_shared::alert::{Alert, AlertId};
use vardpuls_shared::feed::Feed;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::topic::{Scope, Topic};

use super::ends::Ends;
use crate::alert::entry::{Message, Said};
use crate::alert::standing::Standing;
use crate::view::View;

/// Receipts that may wait for the broker.
pub(super) const MAX_RECEIPTS: usize = 10_000;

/// Retained alerts that may wait to be looked at; the rest is found after the next connection.
const MAX_FOUND: usize = 10_000;

/// How long the broker keeps an end.
const LINGERS: Duration = Duration::from_mins(1);

/// What waits to go out. Shared by the core, the committer, the connection and the publisher.
#[derive(Debug)]
pub struct Outgoing {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// The entry up to which no end is on its way to the broker.
    place: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    receipts: VecDeque<Receipt>,
    alerts: BTreeMap<AlertId, Due>,
    /// Ends that the broker keeps for now, and until when.
    lingering: VecDeque<(Instant, AlertId)>,
    /// Topics of retained alerts that the broker has shown.
    found: VecDeque<Topic>,
    feeds: BTreeMap<Scope, Content>,
    /// The alarms that receivers should see.
    standing: BTreeMap<AlertId, Arc<Alert>>,
    ends: Ends,
    closed: bool,
}

/// What is to be said of an alarm.
#[derive(Debug)]
enum Due {
    /// That it stands, as `standing` has it.
    Stands,
    /// Its end.
    Over(Arc<Alert>),
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
    /// An alarm does not stand any more; once that has lingered it is a ghost.
    Over(Arc<Alert>),
    /// The broker keeps an alert that does not stand.
    Ghost(Topic),
    Feed(Scope, Content),
    Closed,
}

impl Outgoing {
    /// Nothing waits, these alarms stand, and these ends may not have been said.
    pub fn new(standing: &Standing, ends: Ends) -> Outgoing {
        let visible = standing.alerts.iter().filter(|alert| alert.hidden.is_none());
        let standing = visible.map(|alert| (alert.id.clone(), alert.clone())).collect();
        let (place, _) = watch::channel(ends.place());
        let waiting = Waiting { standing, ends, ..Waiting::default() };
        Outgoing { waiting: Mutex::new(waiting), arrived: Notify::new(), place }
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
        waiting.ends.follow(said);
        match said.message {
            Message::Alert | Message::Update => {
                waiting.standing.insert(id.clone(), alert);
                waiting.alerts.insert(id, Due::Stands);
            }
            Message::Cancel => {
                waiting.standing.remove(&id);
                waiting.alerts.insert(id, Due::Over(alert));
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

    /// Whether it matters that a change of this alarm comes back from the broker.
    pub fn awaits(&self, alarm: &AlertId) -> bool {
        self.lock().ends.awaits(alarm)
    }

    /// The broker has this change of an alarm.
    pub fn come_back(&self, alarm: &AlertId, number: u64) {
        self.lock().ends.come_back(alarm, number);
    }

    /// The entry up to which no end is on its way to the broker.
    pub fn place(&self) -> watch::Receiver<u64> {
        self.place.subscribe()
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

    /// Lets every feed, every alert that stands and every end on its way be published again, as after a
    /// connection: a broker may have lost them.
    pub fn seed(&self, view: &View) {
        let mut waiting = self.lock();
        for (scope, feed) in view.feeds() {
            waiting.feeds.entry(scope).or_insert_with(|| Content::Feed(feed.clone()));
        }
        waiting.seed();
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lets the publisher end once everything is out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Lets what lingers linger no longer.
    #[cfg(test)]
    pub(super) fn let_ends_go(&self) {
        let now = Instant::now();
        self.lock().lingering.iter_mut().for_each(|(until, _)| *until = now);
        self.arrived.notify_one();
    }

    pub(super) async fn next(&self) -> Next {
        loop {
            let lingers = {
                let (mut waiting, now) = (self.lock(), Instant::now());
                if waiting.let_go(now) {
                    self.place.send_replace(waiting.ends.place());
                }
                if let Some(next) = waiting.pop(now) {
                    return next;
                }
                waiting.lingering.front().map(|(until, _)| *until)
            };
            let forget = async {
                match lingers {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.arrived.notified() => {}
                () = forget => {}
            }
        }
    }
}

impl Waiting {
    fn seed(&mut self) {
        let Waiting { standing, alerts, ends, .. } = self;
        alerts.extend(standing.keys().map(|id| (id.clone(), Due::Stands)));
        alerts.extend(ends.iter().map(|(id, end)| (id.clone(), Due::Over(end.clone()))));
    }

    /// Lets the ends go that have lingered: what the broker keeps of them are ghosts. Whether there were any.
    fn let_go(&mut self, now: Instant) -> bool {
        let over = self.lingering.partition_point(|(until, _)| *until <= now);
        for (_, id) in self.lingering.drain(..over) {
            self.ends.lingered(&id);
            self.found.extend([Topic::Alert(id.clone()), Topic::JsonAlert(id)]);
        }
        over > 0
    }

    fn pop(&mut self, now: Instant) -> Option<Next> {
        if let Some(receipt) = self.receipts.pop_front() {
            return Some(Next::Receipt(receipt));
        }
        if let Some((id, due)) = self.alerts.pop_first() {
            return Some(match due {
                Due::Stands => Next::Alert(self.standing.get(&id).expect("said to stand until its end is put").clone()),
                Due::Over(alert) => {
                    self.lingering.push_back((now + LINGERS, id));
                    Next::Over(alert)
                }
            });
        }
        while let Some(topic) = self.found.pop_front() {
            if let Topic::Alert(id) | Topic::JsonAlert(id) = &topic
                && !self.standing.contains_key(id)
                && !self.lingering.iter().any(|(_, lingering)| lingering == id)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::book::Book;
    use crate::alert::entry::{Act, Actor, Ending};
    use vardpuls_shared::clock::Time;

    /// A book in which an alarm was raised and has ended, and what was said of it.
    fn over() -> (AlertId, Vec<Said>) {
        let id: AlertId = "full.nation.1".parse().expect("valid");
        let raised = json!({ "act": "raised", "alarm": id, "point": "full@nation", "value": 97.5,
            "severity": "severe", "headline": "full", "response": "act", "measure": "occupancy", "unit": "%",
            "name": "Sverige" });
        let raised: Act = serde_json::from_value(raised).expect("an act");
        let cleared = Act::Cleared { alarm: id.clone(), value: Some(80.0), ending: Ending::Condition };
        let mut book = Book::default();
        let said = [raised, cleared].map(|act| book.write(Time(1), Actor::Centre, act, None).said.expect("said"));
        (id, said.to_vec())
    }

    #[test]
    fn an_end_of_a_life_before_is_said_again_until_it_has_come_back_and_lingers() {
        let (id, said) = over();
        let mut ends = Ends::after(0);
        for said in &said {
            ends.follow(said);
        }
        assert_eq!(ends.place(), 1, "a restart begins before the end");
        let outgoing = Outgoing::new(&Standing::default(), ends);
        let (mut waiting, now) = (outgoing.lock(), Instant::now());
        waiting.seed();
        assert!(matches!(waiting.pop(now), Some(Next::Over(alert)) if alert.number == 2));
        // The broker shows it to us as well: it is no ghost yet.
        waiting.found.push_back(Topic::Alert(id.clone()));
        assert!(waiting.pop(now).is_none());
        // The raising comes back late: that is not the end.
        waiting.ends.come_back(&id, 1);
        assert!(waiting.ends.awaits(&id));
        waiting.ends.come_back(&id, 2);
        assert!(!waiting.ends.awaits(&id));
        assert_eq!(waiting.ends.place(), 1, "a crash may still take it from others");
        let later = now + LINGERS;
        assert!(waiting.let_go(later));
        assert!(matches!(waiting.pop(later), Some(Next::Ghost(Topic::Alert(ghost))) if ghost == id));
        assert!(matches!(waiting.pop(later), Some(Next::Ghost(Topic::JsonAlert(ghost))) if ghost == id));
        assert_eq!(waiting.ends.place(), 2);
        waiting.seed();
        assert!(waiting.pop(later).is_none(), "it is not said again");
    }

    #[test]
    fn an_end_that_has_not_come_back_is_kept_however_long_it_lingers() {
        let (id, said) = over();
        let outgoing = Outgoing::new(&Standing::default(), Ends::default());
        for said in &said {
            outgoing.put_alert(said);
        }
        let (mut waiting, now) = (outgoing.lock(), Instant::now());
        assert!(matches!(waiting.pop(now), Some(Next::Over(_))));
        waiting.let_go(now + LINGERS);
        assert!(waiting.ends.awaits(&id));
        waiting.seed();
        assert!(matches!(waiting.pop(now), Some(Next::Over(_))));
    }

    #[test]
    fn an_alarm_that_stands_again_has_no_end_on_its_way() {
        let (id, said) = over();
        let outgoing = Outgoing::new(&Standing::default(), Ends::default());
        for said in &said {
            outgoing.put_alert(said);
        }
        assert!(outgoing.awaits(&id));
        outgoing.put_alert(&Said { message: Message::Alert, ..said[0].clone() });
        assert!(!outgoing.awaits(&id));
        outgoing.lock().seed();
        assert!(matches!(outgoing.lock().pop(Instant::now()), Some(Next::Alert(_))));
    }
}
