//! Who may report: the enrolled hospitals and their keys.
//!
//! In: a folder with one TOML file for each hospital, written by `enrol` or by hand (see [`file`]).
//! Out: a [`Registry`], an immutable snapshot that is replaced whole whenever the folder changes
//! (see [`folder`]). A bad file is an error that names it; it leaves the others, and its own last
//! good version, in force. A file that is removed unenrols its hospital.
//!
//! Keys are judged at the centre's receive time, so that what was believed once is believed again
//! when the live state is rebuilt from the store.

mod file;
mod folder;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::{KeyId, PublicKey};

use crate::config::document::DocumentError;

pub use file::{enrol, read_card};
pub use folder::Enrolments;
pub(crate) use folder::watcher;

/// Whether an enrolled hospital may report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It may.
    Enrolled,
    /// It may not, for now.
    Suspended,
}

/// One of a hospital's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub public_key: PublicKey,
    /// Believed from then on; from ever where there is none.
    pub from: Option<Time>,
    /// Believed until then, itself not included.
    pub until: Option<Time>,
    /// Not believed from then on.
    pub revoked: Option<Time>,
}

/// What a key is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Believe it.
    Valid(PublicKey),
    /// It is the hospital's, and is revoked or past its validity.
    Revoked(PublicKey),
    /// Not a key of this hospital, or not yet.
    Unknown,
}

/// One enrolled hospital.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Which.
    pub hospital: HospitalId,
    /// What people call it.
    pub name: String,
    /// The code of its region, which is one of the nation's.
    pub region: RegionCode,
    /// Whether it may report.
    pub state: State,
    /// Its keys; no two have the same id.
    pub keys: Vec<Key>,
}

impl Key {
    /// What the key is worth at `at`.
    pub fn state(&self, at: Time) -> KeyState {
        if self.revoked.is_some_and(|revoked| at >= revoked) || self.until.is_some_and(|until| at >= until) {
            KeyState::Revoked(self.public_key)
        } else if self.from.is_some_and(|from| at < from) {
            KeyState::Unknown
        } else {
            KeyState::Valid(self.public_key)
        }
    }
}

impl Enrolment {
    /// What the key with this id is worth at `at`, the centre's receive time.
    pub fn key(&self, id: KeyId, at: Time) -> KeyState {
        self.keys.iter().find(|key| key.public_key.id() == id).map_or(KeyState::Unknown, |key| key.state(at))
    }
}

/// All enrolled hospitals at one instant.
#[derive(Debug, Default)]
pub struct Registry {
    hospitals: BTreeMap<HospitalId, Arc<Enrolment>>,
    faults: Vec<EnrolError>,
}

impl Registry {
    /// A hospital's enrolment.
    pub fn hospital(&self, hospital: &HospitalId) -> Option<&Enrolment> {
        self.hospitals.get(hospital).map(Arc::as_ref)
    }

    /// Every enrolment, in the order of the hospitals' ids.
    pub fn iter(&self) -> impl Iterator<Item = &Enrolment> {
        self.hospitals.values().map(Arc::as_ref)
    }

    /// What is wrong in the folder: files that are not in force as they stand.
    pub fn faults(&self) -> &[EnrolError] {
        &self.faults
    }
}

impl FromIterator<Enrolment> for Registry {
    fn from_iter<I: IntoIterator<Item = Enrolment>>(enrolments: I) -> Self {
        let hospitals = enrolments.into_iter().map(|e| (e.hospital.clone(), Arc::new(e))).collect();
        Registry { hospitals, faults: Vec::new() }
    }
}

/// Why a hospital is not, or not as asked, enrolled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// An enrolment file is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The folder cannot be read.
    #[error("the enrolment folder {} cannot be read: {reason}; make it, or mend hospitals-dir in the config", dir.display())]
    Folder {
        /// Which folder.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The card's region is none of the nation's.
    #[error("the card's region {region} is none of {nation}; its regions are: {regions}")]
    UnknownRegion {
        /// The card's region.
        region: RegionCode,
        /// The nation's name.
        nation: String,
        /// The codes that it has.
        regions: String,
    },
    /// The hospital is enrolled in another region than its card says.
    #[error("the card says region {card} and {} says {enrolled}; find out which is right and mend the file or the card", file.display())]
    OtherRegion {
        /// The hospital's enrolment file.
        file: PathBuf,
        /// The region there.
        enrolled: RegionCode,
        /// The region on the card.
        card: RegionCode,
    },
    /// The card's key was revoked or its validity has ended.
    #[error("the card's key is revoked or past its validity in {}; have the hospital make a new one with keygen", .0.display())]
    KeyRevoked(PathBuf),
    /// The enrolment file cannot be written.
    #[error("{} cannot be written: {reason}; run enrol as the aggregator's user", file.display())]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_judged_at_an_instant() {
        let public_key = PublicKey([7; 32]);
        let key = Key { public_key, from: Some(Time(10)), until: Some(Time(20)), revoked: None };
        let valid = KeyState::Valid(public_key);
        let revoked = KeyState::Revoked(public_key);
        for (at, expected) in [(9, KeyState::Unknown), (10, valid), (19, valid), (20, revoked)] {
            assert_eq!(key.state(Time(at)), expected, "at {at}");
        }
        let compromised = Key { revoked: Some(Time(15)), ..key };
        assert_eq!((compromised.state(Time(14)), compromised.state(Time(15))), (valid, revoked));
        let never_valid = Key { revoked: Some(Time(0)), ..key };
        assert_eq!(never_valid.state(Time(5)), revoked);
        let always = Key { public_key, from: None, until: None, revoked: None };
        assert_eq!((always.state(Time(0)), always.state(Time::MAX)), (valid, valid));
    }
}
