//! A roster: a hospital's list of wards. Sent rarely, retained.
//!
//! Reports refer to wards by roster index. The roster's version is taken from its content (the
//! first four bytes of the SHA-256 of the encoded wards), so that no counter has to survive a lost
//! disk and the same list from the same agent always has the same version. It is that of the bytes
//! as they were sent: another implementation may write a number longer than it must be, or a care
//! type that we do not know, so that what was read is never to be encoded again in its place.
//! Bytes: `roster.cddl`.

use crate::care::CareType;
use crate::hospital::{HospitalId, MAX_LEN, WardId};
use crate::report::MAX_WARDS;
use crate::wire::{Reader, WireError, Writer, written};

/// The message version.
pub const VERSION: u64 = 1;

/// The longest ward name or contact role, in bytes of UTF-8.
pub const MAX_NAME: usize = 120;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $konst:ident = $number:literal, $name:literal;)*) => {
        /// What a ward can do beyond its care type, by registered number. Unknown numbers are kept.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct Capability(pub u16);

        impl Capability {
            $($(#[$doc])* pub const $konst: Capability = Capability($number);)*

            /// The word for config, JSON and screens; none for a number that is not registered.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($name),)* _ => None }
            }

            /// Reads the word.
            pub fn from_name(name: &str) -> Option<Capability> {
                match name { $($name => Some(Capability::$konst),)* _ => None }
            }
        }
    };
}

capabilities! {
    /// Invasive ventilation.
    VENTILATION = 1, "ventilation";
    /// Extracorporeal membrane oxygenation.
    ECMO = 2, "ecmo";
    /// Dialysis.
    DIALYSIS = 3, "dialysis";
    /// Severe burns.
    BURNS = 4, "burns";
    /// Neurosurgery.
    NEUROSURGERY = 5, "neurosurgery";
    /// Thoracic surgery.
    THORACIC_SURGERY = 6, "thoracic-surgery";
    /// Major trauma.
    TRAUMA = 7, "trauma";
    /// Isolation rooms.
    ISOLATION = 8, "isolation";
}

/// Where a ward stands, WGS 84, in units of 10⁻⁵ degrees (about one metre).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Latitude × 10⁵.
    pub latitude: i32,
    /// Longitude × 10⁵.
    pub longitude: i32,
}

impl Place {
    /// From degrees.
    pub fn from_degrees(latitude: f64, longitude: f64) -> Option<Place> {
        let scaled = |degrees: f64, most: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "bounded by 180 × 10⁵")]
            (degrees.abs() <= most).then(|| (degrees * 1e5).round() as i32)
        };
        Some(Place { latitude: scaled(latitude, 90.0)?, longitude: scaled(longitude, 180.0)? })
    }

    /// (latitude, longitude) in degrees.
    pub fn degrees(self) -> (f64, f64) {
        (f64::from(self.latitude) / 1e5, f64::from(self.longitude) / 1e5)
    }
}

/// One ward of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ward {
    /// What reports call it.
    pub index: u16,
    /// What the hospital calls it.
    pub id: WardId,
    /// What people call it.
    pub name: String,
    /// What its beds are for.
    pub care: CareType,
    /// Where it stands.
    pub place: Option<Place>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Whom to ask for there: a role (`bed coordinator`), never a person.
    pub contact: Option<String>,
}

/// A hospital's list of wards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Whose wards.
    pub hospital: HospitalId,
    /// Taken from the content: see [`Roster::new`].
    pub version: u32,
    /// The wards, by rising index.
    pub wards: Vec<Ward>,
}

/// Why a roster was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Not the shape of a roster.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The version is not the content's.
    #[error("the roster says version {said:08x}, but its wards are version {found:08x}")]
    Version {
        /// What the message says.
        said: u32,
        /// What the wards' bytes give.
        found: u32,
    },
}

impl Roster {
    /// Makes the roster of these wards, in the order of their indices.
    pub fn new(hospital: HospitalId, mut wards: Vec<Ward>) -> Roster {
        wards.sort_by_key(|w| w.index);
        let mut roster = Roster { hospital, version: 0, wards };
        roster.version = version_of(&roster.encode_wards());
        roster
    }

    /// The ward of an index.
    pub fn ward(&self, index: u16) -> Option<&Ward> {
        self.wards.binary_search_by_key(&index, |w| w.index).ok().map(|at| &self.wards[at])
    }

    fn encode_wards(&self) -> Vec<u8> {
        let mut w = Writer::new(Vec::with_capacity(16 + self.wards.len() * 64));
        written(w.array(self.wards.len() as u64));
        for ward in &self.wards {
            written(w.array(7));
            written(w.u16(ward.index));
            written(w.str(ward.id.as_str()));
            written(w.str(&ward.name));
            written(w.u8(ward.care.number()));
            match ward.place {
                Some(place) => {
                    written(w.array(2));
                    written(w.i32(place.latitude));
                    written(w.i32(place.longitude));
                }
                None => {
                    written(w.null());
                }
            }
            written(w.array(ward.capabilities.len() as u64));
            for capability in &ward.capabilities {
                written(w.u16(capability.0));
            }
            match &ward.contact {
                Some(contact) => written(w.str(contact)),
                None => written(w.null()),
            };
        }
        w.into_writer()
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(Vec::new());
        written(w.array(4));
        written(w.u64(VERSION));
        written(w.str(self.hospital.as_str()));
        written(w.u32(self.version));
        let mut bytes = w.into_writer();
        bytes.extend(self.encode_wards());
        bytes
    }

