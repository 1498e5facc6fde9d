//! One TOML document, read strictly: every error names the file, the line and the key.
//!
//! In: a file or its text. Out: a value, or a [`DocumentError`] for a person with an editor open.
//! Used for the config, the nation file, enrolment cards and enrolment files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Why a TOML document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A key or its value is wrong.
    #[error("{}, {place}: {problem}", file.display())]
    Wrong {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong, and what is right.
        problem: String,
    },
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The key there with its tables (`broker.listen`); empty where there is none.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, ", {}", self.key) }
    }
}

/// The text of a document, and the file that it is from.
#[derive(Debug)]
pub struct Document {
    file: PathBuf,
    text: String,
}

impl Document {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Document, DocumentError> {
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Document::of(file, text)),
            Err(e) => Err(DocumentError::Unreadable { file: file.to_owned(), reason: e.to_string() }),
        }
    }

    /// A document whose text is already here; `file` is what errors call it.
    pub fn of(file: &Path, text: impl Into<String>) -> Document {
        Document { file: file.to_owned(), text: text.into() }
    }

    /// The value that the document describes.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        toml::from_str(&self.text).map_err(|e| {
            let offset = e.span().map_or(0, |span| span.start.min(self.text.len()));
            let line = self.text.as_bytes()[..offset].split(|&byte| byte == b'\n').count() - 1;
            let place = Place { line: line + 1, key: self.key_at(line) };
            DocumentError::Wrong { file: self.file.clone(), place, problem: e.message().trim_end().replace('\n', "; ") }
        })
    }

    /// An error about `key` (`broker.listen`), at the line where it stands, else at its table's, else at the first.
    pub fn wrong(&self, key: &str, problem: impl Into<String>) -> DocumentError {
        let lines = 0..self.text.lines().count();
        let of = |wanted: &str| lines.clone().find(|&line| self.key_at(line) == wanted);
        let table = key.rsplit_once('.').map(|(table, _)| table);
        let line = of(key).or_else(|| table.and_then(of)).unwrap_or(0);
        let place = Place { line: line + 1, key: key.to_owned() };
        DocumentError::Wrong { file: self.file.clone(), place, problem: problem.into() }
    }

    /// An error about `key` of the table that begins at byte `from`, at the line where it stands, else at the table's.
    pub fn wrong_from(&self, from: usize, key: &str, problem: impl Into<String>) -> DocumentError {
        let first = self.text.as_bytes()[..from.min(self.text.len())].split(|&byte| byte == b'\n').count() - 1;
        let table = self.key_at(first);
        let wanted = format!("{table}.{key}");
        let is_next = |text: &str| text.trim_start().starts_with('[');
        let lines = self.text.lines().enumerate().skip(first);
        let within = lines.take_while(|&(line, text)| line == first || !is_next(text));
        let line = within.map(|(line, _)| line).find(|&line| self.key_at(line) == wanted).unwrap_or(first);
        DocumentError::Wrong {
            file: self.file.clone(),
            place: Place { line: line + 1, key: wanted },
            problem: problem.into(),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key on a line (from 0) with the table that it stands in; a header line gives the table.
    fn key_at(&self, line: usize) -> String {
        let header = |text: &str| {
            let inner = text.trim().strip_prefix('[')?.trim_start_matches('[');
            inner.split(']').next().map(|name| name.trim().to_owned())
        };
        let Some(text) = self.text.lines().nth(line) else { return String::new() };
        if let Some(table) = header(text) {
            return table;
        }
        let key = match text.split_once('=') {
            Some((key, _)) if !key.trim_start().starts_with('#') => key.trim(),
            _ => return String::new(),
        };
        let above: Vec<_> = self.text.lines().take(line).collect();
        match above.iter().rev().find_map(|text| header(text)) {
            Some(table) => format!("{table}.{key}"),
            None => key.to_owned(),
        }
    }
}

/// Reads `"200ms"`, `"5s"`, `"5m"`, `"2h"` or `"14d"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    parse_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is not a duration; write a whole number and ms, s, m, h or d, as in \"5m\""
        ))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Sample {
        name: String,
        table: Table,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Table {
        #[serde(deserialize_with = "duration")]
        every: Duration,
    }

    fn error(text: &str) -> String {
        Document::of(Path::new("a.toml"), text).parse::<Sample>().expect_err("wrong").to_string()
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let unknown = error("name = \"x\"\n\n[table]\nevery = \"1s\"\nevry = 1\n");
        assert!(unknown.starts_with("a.toml, line 5, table.evry: unknown field `evry`"), "{unknown}");
        let unit = error("name = \"x\"\n[table]\nevery = \"1 year\"\n");
        assert!(unit.starts_with("a.toml, line 3, table.every: \"1 year\" is not a duration"), "{unit}");
        let missing = error("name = \"x\"\n# a comment\n[table]\n");
        assert!(missing.starts_with("a.toml, line 3, table: missing field `every`"), "{missing}");
        let syntax = error("name = \n");
        assert!(syntax.starts_with("a.toml, line 1, name: "), "{syntax}");
        let nowhere = Document::read(Path::new("no/such/file.toml")).expect_err("missing").to_string();
        assert!(nowhere.starts_with("no/such/file.toml: cannot be read: "), "{nowhere}");
    }

    #[test]
    fn a_wrong_key_is_found_at_its_line_or_its_table() {
        let document =
            Document::of(Path::new("a.toml"), "name = 1\n[table]\n# every = 2\nevery = 3\n[other]\nevery = 4\n");
        assert_eq!(document.wrong("table.every", "no").to_string(), "a.toml, line 4, table.every: no");
        assert_eq!(document.wrong("other.absent", "no").to_string(), "a.toml, line 5, other.absent: no");
        assert_eq!(document.wrong("absent", "no").to_string(), "a.toml, line 1, absent: no");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse_duration("14d"), Some(Duration::from_hours(14 * 24)));
        for wrong in ["", "5", "s", "-1s", "1.5h", "1w", "99999999999999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
