//! An enrolment card: what a hospital's agent gives the centre, once, to be known by.
//!
//! TOML, made by `vardpuls-agent keygen`. The fingerprint is that of the key: two people compare it
//! by telephone, and a card whose parts disagree is refused.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::{Fingerprint, PublicKey};

use crate::config::document::{Document, DocumentError};

/// An enrolment card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Who asks to be enrolled.
    pub hospital: HospitalId,
    /// What people call it.
    pub name: String,
    /// The code of its region.
    pub region: RegionCode,
    /// What its reports will be signed with.
    pub public_key: PublicKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    hospital: HospitalId,
    name: String,
    region: RegionCode,
    public_key: PublicKey,
    fingerprint: String,
}

impl Card {
    /// The fingerprint of the card's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.public_key.fingerprint()
    }

    /// Reads a card file.
    pub fn read(file: &Path) -> Result<Card, DocumentError> {
        Card::from_document(&Document::read(file)?)
    }

    /// Reads a card's text.
    pub fn parse(text: &str) -> Result<Card, DocumentError> {
        Card::from_document(&Document::of(Path::new("card"), text))
    }

    fn from_document(document: &Document) -> Result<Card, DocumentError> {
        let File { hospital, name, region, public_key, fingerprint } = document.parse()?;
        let own = public_key.fingerprint().to_string();
        if fingerprint != own {
            return Err(document.wrong("fingerprint", fingerprint_differs(&own)));
        }
        Ok(Card { hospital, name, region, public_key })
    }

    /// The card's text.
    pub fn render(&self) -> String {
        let file = File {
            hospital: self.hospital.clone(),
            name: self.name.clone(),
            region: self.region.clone(),
            public_key: self.public_key,
            fingerprint: self.fingerprint().to_string(),
        };
        toml::to_string(&file).expect("text fields only")
    }
}

/// What is wrong with a fingerprint that is not its key's.
pub(crate) fn fingerprint_differs(own: &str) -> String {
    format!("is not that of the public key, which is {own}; ask the hospital for its card again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        Card {
            hospital: "SE2321000016-1003".parse().expect("valid"),
            name: "Karolinska \"Solna\"".into(),
            region: "01".parse().expect("valid"),
            public_key: PublicKey([7; 32]),
        }
    }

    #[test]
    fn what_is_rendered_is_read() {
        assert_eq!(Card::parse(&card().render()), Ok(card()));
    }

    #[test]
    fn a_changed_key_is_noticed() {
        let text = card().render().replace(&card().public_key.to_string(), &PublicKey([8; 32]).to_string());
        let error = Card::parse(&text).expect_err("changed").to_string();
        assert!(error.starts_with("card, line 5, fingerprint: is not that of the public key"), "{error}");
    }
}
