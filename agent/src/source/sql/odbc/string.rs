//! ODBC connection strings: `KEY=VALUE;KEY={VALUE};…`, read to know what is in them, and written with a login.
//!
//! Pure. A string that holds a login is refused, so that one can be kept in a config that others may read; what a driver may
//! have besides (tokens, files of keys) is never shown.

use std::fmt;

/// Keys of a login, by any driver's name for them.
const LOGIN: [&str; 6] = ["uid", "user", "username", "user id", "pwd", "password"];
/// Keys whose values name a driver and a place.
const SHOWN: [&str; 9] = ["dsn", "driver", "server", "servername", "host", "port", "database", "namespace", "dbq"];

/// A connection string without a login.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString(String);

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionString").field(&self.shown()).finish()
    }
}

impl ConnectionString {
    /// Reads it; an error is for whoever wrote it.
    pub(crate) fn read(text: &str) -> Result<ConnectionString, &'static str> {
        let parts =
            parts(text).ok_or("is no ODBC connection string; write odbc:DSN=NAME or odbc:Driver={NAME};KEY=VALUE;…")?;
        if parts.iter().any(|(key, _)| LOGIN.iter().any(|login| key.eq_ignore_ascii_case(login))) {
            return Err("holds a user or a password; give username and password-file");
        }
        Ok(ConnectionString(text.trim().trim_end_matches(';').to_owned()))
    }

    /// Those parts of it that may be shown.
    pub(crate) fn shown(&self) -> String {
        let parts = parts(&self.0).expect("was read");
        let shown = parts.iter().filter(|(key, _)| may_be_shown(key));
        shown.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")
    }

    /// The values that may not, without their braces.
    pub(super) fn hidden(&self) -> Vec<&str> {
        let parts = parts(&self.0).expect("was read");
        let hidden = parts.into_iter().filter(|(key, _)| !may_be_shown(key));
        hidden.map(|(_, value)| value.strip_prefix('{').and_then(|v| v.strip_suffix('}')).unwrap_or(value)).collect()
    }

    /// The whole string, with a login.
    pub(super) fn with_login(&self, username: Option<&str>, password: Option<&str>) -> String {
        let login = [("UID", username), ("PWD", password)];
        login.into_iter().fold(self.0.clone(), |text, (key, value)| match value {
            Some(value) => format!("{text};{key}={}", quoted(value)),
            None => text,
        })
    }
}

fn may_be_shown(key: &str) -> bool {
    SHOWN.iter().any(|shown| key.eq_ignore_ascii_case(shown))
}

/// Keys and values as they are written; none where it is no connection string.
fn parts(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let end =
            if after.starts_with('{') { closing_brace(after)? + 1 } else { after.find(';').unwrap_or(after.len()) };
        let (value, after) = after.split_at(end);
        let after = after.trim_start();
        if key.trim().is_empty() || key.contains([';', '{', '}', '\0']) || value.contains('\0') {
            return None;
        }
        parts.push((key.trim(), value.trim()));
        rest = match after.strip_prefix(';') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    if parts.is_empty() { None } else { Some(parts) }
}

/// Where the value that begins with a brace ends; a doubled brace stands for itself.
fn closing_brace(text: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find('}')?;
        if !text[at + 1..].starts_with('}') {
            return Some(at);
        }
        at += 2;
    }
}

/// A value in braces where it needs them: not every driver takes them off where it does not.
fn quoted(value: &str) -> String {
    let bare = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "_.-\\".contains(c));
    if bare { value.to_owned() } else { format!("{{{}}}", value.replace('}', "}}")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_string_is_kept_shown_in_part_and_given_a_login() {
        let text = "Driver={IRIS; 64};Server=db;Port=1972;Namespace=EHR;AccessToken=t0ken;";
        let string = ConnectionString::read(text).expect("right");
        assert_eq!(string.shown(), "Driver={IRIS; 64};Server=db;Port=1972;Namespace=EHR");
        assert_eq!(string.hidden(), ["t0ken"]);
        assert!(!format!("{string:?}").contains("t0ken"));
        assert_eq!(string.with_login(None, None), text.trim_end_matches(';'));
        let dsn = ConnectionString::read(" dsn = beds ").expect("right");
        assert_eq!(dsn.shown(), "dsn=beds");
        assert_eq!(
            dsn.with_login(Some("DOM\\reader"), Some("a}b;PWD=c")),
            "dsn = beds;UID=DOM\\reader;PWD={a}}b;PWD=c}"
        );
    }

    #[test]
    fn what_holds_a_login_or_is_none_is_refused() {
        for text in ["DSN=x;UID=me", "DSN=x;pwd={a}", "DSN=x; Password = a", "DSN=x;User ID=a"] {
            assert!(ConnectionString::read(text).expect_err("refused").starts_with("holds a user"), "{text}");
        }
        for text in
            ["", " ", ";", "beds", "=x", "Driver={open", "Driver={a}b;DSN=c", "DSN=x;;", "DSN=x;{UID}=me", "DSN=a\0b"]
        {
            assert!(ConnectionString::read(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// Whatever a password is, the driver gets that one value and no other key.
        #[test]
        fn no_password_breaks_out(password in "\\PC{0,20}") {
            let text = ConnectionString::read("DSN=x").expect("right").with_login(Some("me"), Some(&password));
            let found = parts(&text).expect("still a connection string");
            prop_assert_eq!(found.len(), 3);
            let (key, value) = found[2];
            let bare = value.strip_prefix('{').and_then(|v| v.strip_suffix('}')).map_or(value.to_owned(), |v| v.replace("}}", "}"));
            prop_assert_eq!((key, bare), ("PWD", password));
        }
    }
}
