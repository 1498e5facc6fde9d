//! Locations and encounters in, an [`Observation`] out. Pure.
//!
//! A patient is where the latest active stay of an in-progress encounter is, and counts for the first ward on the
//! way up from there by `partOf`. A ward whose location the server does not have is absent, not empty.
//! A bed is a location of physical type `bd`. By its operational status (table 0116) a bed that is being cleaned or
//! is contaminated (H, K), or is isolated (I) with nobody in it, is blocked; a closed one (C) is not staffed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Extra, MAX_COUNT};
use vardpuls_shared::hospital::WardId;

use super::resource::{Encounter, Location, Stay};
use crate::source::shape::named;
use crate::source::{CellFault, CellPlace, MAX_UNKNOWN, Observation, WardObservation};

/// How many steps up from a bed a ward can be.
const MAX_DEPTH: usize = 16;

/// What beds say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beds {
    /// Nothing.
    Ignore,
    /// How many are blocked.
    Blocked,
    /// How many are blocked, and how many are staffed: those that are not closed.
    Staffed,
}

/// How to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counting {
    /// Which encounters' classes occupy a bed.
    pub classes: BTreeSet<String>,
    /// What beds say.
    pub beds: Beds,
    /// The ids or identifiers of locations, and the wards that they are.
    pub wards: BTreeMap<String, WardId>,
}

/// Counts what was read at `now`.
pub(super) fn count(
    counting: &Counting,
    locations: &[Location],
    encounters: &[Encounter],
    base: &str,
    now: Time,
) -> Observation {
    let tree = Tree::new(locations, &counting.wards, base);
    let mut observation = Observation { at: now, ..Observation::default() };
    let mut tallies: BTreeMap<&WardId, Tally> = tree.wards().into_iter().map(|ward| (ward, Tally::default())).collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for encounter in encounters.iter().filter(|encounter| counts(encounter, &counting.classes)) {
        // What moves while pages are read can stand on two of them.
        if !encounter.id.as_deref().is_none_or(|id| seen.insert(id)) {
            continue;
        }
        let reference = latest(&encounter.location).and_then(|stay| stay.location.as_ref()?.reference.as_deref());
        let place = reference.and_then(|reference| tree.find(reference));
        match place.and_then(|place| tree.ward(place)).and_then(|ward| tallies.get_mut(ward)) {
            Some(tally) => tally.occupied += 1,
            None => {
                if observation.unknown.len() < MAX_UNKNOWN {
                    observation
                        .unknown
                        .insert(reference.map_or("an encounter without a place".to_owned(), place_named));
                }
            }
        }
        taken.extend(place);
    }
    if counting.beds != Beds::Ignore {
        for (id, bed) in tree.beds() {
            if let Some(tally) = tree.ward(id).and_then(|ward| tallies.get_mut(ward)) {
                tally.bed(bed, taken.contains(id));
            }
        }
    }
    for (ward, tally) in tallies {
        match tally.observe(counting.beds, now) {
            Some(counts) => drop(observation.wards.insert(ward.clone(), counts)),
            None => drop(observation.spoiled.insert(ward.clone(), too_many())),
        }
    }
    for ward in counting.wards.values().filter(|ward| !observation.wards.contains_key(*ward)) {
        observation.spoiled.entry(ward.clone()).or_insert_with(|| missing(counting, ward));
    }
    observation
}

/// A reference as far as it may be shown.
fn place_named(reference: &str) -> String {
    match reference.strip_prefix("Location/") {
        Some(id) => format!("Location/{}", named(id)),
        None => named(reference),
    }
}

/// Whether an encounter occupies a bed.
fn counts(encounter: &Encounter, classes: &BTreeSet<String>) -> bool {
    let class = encounter.class.as_ref().and_then(|class| class.code.as_ref());
    encounter.resource_type == "Encounter"
        && encounter.status.as_deref() == Some("in-progress")
        && class.is_some_and(|class| classes.contains(class))
}

/// The active stay that began last; of equals, and where none says when it began, the last.
fn latest(stays: &[Stay]) -> Option<&Stay> {
    let active = stays.iter().filter(|stay| match stay.status.as_deref() {
        Some(status) => status == "active",
        None => stay.period.as_ref().is_none_or(|period| period.end.is_none()),
    });
    active.max_by_key(|stay| began(stay))
}

/// Times with a part of the day have an offset; dates compare among themselves.
fn began(stay: &Stay) -> Option<Timestamp> {
    let start = stay.period.as_ref()?.start.as_deref()?;
    start.parse().ok().or_else(|| format!("{start}T00:00:00Z").parse().ok())
}

