//! Ends of alarms that the broker has not shown to have taken yet. Pure.
//!
//! What stands is published again after every connection, and a reader who missed it sees it then. An
//! end is said once and leaves nothing behind: after a crash between its commit and its publication
//! nobody would say it. So every end is kept until it has come back from the broker, on our own
//! subscription, and has lingered there for a while: a crash may take the broker along, with what it
//! had not yet handed to others. Until then it is said again after every connection.
//!
//! In: what is said, in the order of the journal; what comes back; what has lingered. Out: the ends to say
//! again, and the place in the journal up to which none is left, for a restart to begin at.

use std::collections::BTreeMap;
use std::sync::Arc;

use vardpuls_shared::alert::{Alert, AlertId};

use crate::alert::entry::{Message, Said};

/// Ends on their way.
#[derive(Debug, Default)]
pub struct Ends {
    /// The last change that was taken in.
    said_to: u64,
    on_their_way: BTreeMap<AlertId, End>,
}

#[derive(Debug)]
struct End {
    alert: Arc<Alert>,
    came_back: bool,
}

impl Ends {
    /// None after `place`, where what follows it in the journal is still to be taken in.
    pub fn after(place: u64) -> Ends {
        Ends { said_to: place, on_their_way: BTreeMap::new() }
    }

    /// Takes in what is said of an alarm.
    pub fn follow(&mut self, said: &Said) {
        let alert = &said.alert;
        self.said_to = self.said_to.max(alert.number);
        match said.message {
            // It stands, and will be seen to.
            Message::Alert | Message::Update => drop(self.on_their_way.remove(&alert.id)),
            Message::Cancel => {
                let end = End { alert: Arc::new(alert.clone()), came_back: false };
                self.on_their_way.insert(alert.id.clone(), end);
            }
        }
    }

    /// Whether an end of this alarm has still to come back.
    pub(super) fn awaits(&self, alarm: &AlertId) -> bool {
        self.on_their_way.get(alarm).is_some_and(|end| !end.came_back)
    }

    /// Every end that is on its way.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AlertId, &Arc<Alert>)> {
        self.on_their_way.iter().map(|(alarm, end)| (alarm, &end.alert))
    }

    /// The broker has this change of an alarm.
    pub(super) fn come_back(&mut self, alarm: &AlertId, number: u64) {
        if let Some(end) = self.on_their_way.get_mut(alarm) {
            end.came_back |= end.alert.number <= number;
        }
    }

    /// An alarm's end has lingered for long enough, if it has come back.
    pub(super) fn lingered(&mut self, alarm: &AlertId) {
        if self.on_their_way.get(alarm).is_some_and(|end| end.came_back) {
            self.on_their_way.remove(alarm);
        }
    }

    /// The entry up to which no end is on its way.
    pub(super) fn place(&self) -> u64 {
        self.on_their_way.values().map(|end| end.alert.number - 1).min().unwrap_or(self.said_to)
    }
}
