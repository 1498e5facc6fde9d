//! A TOML document that knows where everything stands, so that every error about it can name the
//! file, the line and the key.
//!
//! In: the text of a file. Out: values read strictly through serde, and errors with their place,
//! also for what only a second look finds.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::ConfigError;

/// One step of the way to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Into a table, by key.
    Key(&'a str),
    /// Into an array, by position from 0.
    At(usize),
}

/// Where in a document something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The key with the tables around it (`broker.url`); empty for the document as a whole.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, ", {}", self.key) }
    }
}

/// A parsed document.
#[derive(Debug, Clone)]
pub(super) struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    root: Spanned<DeValue<'t>>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `file` is what errors call it.
    pub(super) fn parse(file: &'t Path, text: &'t str) -> Result<Document<'t>, ConfigError> {
        match DeTable::parse(text) {
            Ok(root) => {
                let span = root.span();
                Ok(Document { file, text, root: Spanned::new(span, DeValue::Table(root.into_inner())) })
            }
            Err(e) => {
                let line = line_of(text, e.span().map_or(0, |span| span.start));
                let place = Place { line, key: key_written_on(text, line) };
                Err(ConfigError::Wrong { file: file.to_owned(), place, problem: one_line(e.message()) })
            }
        }
    }

    /// Reads the table at `way` as a `T`, without the keys of `but`, which must be keys of that table.
    pub(super) fn table<T: DeserializeOwned>(&self, way: &[Step<'_>], but: &[&str]) -> Result<T, ConfigError> {
        self.part(way, |key| !but.contains(&key))
    }

    /// Reads only the keys of `only` of the table at `way` as a `T`.
    pub(super) fn keys<T: DeserializeOwned>(&self, way: &[Step<'_>], only: &[&str]) -> Result<T, ConfigError> {
        self.part(way, |key| only.contains(&key))
    }

    fn part<T: DeserializeOwned>(&self, way: &[Step<'_>], takes: impl Fn(&str) -> bool) -> Result<T, ConfigError> {
        let mut value = self.find(way).map_or_else(|| Spanned::new(0..0, DeValue::Table(DeTable::new())), Clone::clone);
        if let DeValue::Table(table) = value.get_mut() {
            *table = std::mem::take(table).into_iter().filter(|(key, _)| takes(key.get_ref())).collect();
        }
        let whole = value.span();
        T::deserialize(ValueDeserializer::from(value)).map_err(|e| {
            let span = e.span().unwrap_or(whole);
            let mut key = String::new();
            keys_around(&self.root, &span, &mut key);
            let place = Place { line: line_of(self.text, span.start), key };
            ConfigError::Wrong { file: self.file.to_owned(), place, problem: one_line(e.message()) }
        })
    }

    /// How many tables the array of tables `key` has.
    pub(super) fn count(&self, key: &str) -> usize {
        self.find(&[Step::Key(key)]).and_then(|value| value.get_ref().as_array()).map_or(0, |array| array.len())
    }

    /// Whether something is written at `way`.
    pub(super) fn has(&self, way: &[Step<'_>]) -> bool {
        self.find(way).is_some()
    }

    /// An error about the value at `way`; where that is not written, about the table where it would be.
    #[cold]
    #[inline(never)]
    pub(super) fn wrong(&self, way: &[Step<'_>], problem: impl Into<String>) -> ConfigError {
        let written = (0..=way.len()).rev().find_map(|n| self.find(&way[..n]));
        let start = written.map_or(0, |value| value.span().start);
        let mut key = String::new();
        for step in way {
            if let Step::Key(name) = step {
                join(&mut key, name);
            }
        }
        let place = Place { line: line_of(self.text, start), key };
        ConfigError::Wrong { file: self.file.to_owned(), place, problem: problem.into() }
    }

    fn find(&self, way: &[Step<'_>]) -> Option<&Spanned<DeValue<'t>>> {
        way.iter().try_fold(&self.root, |value, step| match step {
            Step::Key(key) => value.get_ref().as_table()?.get(*key),
            Step::At(at) => value.get_ref().as_array()?.get(*at),
        })
    }
}

/// The keys on the way down to `span`, joined by dots.
fn keys_around(value: &Spanned<DeValue<'_>>, span: &Range<usize>, found: &mut String) {
    if value.span() == *span {
        return;
    }
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, inner) in table {
                if holds(key.span()) {
                    return join(found, key.get_ref());
                }
                if holds(inner.span()) || within(inner, span) {
                    join(found, key.get_ref());
                    return keys_around(inner, span, found);
                }
            }
        }
        DeValue::Array(array) => {
            if let Some(inner) = array.iter().find(|inner| holds(inner.span()) || within(inner, span)) {
                keys_around(inner, span, found);
            }
        }
        _ => {}
    }
}

/// Whether anything inside `value` holds `span`: the span of a table is only its header.
fn within(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().any(|(key, inner)| holds(key.span()) || holds(inner.span()) || within(inner, span))
        }
        DeValue::Array(array) => array.iter().any(|inner| holds(inner.span()) || within(inner, span)),
        _ => false,
    }
}

/// Appends a key, quoted where TOML would have it quoted.
fn join(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        path.push_str(key);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(path, "{key:?}");
    }
}

/// The line, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

/// What stands before the `=` of a line that did not parse.
fn key_written_on(text: &str, line: usize) -> String {
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    written.split_once('=').map_or(String::new(), |(key, _)| key.trim().to_owned())
}

fn one_line(message: &str) -> String {
    message.trim_end().replace('\n', "; ")
}