/// The locations of a server, and which of them are wards.
struct Tree<'l> {
    by_id: BTreeMap<&'l str, &'l Location>,
    by_identifier: BTreeMap<&'l str, &'l str>,
    wards: BTreeMap<&'l str, &'l WardId>,
    base: &'l str,
}

impl<'l> Tree<'l> {
    fn new(locations: &'l [Location], names: &'l BTreeMap<String, WardId>, base: &'l str) -> Tree<'l> {
        let (mut by_id, mut by_identifier, mut wards) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for location in locations.iter().filter(|location| location.resource_type == "Location") {
            let Some(id) = location.id.as_deref() else { continue };
            let identifiers = || location.identifier.iter().filter_map(|identifier| identifier.value.as_deref());
            by_id.insert(id, location);
            by_identifier.extend(identifiers().map(|value| (value, id)));
            let ward = names.get(id).or_else(|| identifiers().find_map(|value| names.get(value)));
            wards.extend(ward.map(|ward| (id, ward)));
        }
        Tree { by_id, by_identifier, wards, base }
    }

    /// The wards that the server has.
    fn wards(&self) -> BTreeSet<&'l WardId> {
        self.wards.values().copied().collect()
    }

    /// The id of what a reference names: `Location/x`, the same with the server before it or a version after it, or a
    /// search by identifier.
    fn find<'r>(&self, reference: &'r str) -> Option<&'l str>
    where
        'l: 'r,
    {
        let local = reference.strip_prefix(self.base).unwrap_or(reference).trim_start_matches('/');
        let id = if let Some(query) = local.strip_prefix("Location?identifier=") {
            let value = query.rsplit_once('|').map_or(query, |(_, value)| value);
            self.by_identifier.get(value).copied()?
        } else {
            local.strip_prefix("Location/")?.split('/').next()?
        };
        self.by_id.get_key_value(id).map(|(id, _)| *id)
    }

    /// The first ward on the way up from a location.
    fn ward(&self, from: &'l str) -> Option<&'l WardId> {
        let mut id = from;
        for _ in 0..MAX_DEPTH {
            if let Some(ward) = self.wards.get(id) {
                return Some(ward);
            }
            let above = self.by_id.get(id)?.part_of.as_ref()?.reference.as_deref()?;
            id = self.find(above)?;
        }
        None
    }

    /// Every bed that is in use at all.
    fn beds(&self) -> impl Iterator<Item = (&'l str, &'l Location)> {
        let is_bed = |location: &Location| {
            let types = location.physical_type.iter().flat_map(|concept| &concept.coding);
            types.into_iter().any(|coding| coding.is("bd")) && location.status.as_deref() != Some("inactive")
        };
        self.by_id.iter().filter(move |(_, location)| is_bed(location)).map(|(id, location)| (*id, *location))
    }
}

/// What a ward has.
#[derive(Debug, Default)]
struct Tally {
    occupied: usize,
    beds: usize,
    open: usize,
    blocked: usize,
}

impl Tally {
    fn bed(&mut self, bed: &Location, taken: bool) {
        let status = bed.operational_status.as_ref().and_then(|status| status.code.as_deref()).unwrap_or_default();
        let suspended = bed.status.as_deref() == Some("suspended");
        self.beds += 1;
        if status == "C" || suspended {
            return;
        }
        self.open += 1;
        if matches!(status, "H" | "K" | "I") && !taken {
            self.blocked += 1;
        }
    }

    /// None where a count is larger than any ward.
    fn observe(&self, beds: Beds, now: Time) -> Option<WardObservation> {
        let fits = |count: usize| u16::try_from(count).ok().filter(|&count| count <= MAX_COUNT);
        let mut seen = WardObservation { at: now, occupied: Some(fits(self.occupied)?), ..WardObservation::default() };
        if self.beds > 0 {
            seen.extras.insert(Extra::BLOCKED, fits(self.blocked)?);
            seen.extras.insert(Extra::PHYSICAL, fits(self.beds)?);
            if beds == Beds::Staffed {
                seen.staffed = Some(fits(self.open)?);
            }
        }
        Some(seen)
    }
}

fn too_many() -> CellFault {
    let problem = format!("more than the {MAX_COUNT} that a ward can have; check [source.wards]");
    CellFault { at: CellPlace::Pointer("Encounter".to_owned()), problem }
}

fn missing(counting: &Counting, ward: &WardId) -> CellFault {
    let names: Vec<_> =
        counting.wards.iter().filter(|(_, named)| *named == ward).map(|(name, _)| name.as_str()).collect();
    let problem = format!(
        "the server has no location with the id or identifier {}; correct [source.wards], or location-query",
        names.join(" or ")
    );
    CellFault { at: CellPlace::Pointer("Location".to_owned()), problem }
}

#[cfg(test)]
mod tests;
