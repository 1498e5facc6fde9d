//! All visits: takes events, snapshots and the passing of time; says what each ward holds, and what has to be written.
//!
//! In: events under hidden visit numbers. Out: a [`Reason`] for each, counts, and [`Changes`] for the store. Pure.
//!
//! # Invariants
//! 1. The counts are always those that a fresh computation over all visits would give.
//! 2. Neither order nor repetition of messages makes a difference to the counts (see [`super::visit`]).
//! 3. Bounded: closed visits go after their tombstone days, open ones after the longest stay, places and beds have caps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::WardId;

use super::event::{Act, BedState, Class, Said, Spot, When};
use super::place::{Is, Map, PlaceName};
use super::reason::Reason;
use super::secret::{Key, Secret};
use super::visit::{Berth, PlaceNumber, Standing, Statement, Visit};
use super::wards::{Anchor, BedKey, Share, WardCount, Wards, fit};

/// How many places are told apart; a hospital has some hundreds.
pub const MAX_PLACES: u16 = 4096;

/// How many beds with a state are kept.
pub const MAX_BEDS: usize = 20_000;

/// How often a number may change in a row.
const MAX_RENUMBERED: usize = 8;

/// The class of a visit of which none was ever said: its events are those of inpatients.
const INPATIENT: Class = Class(*b"I\0\0\0\0\0\0\0");

/// What the config says about visits.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Which places are which wards.
    pub map: Map,
    /// The patient classes that count.
    pub classes: BTreeSet<Class>,
    /// Whether wards begin empty.
    pub assume_empty: bool,
    /// How long a closed visit is remembered, so that what comes late cannot open it.
    pub tombstone: Duration,
    /// How long an open visit is believed of which nothing is heard.
    pub longest_stay: Duration,
}

impl Rules {
    /// The same rules, for places that are hidden under `secret`.
    #[must_use]
    pub fn under(self, secret: &Secret) -> Rules {
        Rules { map: self.map.under(secret.clone()), ..self }
    }

    fn counts(&self, standing: Standing) -> bool {
        self.classes.contains(&standing.class.unwrap_or(INPATIENT))
    }
}

/// A bed and what was last said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BedSaid {
    /// How it is.
    pub state: BedState,
    /// When that was written down, and sent.
    pub at: (Time, Time),
}

/// Everything that is kept, as the store gives it back.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Places, by their numbers.
    pub places: Vec<PlaceName>,
    /// Visits.
    pub visits: Vec<(Key, Visit)>,
    /// Beds.
    pub beds: Vec<(PlaceNumber, u64, BedSaid)>,
    /// Anchors.
    pub anchors: Vec<(WardId, Anchor)>,
}

impl Kept {
    /// When anything was last heard.
    pub fn heard(&self) -> Option<Time> {
        self.visits.iter().map(|(_, visit)| visit.touched).max()
    }
}

/// What has to be written.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Everything that was kept under the old secret is gone.
    pub forgotten: bool,
    /// Visits that are new, other, or gone.
    pub visits: HashSet<Key>,
    /// Places from this number on are new.
    pub places_from: Option<PlaceNumber>,
    /// Beds that are other.
    pub beds: HashSet<(PlaceNumber, u64)>,
    /// Wards whose anchor is other.
    pub anchors: BTreeSet<WardId>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        !self.forgotten
            && self.visits.is_empty()
            && self.places_from.is_none()
            && self.beds.is_empty()
            && self.anchors.is_empty()
    }
}

/// All visits.
#[derive(Debug, Clone)]
pub struct Visits {
    rules: Rules,
    by_key: HashMap<Key, Visit>,
    places: Vec<PlaceName>,
    numbers: HashMap<PlaceName, PlaceNumber>,
    beds: HashMap<BedKey, BedSaid>,
    wards: Wards,
    changes: Changes,
}

