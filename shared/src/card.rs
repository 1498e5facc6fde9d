//! An enrolment card: what a hospital's agent gives the centre, once, to be known by.
//!
//! TOML, made by `vardpuls-agent keygen`, read by `vardpuls-aggregator enrol`. Public parts only. The
//! fingerprint is that of the key: two people compare it by telephone, and a card whose parts
//! disagree is refused.

use serde::{Deserialize, Serialize};

use crate::hospital::{HospitalId, RegionCode};
use crate::key::PublicKey;

/// An enrolment card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Card {
    /// Who asks to be enrolled.
    pub hospital: HospitalId,
    /// What people call it.
    pub name: String,
    /// The code of its region.
    pub region: RegionCode,
    /// What its reports will be signed with.
    pub public_key: PublicKey,
    /// The key's fingerprint, as it is written on the card.
    fingerprint: String,
}

/// The fingerprint on a card is not its key's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not that of the public key, which is {0}; ask the hospital for its card again")]
pub struct FingerprintDiffers(pub String);

/// Holds a written fingerprint against its key.
pub fn check_fingerprint(written: &str, key: &PublicKey) -> Result<(), FingerprintDiffers> {
    let own = key.fingerprint().to_string();
    if written == own { Ok(()) } else { Err(FingerprintDiffers(own)) }
}

impl Card {
    /// The card of a hospital with this key.
    pub fn new(hospital: HospitalId, name: String, region: RegionCode, public_key: PublicKey) -> Card {
        Card { hospital, name, region, public_key, fingerprint: public_key.fingerprint().to_string() }
    }

    /// Holds the fingerprint that was read against the key. Whoever reads a card asks this first.
    pub fn check(&self) -> Result<(), FingerprintDiffers> {
        check_fingerprint(&self.fingerprint, &self.public_key)
    }

    /// The card's text.
    pub fn render(&self) -> String {
        toml::to_string(self).expect("five texts are TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        let (hospital, region) = ("SE2321000016-1003".parse().expect("valid"), "01".parse().expect("valid"));
        Card::new(hospital, "Å \"sjukhus\"".into(), region, PublicKey([7; 32]))
    }

    #[test]
    fn what_is_rendered_is_read() {
        let read: Card = toml::from_str(&card().render()).expect("TOML");
        assert_eq!(read, card());
        assert_eq!(read.check(), Ok(()));
    }

    #[test]
    fn a_changed_key_is_noticed() {
        let text = card().render().replace(&card().public_key.to_string(), &PublicKey([8; 32]).to_string());
        let read: Card = toml::from_str(&text).expect("TOML");
        assert_eq!(read.check(), Err(FingerprintDiffers(PublicKey([8; 32]).fingerprint().to_string())));
    }
}
