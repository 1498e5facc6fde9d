//! The enrolment card: what a hospital gives the centre, once, so that its reports are believed.
//!
//! TOML, as the centre's `enrol` reads it. Public parts only; two people compare the fingerprint
//! by telephone before the card is enrolled.

use serde::Serialize;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::PublicKey;

/// One card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Card {
    hospital: HospitalId,
    name: String,
    region: RegionCode,
    public_key: PublicKey,
    fingerprint: String,
}

impl Card {
    /// The card of a hospital with this key.
    pub fn new(hospital: HospitalId, name: String, region: RegionCode, public_key: PublicKey) -> Card {
        Card { hospital, name, region, public_key, fingerprint: public_key.fingerprint().to_string() }
    }

    /// The card's text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("five texts are TOML")
    }
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::key::SigningKey;

    use super::*;

    #[test]
    fn the_centre_finds_every_key_and_the_fingerprint_fits() {
        let key = SigningKey::from_seed(&[1; 32]).public();
        let card = Card::new("h".parse().expect("valid"), "Å \"sjukhus\"".into(), "01".parse().expect("valid"), key);
        let read: toml::Table = card.to_toml().parse().expect("TOML");
        assert_eq!(read["public-key"].as_str(), Some(key.to_string().as_str()));
        assert_eq!(read["fingerprint"].as_str(), Some(key.fingerprint().to_string().as_str()));
        assert_eq!((read["name"].as_str(), read["region"].as_str()), (Some("Å \"sjukhus\""), Some("01")));
        assert_eq!(read["hospital"].as_str(), Some("h"));
    }
}
