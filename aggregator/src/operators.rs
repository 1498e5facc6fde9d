//! Who may see names and who may act: named people, their roles, and the digests of their tokens.
//!
//! In: one TOML file, written by a person from what `token` prints (see [`file`]), read again when it
//! changes (see [`follow`]). Out: [`Operators`], an immutable snapshot that judges a token.
//!
//! A token is 256 random bits that the centre made ([`token`]); nobody can guess one or try them all,
//! and so its plain SHA-256 is kept: a slow hash protects what people choose, and would only cost here.
//! Digests are compared in constant time.

mod file;
mod follow;
mod token;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use vardpuls_shared::clock::Time;

pub use file::{OperatorsError, block, read};
pub(crate) use file::{digest as hex_digest, hex, text as guarded_text};
pub use follow::Followed;
pub use token::Token;
pub(crate) use token::digest;

/// What somebody may do; each role may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See who did what, and why.
    Viewer,
    /// Act on alarms, declare levels.
    Operator,
    /// Take alarms out of service, run exercises.
    Administrator,
}

impl Role {
    /// All of them, rising.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Administrator];

    /// The word for files, JSON and screens.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; write viewer, operator or administrator")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// The text cannot name an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name an operator: write 1 to {MAX_NAME} characters on one line, without spaces at its ends")]
pub struct InvalidName(String);

/// Checks a name: it stands in the journal for good.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let fits = !name.is_empty() && name.chars().count() <= MAX_NAME && name.trim() == name;
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(InvalidName(name.to_owned())) }
}

/// One person with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What the journal calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// In force until then, itself not included.
    pub until: Option<Time>,
    /// SHA-256 of the token's text.
    pub digest: [u8; 32],
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotInForce {
    /// Nobody has it.
    Unknown,
    /// Its time is over.
    Expired,
}

/// Everybody with a token, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operators {
    operators: Vec<Arc<Operator>>,
}

impl Operators {
    /// Whose token this is.
    pub fn holder(&self, token: &str, now: Time) -> Result<Arc<Operator>, NotInForce> {
        let presented = digest(token.as_bytes());
        let mut holder = None;
        // To the end whoever it is: how long it takes says nothing.
        for operator in &self.operators {
            if bool::from(operator.digest.ct_eq(&presented)) {
                holder = Some(operator);
            }
        }
        match holder {
            Some(operator) if operator.until.is_some_and(|until| now >= until) => Err(NotInForce::Expired),
            Some(operator) => Ok(Arc::clone(operator)),
            None => Err(NotInForce::Unknown),
        }
    }

    /// Everybody, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Operator> {
        self.operators.iter().map(Arc::as_ref)
    }
}

impl FromIterator<Operator> for Operators {
    fn from_iter<I: IntoIterator<Item = Operator>>(operators: I) -> Self {
        Operators { operators: operators.into_iter().map(Arc::new).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_what_its_holder_may_until_its_time_is_over() {
        let (anna, bo) = (Token::make(), Token::make());
        let operator = |name: &str, token: &Token, until| Operator {
            name: name.to_owned(),
            role: Role::Operator,
            until,
            digest: token.digest(),
        };
        let operators: Operators =
            [operator("Anna", &anna, None), operator("Bo", &bo, Some(Time(10)))].into_iter().collect();
        let name = |token: &str, now| operators.holder(token, now).map(|operator| operator.name.clone());
        assert_eq!(name(anna.text(), Time::MAX), Ok("Anna".to_owned()));
        assert_eq!(name(bo.text(), Time(9)), Ok("Bo".to_owned()));
        assert_eq!(name(bo.text(), Time(10)), Err(NotInForce::Expired));
        for wrong in ["", "vp_", &anna.text()[1..], &anna.text().to_lowercase(), &format!("{} ", anna.text())] {
            assert_eq!(name(wrong, Time(0)), Err(NotInForce::Unknown), "{wrong}");
        }
    }

    #[test]
    fn roles_rise_and_have_words() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn names_stand_on_one_line() {
        for name in ["Anna", "Åsa Öberg (TiB 01)"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", " Anna", "Anna\n", "An\u{7}na", &"a".repeat(MAX_NAME + 1)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
