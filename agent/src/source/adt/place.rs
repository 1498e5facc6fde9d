//! Places as messages name them, and the wards that they are.
//!
//! In: the point of care and facility of a PL field (PL-1, PL-4). Out: a [`PlaceName`] that may be kept and shown, and
//! what the config says that it is. Several places may be one ward.
//!
//! A place that the config does not know is kept and shown so that somebody can map it. Should a sender put a person's
//! name or number where the place belongs, that must not be: what is more than a code ([`shape`]) is kept and shown as
//! its shape and two bytes of a keyed digest, which tell such places apart. Once the config knows the place, it is found
//! again by them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use vardpuls_shared::hospital::WardId;

use super::secret::{Key, Secret};
use crate::source::shape;

/// The longest name that is kept.
const MAX_CHARS: usize = 40;

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

    fn hidden(&self, secret: Option<&Secret>) -> PlaceName {
        PlaceName { point_of_care: hide(&self.point_of_care, secret), facility: hide(&self.facility, secret) }
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.point_of_care)?;
        if self.facility.is_empty() { Ok(()) } else { write!(f, "^^^{}", self.facility) }
    }
}

/// As far as a part of a name may be kept and shown.
fn hide(text: &str, secret: Option<&Secret>) -> String {
    if text.is_empty() || shape::may_be_shown(text) {
        return text.to_owned();
    }
    let digest = secret.map_or(Key::default(), |secret| secret.hide(&[b"place ", text.as_bytes()].concat()));
    let [first, second, ..] = digest.0;
    format!("{} {first:02x}{second:02x}", shape::shape(text))
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
    /// What names are hidden under; none hides them all alike.
    secret: Option<Secret>,
    /// The same names, as places are called that were kept before the config knew them.
    hidden: BTreeMap<PlaceName, PlaceName>,
}

impl Map {
    /// Places that are wards, and places that are none.
    pub fn new(wards: BTreeMap<PlaceName, WardId>, ignored: BTreeSet<PlaceName>) -> Map {
        Map { wards, ignored, ..Map::default() }
    }

    /// The same map, for places that are hidden under `secret`.
    #[must_use]
    pub fn under(self, secret: Secret) -> Map {
        let known = self.wards.keys().chain(&self.ignored);
        let hidden = known.map(|name| (name.hidden(Some(&secret)), name.clone())).collect();
        Map { secret: Some(secret), hidden, ..self }
    }

    /// What a place is: as it stands with its facility, else its point of care alone.
    pub fn find(&self, name: &PlaceName) -> Is {
        match self.known(name) {
            None => Is::Unmapped,
            Some(known) => self.wards.get(known).map_or(Is::NoWard, |ward| Is::Ward(ward.clone())),
        }
    }

    /// The name under which a place is kept: what the config knows of it, and the rest as far as it may be shown.
    pub fn kept(&self, name: PlaceName) -> PlaceName {
        let secret = self.secret.as_ref();
        match self.known(&name) {
            Some(known) if known.facility == name.facility => name,
            Some(_) => PlaceName { facility: hide(&name.facility, secret), ..name },
            None => name.hidden(secret),
        }
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
                .or_else(|| self.hidden.get(name))
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
        let wards = [("KIR3", "kir-3"), ("KIR3^^^HUS2", "kir-3b"), ("Thoraxkirurgi", "thx")];
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
    fn what_may_be_a_person_is_hidden_unless_the_config_knows_it() {
        let map = map().under(Secret::of(&[7; 32]));
        let kept = |text: &str, facility: &str| map.kept(PlaceName::new(text, facility)).to_string();
        let hidden = |text: &str, shape: &str| {
            let kept = kept(text, "");
            let tag = kept.strip_prefix(shape).unwrap_or_else(|| panic!("{kept}"));
            assert!(tag.len() == 5 && tag.bytes().skip(1).all(|b| b.is_ascii_hexdigit()), "{kept}");
            kept
        };
        let one = hidden("19121212-1212", "[12 digits, 1 other]");
        assert_ne!(one, hidden("19121212-1220", "[12 digits, 1 other]"), "two places stay two");
        hidden("Anna Andersson", "[13 letters, 1 space]");
        assert_eq!(kept("MED 12345", ""), "MED 12345");
        assert_eq!(kept("SE2321000016-1004", ""), "SE2321000016-1004");
        assert_eq!(kept("Thoraxkirurgi", ""), "Thoraxkirurgi");
        let beside = kept("KIR3", "Anna Andersson");
        assert!(beside.starts_with("KIR3^^^[13 letters, 1 space] "), "{beside}");
        assert_eq!(kept("a\r\nb", ""), "ab");
        assert!(PlaceName::new(&"å".repeat(100), "").point_of_care.chars().count() <= MAX_CHARS);
    }

    #[test]
    fn a_hidden_place_is_found_once_the_config_knows_it_and_only_under_its_secret() {
        let hidden = Map::default().under(Secret::of(&[7; 32])).kept(name("Thoraxkirurgi^^^Storsjukhuset"));
        assert!(!hidden.to_string().contains('T'), "{hidden}");
        assert_eq!(map().under(Secret::of(&[7; 32])).find(&hidden), Is::Ward("thx".parse().expect("valid")));
        assert_eq!(map().under(Secret::of(&[8; 32])).find(&hidden), Is::Unmapped);
    }

    #[test]
    fn only_point_of_care_and_facility_can_be_mapped() {
        for text in ["", "^", "KIR3^1", "KIR3^^^", "KIR3^1^2^HUS2", "^^^HUS2"] {
            assert_eq!(PlaceName::parse(text), None, "{text}");
        }
    }
}