    /// Reads a payload, and holds its version against its content.
    pub fn decode(payload: &[u8]) -> Result<Roster, RosterError> {
        let mut r = Reader::new(payload);
        r.array_of("the roster", 4, "an array of four")?;
        r.version(VERSION)?;
        let at = r.position();
        let hospital = HospitalId::new(r.text("hospital", MAX_LEN)?).map_err(|_| WireError::Malformed {
            field: "hospital",
            at,
            expected: "1 to 31 of A-Za-z0-9_-",
        })?;
        let said = r.uint32("roster version", u32::MAX)?;
        let from = r.position();
        let mut wards: Vec<Ward> = Vec::new();
        for _ in 0..r.array("wards", MAX_WARDS)? {
            let at = r.position();
            let ward = ward(&mut r)?;
            if wards.last().is_some_and(|last| last.index >= ward.index) {
                return Err(WireError::Malformed { field: "ward", at, expected: "rising indices" }.into());
            }
            wards.push(ward);
        }
        let found = version_of(r.slice(from, r.position()));
        r.end()?;
        if said != found {
            return Err(RosterError::Version { said, found });
        }
        Ok(Roster { hospital, version: said, wards })
    }
}

fn version_of(wards: &[u8]) -> u32 {
    let digest = ring::digest::digest(&ring::digest::SHA256, wards);
    let mut first = [0; 4];
    first.copy_from_slice(&digest.as_ref()[..4]);
    u32::from_be_bytes(first)
}

fn ward(r: &mut Reader<'_>) -> Result<Ward, WireError> {
    r.array_of("ward", 7, "an array of seven")?;
    let index = r.uint16("ward index", u16::MAX)?;
    let at = r.position();
    let id = WardId::new(r.text("ward id", MAX_LEN)?).map_err(|_| WireError::Malformed {
        field: "ward id",
        at,
        expected: "1 to 31 of A-Za-z0-9_-",
    })?;
    let name = r.text("ward name", MAX_NAME)?.to_owned();
    let care = CareType::from_number(u8::try_from(r.uint("care type", 255)?).expect("at most 255"));
    let place = if r.null() {
        None
    } else {
        r.array_of("place", 2, "latitude and longitude")?;
        let mut degrees = |field, most| -> Result<i32, WireError> {
            Ok(i32::try_from(r.int(field, most)?).expect("at most 180 × 10⁵"))
        };
        Some(Place { latitude: degrees("latitude", 9_000_000)?, longitude: degrees("longitude", 18_000_000)? })
    };
    let mut capabilities = Vec::new();
    for _ in 0..r.array("capabilities", 64)? {
        capabilities.push(Capability(r.uint16("capability", u16::MAX)?));
    }
    let contact = if r.null() { None } else { Some(r.text("contact", MAX_NAME)?.to_owned()) };
    Ok(Ward { index, id, name, care, place, capabilities, contact })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Roster {
        let ward = |index, id: &str| Ward {
            index,
            id: id.parse().expect("valid"),
            name: "Intensivvårdsavdelningen".into(),
            care: CareType::Icu,
            place: Place::from_degrees(59.35, 18.033),
            capabilities: vec![Capability::VENTILATION, Capability(4000)],
            contact: (index == 1).then(|| "bed coordinator".into()),
        };
        Roster::new("SE2321000016-1003".parse().expect("valid"), vec![ward(3, "iva-2"), ward(1, "iva-1")])
    }

    #[test]
    fn round_trips_in_the_order_of_indices() {
        let roster = sample();
        assert_eq!(Roster::decode(&roster.encode()).as_ref(), Ok(&roster));
        assert_eq!(roster.ward(3).map(|w| w.id.as_str()), Some("iva-2"));
        assert_eq!(roster.ward(2), None);
    }

    #[test]
    fn the_version_is_the_contents() {
        let mut other = sample();
        other.wards[0].name.push('!');
        assert_ne!(Roster::new(other.hospital.clone(), other.wards.clone()).version, sample().version);
        assert!(matches!(Roster::decode(&other.encode()), Err(RosterError::Version { .. })));
    }

    #[test]
    fn the_version_is_that_of_the_bytes_as_they_were_sent() {
        let roster = sample();
        // The first ward's index in two bytes more than it must have: 01 becomes 19 0001.
        let ours = roster.encode_wards();
        let theirs = [&ours[..2], &[0x19, 0, 1], &ours[3..]].concat();
        let head = roster.encode().len() - ours.len() - 4;
        let sent = [&roster.encode()[..head], &version_of(&theirs).to_be_bytes(), &theirs].concat();
        let read = Roster::decode(&sent).expect("as good as ours");
        assert_eq!((&read.wards, read.version), (&roster.wards, version_of(&theirs)));
        assert_ne!(read.version, roster.version);
        assert!(matches!(Roster::decode(&read.encode()), Err(RosterError::Version { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Roster::decode(&bytes).is_err());
        }

        #[test]
        fn a_changed_roster_is_refused_or_only_names_another_hospital(at: prop::sample::Index, flip in 1u8..) {
            let mut bytes = sample().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(read) = Roster::decode(&bytes) {
                prop_assert_eq!(read.wards, sample().wards);
            }
        }
    }
}