impl Visits {
    /// Takes up what was kept, under the rules in force now.
    pub fn new(rules: Rules, kept: Kept) -> Visits {
        let ids = rules.map.wards().into_iter().cloned().collect();
        let mut wards = Wards::new(ids, rules.assume_empty);
        for (id, anchor) in kept.anchors {
            // A ward that is no place any more has no anchor; one that begins empty needs none.
            if let Some(ward) = wards.index(&id) {
                wards.set_anchor(ward, anchor);
            }
        }
        let mut visits = Visits {
            wards,
            rules,
            by_key: kept.visits.into_iter().collect(),
            places: Vec::new(),
            numbers: HashMap::new(),
            beds: kept.beds.into_iter().map(|(place, bed, said)| ((place, bed), said)).collect(),
            changes: Changes::default(),
        };
        for place in kept.places {
            visits.add_place(place);
        }
        visits.count_again();
        visits
    }

    /// Takes what was said of a visit. `before` is its number until now, where the message changes it.
    pub fn say(&mut self, key: Key, before: Option<Key>, said: &Said, now: Time) -> Reason {
        let known = self.by_key.contains_key(&key) || before.is_some_and(|b| self.by_key.contains_key(&b));
        let counted = said.class.is_none_or(|class| self.rules.classes.contains(&class));
        // An outpatient's visit is nobody's business here. What ends an inpatient's names the class that it ends in.
        if !known && !counted && said.act != Act::EndInpatient {
            return Reason::NotCounted;
        }
        if let Some(before) = before.filter(|before| *before != key) {
            self.renumber(before, key, said.when.recorded, now);
        }
        let berth = said.place.as_ref().map(|spot| self.berth(spot));
        let prior = said.prior.as_ref().map(|spot| self.berth(spot).place);
        let since = said.when.recorded;
        let statement = Statement { act: said.act, when: said.when, since, class: said.class, berth, prior };
        self.take(key, statement, said.admitted, now);
        Reason::Taken
    }

    /// Takes the state of a bed.
    pub fn bed(&mut self, spot: &Spot, state: BedState, when: When) -> Reason {
        let Berth { place, bed: Some(bed) } = self.berth(spot) else { return Reason::NoBed };
        let said = BedSaid { state, at: (when.recorded, when.sent) };
        let room = self.beds.len() < MAX_BEDS;
        match self.beds.get_mut(&(place, bed)) {
            Some(before) if before.at > said.at => return Reason::Taken,
            Some(before) => *before = said,
            None if room => {
                self.beds.insert((place, bed), said);
            }
            None => return Reason::Taken,
        }
        self.changes.beds.insert((place, bed));
        Reason::Taken
    }

    /// Takes another source's counts, each with the time at which it held. Older ones than those that we have change
    /// nothing. Returns how many wards were anchored anew.
    pub fn reconcile(&mut self, snapshot: &BTreeMap<WardId, (u16, Time)>) -> usize {
        let mut fresh = Vec::new();
        let mut there: HashMap<Time, HashMap<usize, i64>> = HashMap::new();
        for (id, &(count, at)) in snapshot {
            let Some(ward) = self.wards.index(id) else { continue };
            let held = self.wards.anchor(ward).and_then(|a| a.at);
            if held.is_some_and(|held| held >= at) {
                continue;
            }
            let then = there.entry(at).or_insert_with(|| self.there(at)).get(&ward).copied().unwrap_or(0);
            let had = self.wards.count_with(ward, then).filter(|_| held.is_some() || self.rules.assume_empty);
            let drift = had.map(|had| fit((i64::from(count) - had).abs()));
            fresh.push((ward, id.clone(), Anchor { count: i64::from(count), at: Some(at), drift }));
        }
        let number = fresh.len();
        for (ward, id, anchor) in fresh {
            self.wards.set_anchor(ward, anchor);
            self.changes.anchors.insert(id);
        }
        if number > 0 {
            self.count_again();
        }
        number
    }

