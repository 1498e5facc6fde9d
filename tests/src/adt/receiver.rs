//! The agent's own path from bytes to counts, without sockets: framer, reader, rules, visits, store.
//!
//! In: bytes, split anywhere, and snapshots. Out: a [`Reason`] for each message that has arrived in full, and the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use vardpuls_agent::source::adt::event::{self, Class, Habits};
use vardpuls_agent::source::adt::frame::{Framer, Piece};
use vardpuls_agent::source::adt::hl7::Message;
use vardpuls_agent::source::adt::keeper;
use vardpuls_agent::source::adt::place::{Map, PlaceName};
use vardpuls_agent::source::adt::reason::Reason;
use vardpuls_agent::source::adt::store::{Store, StoreError};
use vardpuls_agent::source::adt::visits::{Rules, Visits};
use vardpuls_agent::source::adt::wards::WardCount;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::WardId;

use super::sender::ZONE;
use super::truth::{NO_WARDS, PLACES};

/// The longest message that is taken.
const MOST: usize = 64 * 1024;

/// How a source called `pas` is set up for the places of the truth.
pub fn rules(assume_empty: bool) -> Rules {
    let name = |text: &str, facility: &str| PlaceName::new(text, facility);
    let wards = PLACES.iter().filter_map(|place| {
        let ward = place.ward?.parse().expect("a ward's id");
        Some((name(place.point_of_care, place.facility), ward))
    });
    Rules {
        map: Map::new(wards.collect(), NO_WARDS.iter().map(|place| name(place, "")).collect()),
        classes: Class::new(b"I").into_iter().collect(),
        assume_empty,
        tombstone: Duration::from_hours(48),
        longest_stay: Duration::from_hours(24 * 400),
    }
}

/// How its senders write, where they do not say.
pub fn habits() -> Habits {
    Habits {
        charset: encoding_rs::WINDOWS_1252,
        zone: TimeZone::get(ZONE).expect("bundled"),
        registrations: false,
        processing: vec!["P".to_owned()],
    }
}

/// The wards of the truth.
pub fn wards() -> BTreeSet<WardId> {
    rules(true).map.wards().into_iter().cloned().collect()
}

/// An agent's census, without its sockets.
#[derive(Debug)]
pub struct Receiver {
    folder: PathBuf,
    rules: Rules,
    habits: Habits,
    framer: Framer,
    pieces: Vec<Piece>,
    store: Store,
    visits: Visits,
}

impl Receiver {
    /// Keeps its visits in `folder`.
    pub fn open(folder: &Path, rules: Rules, now: Time) -> Result<Receiver, StoreError> {
        let (store, kept) = Store::open(folder, "pas", now)?;
        let visits = Visits::new(rules.clone(), kept);
        let (folder, pieces) = (folder.to_owned(), Vec::new());
        Ok(Receiver { folder, rules, habits: habits(), framer: Framer::new(MOST), pieces, store, visits })
    }

    /// Takes bytes, and says what became of the messages that they complete.
    pub fn take(&mut self, bytes: &[u8], now: Time) -> Vec<Reason> {
        self.framer.push(bytes, &mut self.pieces);
        let mut reasons = Vec::new();
        for piece in self.pieces.drain(..) {
            let Piece::Message(bytes) = piece else { continue };
            let read = Message::parse(&bytes).ok_or(Reason::NotHl7);
            let event = read.and_then(|message| event::read(&message, &self.habits, now));
            reasons.push(match event {
                Ok(event) => keeper::apply(self.store.secret(), &mut self.visits, event, now),
                Err(reason) => reason,
            });
        }
        reasons
    }

    /// Takes another source's counts.
    pub fn reconcile(&mut self, counts: BTreeMap<WardId, u16>, at: Time) {
        let snapshot = counts.into_iter().map(|(id, count)| (id, (count, at))).collect();
        self.visits.reconcile(&snapshot);
    }

    /// Lets go of what is too old.
    pub fn expire(&mut self, now: Time) {
        self.visits.expire(now);
    }

    /// Changes the secret: all visits are forgotten.
    pub fn rotate(&mut self) -> Result<(), StoreError> {
        self.write()?;
        self.visits.forget();
        let changes = self.visits.take_changes();
        self.store.change_secret(&self.visits, &changes)
    }

    /// Ends, and begins again from what is on disk. A message that has arrived in part is lost with its connection.
    pub fn restart(self, now: Time) -> Result<Receiver, StoreError> {
        let Receiver { folder, rules, .. } = { self }.written()?;
        Receiver::open(&folder, rules, now)
    }

    fn written(mut self) -> Result<Receiver, StoreError> {
        self.write()?;
        Ok(self)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let changes = self.visits.take_changes();
        self.store.write(&self.visits, &changes)
    }

    /// What each ward holds.
    pub fn counts(&self) -> BTreeMap<WardId, WardCount> {
        self.visits.counts()
    }
}
