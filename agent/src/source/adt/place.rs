//! Places as messages name them, and the wards that they are.
//!
//! In: the point of care and facility of a PL field (PL-1, PL-4). Out: a [`PlaceName`] that may be kept and shown, and
//! what the config says that it is. Several places may be one ward.
//!
//! A place that the config does not know is kept and shown so that somebody can map it. Should a sender put a person's
//! number where the place belongs, its digits must not be: a name with six digits in a row is masked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use vardpuls_shared::hospital::WardId;

/// The longest name that is kept.
const MAX_CHARS: usize = 40;

/// A run of so many digits may be a person's number.
const SUSPICIOUS: usize = 6;

/// A place's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceName {
    /// PL-1, the point of care.
    pub point_of_care: String,
    /// PL-4.1, the facility; empty where none is named.
    pub facility: String,
}

impl PlaceName {
    /// A name without control characters, cut to what is kept.
    pub fn new(point_of_care: &str, facility: &str) -> PlaceName {
        let plain =
            |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect::<String>().trim().to_owned();
        PlaceName { point_of_care: plain(point_of_care), facility: plain(facility) }
    }

    /// Reads `KIR3` or `KIR3^^^HUS2`, as a PL field would write it.
    pub fn parse(text: &str) -> Option<PlaceName> {
        let parts: Vec<&str> = text.split('^').collect();
        let name = match parts[..] {
            [point_of_care] => PlaceName::new(point_of_care, ""),
            [point_of_care, "", "", facility] if !facility.trim().is_empty() => PlaceName::new(point_of_care, facility),
            _ => return None,
        };
        (!name.point_of_care.is_empty()).then_some(name)
    }

    fn masked(&self) -> PlaceName {
        PlaceName { point_of_care: mask(&self.point_of_care), facility: mask(&self.facility) }
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.point_of_care)?;
        if self.facility.is_empty() { Ok(()) } else { write!(f, "^^^{}", self.facility) }
    }
}

fn mask(text: &str) -> String {
    let mut run = 0;
    let suspicious = text.chars().any(|c| {
        run = if c.is_numeric() { run + 1 } else { 0 };
        run >= SUSPICIOUS
    });
    if suspicious { text.chars().map(|c| if c.is_numeric() { '#' } else { c }).collect() } else { text.to_owned() }
}

/// What a place is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Is {
    /// Beds of this ward.
    Ward(WardId),
    /// No ward, says the config: a theatre, a corridor to imaging.
    NoWard,
    /// Nobody has said.
    Unmapped,
}

/// What the config says about places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Map {
    wards: BTreeMap<PlaceName, WardId>,
    ignored: BTreeSet<PlaceName>,
    /// The same, as places are called that were kept before the config knew them.
    masked: BTreeMap<PlaceName, PlaceName>,
}

impl Map {
    /// Places that are wards, and places that are none.
    pub fn new(wards: BTreeMap<PlaceName, WardId>, ignored: BTreeSet<PlaceName>) -> Map {
        let masked = wards.keys().chain(&ignored).map(|name| (name.masked(), name.clone())).collect();
        Map { wards, ignored, masked }
    }

    /// What a place is: as it stands with its facility, else its point of care alone.
    pub fn find(&self, name: &PlaceName) -> Is {
        match self.known(name) {
            None => Is::Unmapped,
            Some(known) => self.wards.get(known).map_or(Is::NoWard, |ward| Is::Ward(ward.clone())),
        }
    }

    /// The name under which a place is kept: its own where the config knows it, else without suspicious digits.
    pub fn kept(&self, name: PlaceName) -> PlaceName {
        if self.known(&name).is_some() { name } else { name.masked() }
    }

    /// Every ward that some place is.
    pub fn wards(&self) -> BTreeSet<&WardId> {
        self.wards.values().collect()
    }

    fn known(&self, name: &PlaceName) -> Option<&PlaceName> {
        let alone = PlaceName { point_of_care: name.point_of_care.clone(), facility: String::new() };
        [name, &alone].into_iter().find_map(|name| {
            self.wards
                .get_key_value(name)
                .map(|(known, _)| known)
                .or_else(|| self.ignored.get(name))
                .or_else(|| self.masked.get(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PlaceName {
        PlaceName::parse(text).expect("a place")
    }

    fn map() -> Map {
        let ward = |text: &str| text.parse::<WardId>().expect("valid");
        let wards = [("KIR3", "kir-3"), ("KIR3^^^HUS2", "kir-3b"), ("SE2321000016-1003", "iva")];
        Map::new(wards.into_iter().map(|(place, id)| (name(place), ward(id))).collect(), BTreeSet::from([name("OP")]))
    }

    #[test]
    fn the_facility_decides_where_the_config_names_it() {
        let is = |text| match map().find(&name(text)) {
            Is::Ward(id) => id.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(is("KIR3"), "kir-3");
        assert_eq!(is("KIR3^^^HUS1"), "kir-3");
        assert_eq!(is("KIR3^^^HUS2"), "kir-3b");
        assert_eq!(is("OP^^^HUS2"), "NoWard");
        assert_eq!(is("MED1"), "Unmapped");
    }

    #[test]
    fn a_name_that_may_hold_a_persons_number_is_masked_unless_the_config_knows_it() {
        let kept = |text: &str| map().kept(PlaceName::new(text, "")).to_string();
        assert_eq!(kept("19121212-1212"), "########-####");
        assert_eq!(kept("MED 12345"), "MED 12345");
        assert_eq!(kept("SE2321000016-1003"), "SE2321000016-1003");
        assert_eq!(kept("SE2321000016-1004"), "SE##########-####");
        assert_eq!(kept("a\r\nb"), "ab");
        assert!(PlaceName::new(&"å".repeat(100), "").point_of_care.chars().count() <= MAX_CHARS);
    }

    #[test]
    fn a_masked_place_is_found_once_the_config_knows_it() {
        let masked = Map::default().kept(name("SE2321000016-1003"));
        assert_eq!(map().find(&masked), Is::Ward("iva".parse().expect("valid")));
    }

    #[test]
    fn only_point_of_care_and_facility_can_be_mapped() {
        for text in ["", "^", "KIR3^1", "KIR3^^^", "KIR3^1^2^HUS2", "^^^HUS2"] {
            assert_eq!(PlaceName::parse(text), None, "{text}");
        }
    }
}