    /// Lets go of what is too old. Its counts stay, but for open visits beyond the longest stay.
    pub fn expire(&mut self, now: Time) -> usize {
        let rules = &self.rules;
        let gone: Vec<(Key, bool)> = self
            .by_key
            .iter()
            .filter_map(|(key, visit)| {
                let open = visit.now().open;
                let most = if open { rules.longest_stay } else { rules.tombstone };
                (now.since(visit.touched) > most).then_some((*key, open))
            })
            .collect();
        for (key, open) in &gone {
            let visit = self.by_key.remove(key).expect("found a moment ago");
            let share = self.share(&visit);
            if *open {
                self.wards.add(&share, -1);
            } else {
                for ward in self.wards.absorb(&share) {
                    self.anchor_changed(ward);
                }
            }
            self.changes.visits.insert(*key);
        }
        gone.len()
    }

    /// Forgets every visit and keeps every count, as for a change of the secret. The counts are as of the newest
    /// statement, by its sender's clock: what comes next is later than that, whatever our own clock says.
    pub fn forget(&mut self) {
        let newest = self.by_key.values().filter_map(|v| v.statements().last()).map(|s| s.when.recorded).max();
        let anchored = self.wards.anchors().filter_map(|(_, _, anchor)| anchor?.at).max();
        let Some(as_of) = newest.max(anchored) else { return };
        for ward in 0..self.wards.anchors().count() {
            if let Some((count, anchor)) = self.wards.count(ward).zip(self.wards.anchor(ward)) {
                self.wards.set_anchor(ward, Anchor { count, at: Some(as_of), ..anchor });
                self.anchor_changed(ward);
            }
        }
        self.by_key.clear();
        self.changes.visits.clear();
        self.changes.forgotten = true;
        self.count_again();
    }

    /// From now on, places are hidden under another secret; those that are kept stay as they are called.
    pub fn hide_under(&mut self, secret: &Secret) {
        self.rules = self.rules.clone().under(secret);
    }

    /// What each ward holds, where that is known.
    pub fn counts(&self) -> BTreeMap<WardId, WardCount> {
        let blocked = self.beds.iter().filter(|(_, said)| said.state == BedState::Blocked).map(|(bed, _)| *bed);
        self.wards.counts(blocked)
    }

    /// Places that nobody has mapped, with the patients in them; at most `most`, the fullest first.
    pub fn unmapped(&self, most: usize) -> Vec<(String, i64)> {
        let mut unmapped: Vec<(String, i64)> = self
            .wards
            .elsewhere()
            .iter()
            .filter_map(|(place, patients)| Some((self.places.get(usize::from(place.0))?, *patients)))
            .filter(|(name, _)| self.rules.map.find(name) == Is::Unmapped)
            .map(|(name, patients)| (name.to_string(), patients))
            .collect();
        unmapped.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        unmapped.truncate(most);
        unmapped
    }

    /// How many patients are in counted classes and places, mapped or not, and how many visits are kept in all.
    pub fn sizes(&self) -> (i64, usize) {
        (self.wards.patients(), self.by_key.len())
    }

    /// The oldest time of an anchor, and the drift of all of them.
    pub fn reconciled(&self) -> (Option<Time>, u32) {
        let anchors = || self.wards.anchors().filter_map(|(_, _, anchor)| anchor);
        (anchors().filter_map(|a| a.at).min(), anchors().filter_map(|a| a.drift).map(u32::from).sum())
    }

    /// What has to be written, once.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// A visit as it has to be written; none where it is gone.
    pub fn visit(&self, key: Key) -> Option<&Visit> {
        self.by_key.get(&key)
    }

    /// What was last said of a bed.
    pub fn bed_said(&self, place: PlaceNumber, bed: u64) -> Option<BedSaid> {
        self.beds.get(&(place, bed)).copied()
    }

    /// A ward's anchor.
    pub fn anchor(&self, id: &WardId) -> Option<Anchor> {
        self.wards.anchor(self.wards.index(id)?)
    }

    /// Places from a number on.
    pub fn places_from(&self, number: PlaceNumber) -> impl Iterator<Item = (PlaceNumber, &PlaceName)> {
        (0..).map(PlaceNumber).zip(&self.places).skip(usize::from(number.0))
    }

