//! Who reports: the identifiers of hospitals, wards and regions.
//!
//! All three are short ASCII names over `A-Za-z0-9_-`, so that they stand unescaped in MQTT topics,
//! file names, metric labels and broker ACL patterns. Swedish hospitals use their HSA-id
//! (`SE` + ten digits + `-` + suffix, at most 31 characters).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest identifier, in characters.
pub const MAX_LEN: usize = 31;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// No characters at all.
    #[error("the identifier is empty; give 1 to {MAX_LEN} characters of A-Za-z0-9_-")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("the identifier has {0} characters; at most {MAX_LEN} are allowed")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("the character {0:?} is not allowed in an identifier; use only A-Za-z0-9_-")]
    Character(char),
}

fn validate(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if let Some(c) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        return Err(InvalidId::Character(c));
    }
    if text.len() > MAX_LEN {
        return Err(InvalidId::TooLong(text.len()));
    }
    Ok(())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks length and alphabet.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                validate(text)?;
                Ok(Self(text.into()))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}

identifier! {
    /// One reporting organisation unit; Swedish ones use their HSA-id (`SE2321000016-1003`).
    HospitalId
}
identifier! {
    /// A unit with beds inside a hospital.
    WardId
}
identifier! {
    /// A region of the nation, by the code in the nation file (`01` is Stockholm).
    RegionCode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_hsa_ids_and_refuses_what_a_topic_cannot_carry() {
        assert!(HospitalId::new("SE2321000016-1003").is_ok());
        assert_eq!(HospitalId::new(""), Err(InvalidId::Empty));
        assert_eq!(HospitalId::new("a/b"), Err(InvalidId::Character('/')));
        assert_eq!(HospitalId::new("é"), Err(InvalidId::Character('é')));
        assert_eq!(HospitalId::new("+"), Err(InvalidId::Character('+')));
        assert!(WardId::new(&"w".repeat(31)).is_ok());
        assert_eq!(WardId::new(&"w".repeat(32)), Err(InvalidId::TooLong(32)));
    }
}
