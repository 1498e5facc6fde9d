//! What each ward holds: a snapshot of another source, and what changed since.
//!
//! In: where visits stand, as it changes, and snapshots. Out: a count a ward, or none. Pure.
//!
//! # The count
//! `count = anchor + visits there now − visits there at the anchor's time`.
//!
//! The anchor is what another source counted at a time; visits are compared with the same time by the sender's own
//! clock, so that a message that is on its way when the snapshot is taken is neither counted twice nor lost. Patients
//! of whom no message ever told are in the anchor and stay in the count. A ward without an anchor is unknown, unless
//! the config says that wards begin empty; then the anchor is zero, before all time.

use std::collections::{BTreeMap, HashMap};

use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Extra, MAX_COUNT};
use vardpuls_shared::hospital::WardId;

use super::visit::{Berth, PlaceNumber, Standing, Visit};

/// What another source counted in one ward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// How many patients.
    pub count: i64,
    /// When; none for wards that are taken to begin empty.
    pub at: Option<Time>,
    /// By how many our own count differed then; none where there was none.
    pub drift: Option<u16>,
}

impl Anchor {
    /// A ward that begins empty.
    pub const EMPTY: Anchor = Anchor { count: 0, at: None, drift: None };
}

/// One ward's count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WardCount {
    /// Patients in its beds.
    pub occupied: u16,
    /// Of them on leave, beds blocked, drift.
    pub extras: BTreeMap<Extra, u16>,
}

/// What one visit adds to the counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Share {
    now: Option<Berth>,
    on_leave: bool,
    /// Wards at whose anchor's time it was there.
    then: Vec<usize>,
}

/// A bed's state, and when it was said.
pub(super) type BedKey = (PlaceNumber, u64);

#[derive(Debug, Clone, Default)]
struct Ward {
    anchor: Option<Anchor>,
    now: i64,
    then: i64,
    on_leave: i64,
}

/// All wards.
#[derive(Debug, Clone)]
pub(super) struct Wards {
    ids: Vec<WardId>,
    held: Vec<Ward>,
    /// The ward of each place, by its number.
    of_place: Vec<Option<usize>>,
    /// Patients in places that are no ward.
    elsewhere: HashMap<PlaceNumber, i64>,
    /// Patients a bed.
    in_bed: HashMap<BedKey, i64>,
}

impl Wards {
    /// Wards without anchors; `empty` says that they begin empty.
    pub(super) fn new(ids: Vec<WardId>, empty: bool) -> Wards {
        let anchor = empty.then_some(Anchor::EMPTY);
        let held = ids.iter().map(|_| Ward { anchor, ..Ward::default() }).collect();
        Wards { ids, held, of_place: Vec::new(), elsewhere: HashMap::new(), in_bed: HashMap::new() }
    }

    pub(super) fn index(&self, id: &WardId) -> Option<usize> {
        self.ids.iter().position(|other| other == id)
    }

    /// Every ward with its anchor.
    pub(super) fn anchors(&self) -> impl Iterator<Item = (usize, &WardId, Option<Anchor>)> {
        self.ids.iter().zip(&self.held).enumerate().map(|(n, (id, ward))| (n, id, ward.anchor))
    }

    pub(super) fn anchor(&self, ward: usize) -> Option<Anchor> {
        self.held[ward].anchor
    }

    /// Changes an anchor. What visits were there at its time has to be counted again, unless only its count changes.
    pub(super) fn set_anchor(&mut self, ward: usize, anchor: Anchor) {
        self.held[ward].anchor = Some(anchor);
    }

    /// The next place, and the ward that it is.
    pub(super) fn add_place(&mut self, ward: Option<usize>) {
        self.of_place.push(ward);
    }

    pub(super) fn ward_of(&self, place: PlaceNumber) -> Option<usize> {
        self.of_place.get(usize::from(place.0)).copied().flatten()
    }

    /// The ward of a standing that counts.
    pub(super) fn ward(&self, standing: Standing, counts: impl Fn(Standing) -> bool) -> Option<usize> {
        let berth = standing.berth.filter(|_| standing.open && counts(standing))?;
        self.ward_of(berth.place)
    }

