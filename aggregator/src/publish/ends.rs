//! Ends of alarms that the broker has not shown to have taken yet. Pure.
//!
//! What stands is published again after every connection, and a reader who missed it sees it then. An
//! end is said once and leaves nothing behind: after a crash between its commit and its publication
//! nobody would say it. So every end is kept until it has come back from the broker, on our own
//! subscription: then whoever listens has it too. Until then it is said again after every connection.
//!
//! In: what is said, in the order of the journal; what comes back. Out: the ends to say again, and the
//! place in the journal up to which every end has been taken, for a restart to begin at.

use std::collections::BTreeMap;
use std::sync::Arc;

use vardpuls_shared::alert::{Alert, AlertId};

use crate::alert::entry::{Message, Said};

/// Ends on their way.
#[derive(Debug, Default)]
pub struct Ends {
    /// The last change that was taken in.
    said_to: u64,
    on_their_way: BTreeMap<AlertId, Arc<Alert>>,
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
            Message::Cancel => drop(self.on_their_way.insert(alert.id.clone(), Arc::new(alert.clone()))),
        }
    }

    /// Whether an end of this alarm is on its way.
    pub(super) fn has(&self, alarm: &AlertId) -> bool {
        self.on_their_way.contains_key(alarm)
    }

    /// Every end that is on its way.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AlertId, &Arc<Alert>)> {
        self.on_their_way.iter()
    }

    /// The broker has this change of an alarm. True when that was an end on its way.
    pub(super) fn taken(&mut self, alarm: &AlertId, number: u64) -> bool {
        let was = self.on_their_way.get(alarm).is_some_and(|end| end.number <= number);
        was && self.on_their_way.remove(alarm).is_some()
    }

    /// The entry up to which every end has been taken.
    pub(super) fn place(&self) -> u64 {
        self.on_their_way.values().map(|end| end.number - 1).min().unwrap_or(self.said_to)
    }
}
