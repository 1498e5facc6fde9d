//! One session: a connection, what is scheduled on it, and what was said on it.
//!
//! Requests are never awaited: a full queue makes a pause, and what did not fit stays scheduled.

use std::time::{Duration, Instant};

use rumqttc::QoS;
use vardpuls_shared::report::Position;
use vardpuls_shared::topic::Topic;

use super::connection::Connection;
use super::schedule::Schedule;

/// How soon a full request queue is tried again.
const FULL_QUEUE: Duration = Duration::from_millis(50);

/// One connection that stands or is being made.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) schedule: Schedule,
    /// The epoch that the schedule's sequences belong to.
    pub(super) epoch: u64,
    pub(super) up: Option<Instant>,
    pub(super) receipted: bool,
    pub(super) roster_sent: Option<Instant>,
    /// Whether the feed was asked for.
    pub(super) asked: bool,
    /// Not before this: the queue was full, or the outbox failed.
    pub(super) hold: Option<Instant>,
}

impl Session {
    /// Hands a message to the connection; false, and a pause, when its queue is full.
    pub(super) fn publish(&mut self, topic: &Topic, retain: bool, payload: Vec<u8>) -> bool {
        let sent = self.connection.client.try_publish(topic.to_string(), QoS::AtLeastOnce, retain, payload).is_ok();
        if !sent {
            self.hold = Some(Instant::now() + FULL_QUEUE);
        }
        sent
    }

    pub(super) fn appended(&mut self, next: Position) {
        if next.epoch == self.epoch {
            self.schedule.appended(Instant::now(), next.sequence);
        } else if self.up.is_some() {
            // The outbox was lost and begun again under our feet.
            self.epoch = next.epoch;
            self.schedule.connected(Instant::now(), next.sequence);
        }
    }
}