    /// What a visit adds.
    pub(super) fn share(&self, visit: &Visit, counts: impl Fn(Standing) -> bool + Copy) -> Share {
        let now = visit.now();
        let mut share =
            Share { now: now.berth.filter(|_| now.open && counts(now)), on_leave: now.on_leave, then: vec![] };
        // Nearly always all wards have an anchor of one time.
        let mut last: Option<(Time, Option<usize>)> = None;
        for (n, ward) in self.held.iter().enumerate() {
            let Some(time) = ward.anchor.and_then(|a| a.at) else { continue };
            let there = match last {
                Some((at, there)) if at == time => there,
                _ => self.ward(visit.at(time), counts),
            };
            last = Some((time, there));
            if there == Some(n) {
                share.then.push(n);
            }
        }
        share
    }

    /// Forgets all visits; anchors stay.
    pub(super) fn clear(&mut self) {
        for ward in &mut self.held {
            (ward.now, ward.then, ward.on_leave) = (0, 0, 0);
        }
        self.elsewhere.clear();
        self.in_bed.clear();
    }

    /// Adds or takes away what a visit adds.
    pub(super) fn add(&mut self, share: &Share, sign: i64) {
        if let Some(berth) = share.now {
            match self.ward_of(berth.place) {
                Some(ward) => {
                    self.held[ward].now += sign;
                    self.held[ward].on_leave += if share.on_leave { sign } else { 0 };
                }
                None => add(&mut self.elsewhere, berth.place, sign),
            }
            if let Some(bed) = berth.bed {
                add(&mut self.in_bed, (berth.place, bed), sign);
            }
        }
        for &ward in &share.then {
            self.held[ward].then += sign;
        }
    }

    /// Lets a visit go without a change of any count: its part at the anchor's time goes into the anchor.
    pub(super) fn absorb(&mut self, share: &Share) -> Vec<usize> {
        self.add(share, -1);
        for &ward in &share.then {
            if let Some(anchor) = &mut self.held[ward].anchor {
                anchor.count -= 1;
            }
        }
        share.then.clone()
    }

    /// The count of a ward as it is now, below zero where visits left that nobody ever counted.
    pub(super) fn count(&self, ward: usize) -> Option<i64> {
        let ward = &self.held[ward];
        Some(ward.anchor?.count + ward.now - ward.then)
    }

    /// The count of a ward at a time at which `there` visits were in it.
    pub(super) fn count_with(&self, ward: usize, there: i64) -> Option<i64> {
        let ward = &self.held[ward];
        Some(ward.anchor?.count + there - ward.then)
    }

    /// All patients, in wards and elsewhere.
    pub(super) fn patients(&self) -> i64 {
        self.held.iter().map(|ward| ward.now).chain(self.elsewhere.values().copied()).sum()
    }

    /// Patients in places that are no ward.
    pub(super) fn elsewhere(&self) -> &HashMap<PlaceNumber, i64> {
        &self.elsewhere
    }

    /// All counts that are known; `blocked` are beds that take no patient.
    pub(super) fn counts(&self, blocked: impl Iterator<Item = BedKey>) -> BTreeMap<WardId, WardCount> {
        let mut free_blocked: HashMap<usize, u16> = HashMap::new();
        for bed in blocked.filter(|bed| !self.in_bed.contains_key(bed)) {
            if let Some(ward) = self.ward_of(bed.0) {
                *free_blocked.entry(ward).or_default() += 1;
            }
        }
        let mut counts = BTreeMap::new();
        for (n, id) in self.ids.iter().enumerate() {
            let Some(count) = self.count(n) else { continue };
            let ward = &self.held[n];
            let extras = [
                (Extra::BLOCKED, free_blocked.get(&n).copied()),
                (Extra::ON_LEAVE, Some(fit(ward.on_leave))),
                (Extra::DRIFT, ward.anchor.and_then(|a| a.drift)),
            ];
            let extras = extras.into_iter().filter_map(|(extra, n)| Some((extra, n.filter(|n| *n > 0)?))).collect();
            counts.insert(id.clone(), WardCount { occupied: fit(count), extras });
        }
        counts
    }
}

fn add<K: std::hash::Hash + Eq>(sums: &mut HashMap<K, i64>, key: K, sign: i64) {
    use std::collections::hash_map::Entry;
    match sums.entry(key) {
        Entry::Vacant(place) => {
            place.insert(sign);
        }
        Entry::Occupied(mut sum) => {
            *sum.get_mut() += sign;
            if *sum.get() == 0 {
                sum.remove();
            }
        }
    }
}

/// As a count that a report can hold.
pub(super) fn fit(count: i64) -> u16 {
    u16::try_from(count.max(0)).unwrap_or(MAX_COUNT).min(MAX_COUNT)
}
