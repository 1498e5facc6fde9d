//! The logins file: which name may come in with which password.
//!
//! ```toml
//! [[login]]
//! name = "SE2321000016-1003"        # the hospital, or whatever else reads: client id and user name
//! token-sha256 = "…"                # 64 hex digits
//! until = "2027-01-01T00:00:00Z"    # optional: in force until then
//! ```
//!
//! A password is a token that `vardpuls-aggregator login` made, 256 random bits; as with operators, its
//! plain SHA-256 is kept. A file that every user may write is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;

use super::denial::Denial;
use crate::config::document::{Document, DocumentError};
use crate::operators::{self, OperatorsError};

/// Everybody with a login, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logins(BTreeMap<HospitalId, Login>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Login {
    digest: [u8; 32],
    until: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginsFile {
    #[serde(default)]
    login: Vec<LoginTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LoginTable {
    name: HospitalId,
    token_sha256: String,
    until: Option<Time>,
}

/// Reads a logins file.
pub fn read(file: &Path) -> Result<Logins, OperatorsError> {
    Ok(parse(&Document::of(file, operators::guarded_text(file)?))?)
}

fn parse(document: &Document) -> Result<Logins, DocumentError> {
    let LoginsFile { login } = document.parse()?;
    let mut logins = BTreeMap::new();
    for LoginTable { name, token_sha256, until } in login {
        let digest = operators::hex_digest(&token_sha256).ok_or_else(|| {
            let problem = format!("of {name} is not 64 hex digits; make a login with: vardpuls-aggregator login NAME");
            document.wrong("login.token-sha256", problem)
        })?;
        if logins.insert(name.clone(), Login { digest, until }).is_some() {
            return Err(document.wrong("login.name", format!("{name} stands twice")));
        }
    }
    Ok(Logins(logins))
}

/// The block that lets somebody in who has this token.
pub fn block(name: &HospitalId, digest: [u8; 32]) -> String {
    format!("[[login]]\nname = \"{name}\"\ntoken-sha256 = \"{}\"\n", operators::hex(digest))
}

impl Logins {
    /// The digest that lets `name` in with this password, to hold against later files.
    pub(super) fn judge(&self, name: &HospitalId, password: &[u8], now: Time) -> Result<[u8; 32], Denial> {
        let digest = operators::digest(password);
        if self.holds(name, digest, now) { Ok(digest) } else { Err(Denial::LoginWrong) }
    }

    /// Whether `name` is still let in by this digest.
    pub(super) fn holds(&self, name: &HospitalId, digest: [u8; 32], now: Time) -> bool {
        self.0
            .get(name)
            .is_some_and(|login| bool::from(login.digest.ct_eq(&digest)) && login.until.is_none_or(|until| now < until))
    }

    /// Whether somebody of this name has one.
    pub fn has(&self, name: &HospitalId) -> bool {
        self.0.contains_key(name)
    }

    /// Names, and whether their time is over.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = (&HospitalId, bool)> {
        self.0.iter().map(move |(name, login)| (name, login.until.is_some_and(|until| now >= until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::Token;

    fn parsed(text: &str) -> Result<Logins, String> {
        parse(&Document::of(Path::new("l.toml"), text)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_login_prints_lets_that_name_in_until_its_time_is_over() {
        let (a, b): (HospitalId, HospitalId) = ("a".parse().expect("valid"), "b".parse().expect("valid"));
        let token = Token::make();
        let text = format!("{}until = \"1970-01-01T00:00:00.010Z\"\n", block(&a, token.digest()));
        let logins = parsed(&text).expect("right");
        assert_eq!(logins.judge(&a, token.text().as_bytes(), Time(9)), Ok(token.digest()));
        assert_eq!(logins.judge(&a, token.text().as_bytes(), Time(10)), Err(Denial::LoginWrong));
        assert_eq!(logins.judge(&b, token.text().as_bytes(), Time(9)), Err(Denial::LoginWrong));
        assert_eq!(logins.judge(&a, b"", Time(9)), Err(Denial::LoginWrong));
    }

    #[test]
    fn every_error_names_line_and_key() {
        let a = block(&"a".parse().expect("valid"), [1; 32]);
        for (text, expected) in [
            (a.replace("01", "0"), "l.toml, line 3, login.token-sha256: of a is not 64 hex digits"),
            (format!("{a}{a}"), "login.name: a stands twice"),
            (a.replace("\"a\"", "\"a/b\""), "line 2, login.name: the character '/' is not allowed"),
            (format!("{a}password = \"x\"\n"), "line 4, login.password: unknown field"),
        ] {
            let error = parsed(&text).expect_err(expected);
            assert!(error.contains(expected), "{expected:?} in {error}");
        }
    }

    #[test]
    fn the_shipped_file_is_right_and_lets_nobody_in() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/logins.toml");
        assert_eq!(read(&file).expect("the shipped file"), Logins::default());
    }
}