    fn take(&mut self, mut key: Key, mut statement: Statement, admitted: Option<Time>, now: Time) {
        let mut moot = Vec::new();
        for _ in 0..=MAX_RENUMBERED {
            let mut visit = self.by_key.remove(&key).unwrap_or_default();
            let before = self.share(&visit);
            let earliest = visit.admitted.into_iter().chain(admitted).min();
            if visit.let_go(&moot) | visit.take(statement) || visit.admitted != earliest {
                visit.admitted = earliest;
                visit.touched = now;
                self.changes.visits.insert(key);
                let after = self.share(&visit);
                if before != after {
                    self.wards.add(&before, -1);
                    self.wards.add(&after, 1);
                }
            }
            // What does not count here counts nowhere further on.
            moot.extend(visit.moot());
            let (renumbered, counts) = (visit.renumbered, visit.counting().any(|s| *s == statement));
            self.by_key.insert(key, visit);
            let Some((since, next)) = renumbered.filter(|_| counts) else { return };
            statement.since = statement.since.max(since);
            key = next;
        }
    }

    /// From `since` on, what was `old` is `new`.
    fn renumber(&mut self, old: Key, new: Key, since: Time, now: Time) {
        let mut last = new;
        for _ in 0..MAX_RENUMBERED {
            if last == old {
                // They are one already, the other way round.
                return;
            }
            match self.by_key.get(&last).and_then(|v| v.renumbered) {
                Some((_, next)) => last = next,
                None => break,
            }
        }
        let mut visit = self.by_key.remove(&old).unwrap_or_default();
        if visit.renumbered.is_none() {
            self.wards.add(&self.share(&visit), -1);
            visit.renumbered = Some((since, new));
            visit.touched = now;
            self.wards.add(&self.share(&visit), 1);
            self.changes.visits.insert(old);
        }
        let (statements, admitted) = (visit.counting().copied().collect::<Vec<_>>(), visit.admitted);
        self.by_key.insert(old, visit);
        for statement in statements {
            let since = statement.since.max(since);
            self.take(new, Statement { since, ..statement }, admitted, now);
        }
    }

    fn share(&self, visit: &Visit) -> Share {
        self.wards.share(visit, |standing| self.rules.counts(standing))
    }

    fn berth(&mut self, spot: &Spot) -> Berth {
        let name = self.rules.map.kept(spot.place.clone());
        let place = match self.numbers.get(&name) {
            Some(number) => *number,
            None => self.add_new_place(name),
        };
        Berth { place, bed: spot.bed.map(|bed| bed.0) }
    }

    fn add_new_place(&mut self, name: PlaceName) -> PlaceNumber {
        if self.places.len() >= usize::from(MAX_PLACES) {
            // No place of ours: it is counted nowhere.
            return PlaceNumber(u16::MAX);
        }
        let number = self.add_place(name);
        self.changes.places_from.get_or_insert(number);
        number
    }

    fn add_place(&mut self, name: PlaceName) -> PlaceNumber {
        let number = PlaceNumber(u16::try_from(self.places.len()).expect("there are at most MAX_PLACES"));
        let ward = match self.rules.map.find(&name) {
            Is::Ward(id) => self.wards.index(&id),
            Is::NoWard | Is::Unmapped => None,
        };
        self.wards.add_place(ward);
        self.numbers.insert(name.clone(), number);
        self.places.push(name);
        number
    }

    fn anchor_changed(&mut self, ward: usize) {
        if let Some((_, id, _)) = self.wards.anchors().nth(ward) {
            self.changes.anchors.insert(id.clone());
        }
    }

    /// How many visits were in each ward at a time.
    fn there(&self, at: Time) -> HashMap<usize, i64> {
        let mut there = HashMap::new();
        for visit in self.by_key.values() {
            if let Some(ward) = self.wards.ward(visit.at(at), |standing| self.rules.counts(standing)) {
                *there.entry(ward).or_default() += 1;
            }
        }
        there
    }

    fn count_again(&mut self) {
        self.wards.clear();
        let shares: Vec<Share> = self.by_key.values().map(|visit| self.share(visit)).collect();
        for share in &shares {
            self.wards.add(share, 1);
        }
    }
}

#[cfg(test)]
mod tests;
