//! What a ward's beds are for: one enumeration, and its words in the vocabularies that we meet.
//!
//! The wire carries the number. Numbers are never reused; a number from a newer peer is read as
//! [`CareType::Other`], so that an old centre still counts the ward in its totals.
//!
//! Vocabularies: SAFR (HL7 US Situational Awareness Framework, bed capacity LOINC value set,
//! occupied/unoccupied codes) and EDXL-HAVE 1.0 bed types. Where a vocabulary has no term the
//! mapping is empty, never a near miss.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! care_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $swedish:literal, $safr:expr, $have:expr;)*) => {
        /// What a ward's beds are for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum CareType {
            $($(#[$doc])* #[serde(rename = $name)] $variant = $number,)*
        }

        impl CareType {
            /// Every care type, in the order of their numbers.
            pub const ALL: &[CareType] = &[$(CareType::$variant,)*];

            /// The word for config, topics, JSON and screens.
            pub fn name(self) -> &'static str {
                match self { $(CareType::$variant => $name,)* }
            }

            /// The Swedish term.
            pub fn swedish(self) -> &'static str {
                match self { $(CareType::$variant => $swedish,)* }
            }

            /// SAFR's LOINC codes for (occupied, unoccupied) beds of this type.
            pub fn safr(self) -> Option<(&'static str, &'static str)> {
                match self { $(CareType::$variant => $safr,)* }
            }

            /// The EDXL-HAVE 1.0 bed type.
            pub fn edxl_have(self) -> Option<&'static str> {
                match self { $(CareType::$variant => $have,)* }
            }

            /// Reads the wire number; an unknown one is [`CareType::Other`].
            pub fn from_number(number: u8) -> CareType {
                match number { $($number => CareType::$variant,)* _ => CareType::Other }
            }
        }
    };
}

care_types! {
    /// None of the others, or a type that only a newer peer knows.
    Other = 0, "other", "övrig vård", None, None;
    /// Intensive care for adults.
    Icu = 1, "icu", "intensivvård", Some(("112575-6", "112574-9")), Some("AdultICU");
    /// Between intensive and general care.
    Intermediate = 2, "intermediate", "intermediärvård", None, None;
    /// General inpatient care, medical and surgical.
    General = 3, "general", "allmän slutenvård", None, Some("MedicalSurgical");
    /// Emergency department places.
    Emergency = 4, "emergency", "akutmottagning", None, Some("EmergencyDepartment");
    /// Psychiatric care for adults.
    Psychiatric = 5, "psychiatric", "psykiatrisk vård", None, Some("AdultPsychiatric");
    /// General care for children.
    Paediatric = 6, "paediatric", "barnsjukvård", None, Some("Pediatrics");
    /// Intensive care for children.
    PaediatricIcu = 7, "paediatric-icu", "barnintensivvård", Some(("112562-4", "112561-6")), Some("PediatricICU");
    /// Intensive care for newborns.
    NeonatalIcu = 8, "neonatal-icu", "neonatalintensivvård", None, Some("NeonatalICU");
    /// Birth and after-birth care.
    Maternity = 9, "maternity", "förlossnings- och BB-vård", None, None;
    /// Burn care.
    Burn = 10, "burn", "brännskadevård", Some(("112516-0", "112515-2")), Some("Burn");
    /// Airborne-infection isolation (negative pressure).
    Isolation = 11, "isolation", "isoleringsvård", Some(("112514-5", "112513-7")), Some("NegativeFlowIsolation");
    /// Rehabilitation and geriatric aftercare.
    Rehabilitation = 12, "rehabilitation", "rehabilitering", None, Some("RehabLongTermCare");
    /// Psychiatric care for children and adolescents.
    PaediatricPsychiatric = 13, "paediatric-psychiatric", "barn- och ungdomspsykiatri", None, Some("PediatricPsychiatric");
}

impl CareType {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for CareType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no care type's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a care type; the names are icu, intermediate, general, emergency, psychiatric, paediatric, paediatric-icu, neonatal-icu, maternity, burn, isolation, rehabilitation, paediatric-psychiatric, other"
)]
pub struct UnknownCareType(pub String);

impl FromStr for CareType {
    type Err = UnknownCareType;
    fn from_str(text: &str) -> Result<Self, UnknownCareType> {
        CareType::ALL.iter().copied().find(|c| c.name() == text).ok_or_else(|| UnknownCareType(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_round_trip() {
        for &care in CareType::ALL {
            assert_eq!(CareType::from_number(care.number()), care);
            assert_eq!(care.name().parse(), Ok(care));
            assert_eq!(serde_json::to_value(care).expect("a string"), care.name());
        }
        assert_eq!(CareType::from_number(200), CareType::Other);
    }

    #[test]
    fn the_error_lists_every_name() {
        let message = UnknownCareType(String::new()).to_string();
        for care in CareType::ALL {
            assert!(message.contains(care.name()), "{care} is missing");
        }
    }
}
