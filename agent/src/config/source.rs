//! The `[[source]]` tables: what every source has, and the spec of its kind.
//!
//! A kind has a table of its own in a file of its own here, and a spec of its own in the reader's
//! `source/`; what stands in the file as words is turned into that spec once, so that reading asks no
//! question of the config. Each kind's `read` stays a function of its own (`inline(never)`): the memory of an agent
//! holds the readers of the kinds that it has, and no others.

mod adt;
mod csv;
mod fhir;
mod http;
mod json;
mod mapping;
mod sql;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::document::Document;
use super::document::Step::{self, At, Key};
use super::{ConfigError, WardConfig, duration};
use crate::source::adt::AdtSpec;
use crate::source::csv::CsvSpec;
use crate::source::polled::PolledSpec;

/// One source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// What the hospital calls it; in logs, in `status` and in `check`.
    pub name: String,
    /// Older observations are not vouched for.
    pub max_age: Option<Duration>,
    /// What it reads, and how.
    pub kind: SourceKind,
}

/// What a source reads, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// A CSV file that some system drops.
    Csv(Box<CsvSpec>),
    /// Something that is asked again and again.
    Polled(Box<PolledSpec>),
    /// A listener for HL7 v2 ADT messages.
    Adt(Box<AdtSpec>),
}

/// The keys that every kind of source has.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    name: String,
    kind: Kind,
    #[serde(default, deserialize_with = "optional_duration")]
    max_age: Option<Duration>,
}

const HEAD: [&str; 3] = ["name", "kind", "max-age"];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Adt,
    Csv,
    Fhir,
    Json,
    Sql,
}

fn optional_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

/// The sources of a document, in its order.
pub(super) fn read(
    document: &Document<'_>,
    base: &Path,
    state_dir: &Path,
    wards: &[WardConfig],
) -> Result<Vec<SourceConfig>, ConfigError> {
    let count = document.count("source");
    if count == 0 {
        return Err(document.wrong(&[Key("source")], "is missing: write at least one [[source]] table"));
    }
    let mut sources: Vec<SourceConfig> = Vec::with_capacity(count);
    for at in 0..count {
        let way = [Key("source"), At(at)];
        let head: Head = document.keys(&way, &HEAD)?;
        let wrong = |problem: &str| Err(document.wrong(&[way[0], way[1], Key("name")], problem));
        if head.name.trim().is_empty() {
            return wrong("must not be empty");
        }
        if sources.iter().any(|other| other.name == head.name) {
            return wrong("another source has this name already");
        }
        let table = Table { document, way };
        let kind = match head.kind {
            Kind::Adt => SourceKind::Adt(Box::new(adt::read(&table, base, state_dir, wards)?)),
            Kind::Csv => SourceKind::Csv(Box::new(csv::read(&table, base, wards)?)),
            Kind::Sql => SourceKind::Polled(Box::new(sql::read(&table, base, wards)?)),
            Kind::Fhir => SourceKind::Polled(Box::new(fhir::read(&table, base, wards)?)),
            Kind::Json => SourceKind::Polled(Box::new(json::read(&table, base, wards)?)),
        };
        sources.push(SourceConfig { name: head.name, max_age: head.max_age, kind });
    }
    if !sources.iter().any(SourceConfig::gives_occupied) {
        let problem = "no source gives occupied, so there would be nothing to report; name its column in columns";
        return Err(document.wrong(&[Key("source")], problem));
    }
    for (at, source) in sources.iter().enumerate() {
        let Some(with) = source.reconciles_with() else { continue };
        let counts = |other: &SourceConfig| !matches!(other.kind, SourceKind::Adt(_)) && other.gives_occupied();
        if !sources.iter().any(|other| other.name == with && counts(other)) {
            let problem = format!("{with:?} is not the name of a source that is read and gives occupied");
            return Err(document.wrong(&[Key("source"), At(at), Key("reconcile-with")], problem));
        }
    }
    Ok(sources)
}

impl SourceConfig {
    /// Whether reports have to wait for this source: it is one that counts patients.
    pub fn gives_occupied(&self) -> bool {
        match &self.kind {
            SourceKind::Adt(_) => true,
            SourceKind::Csv(spec) => spec.mapping.gives_occupied(),
            SourceKind::Polled(spec) => spec.gives_occupied(),
        }
    }
}

impl SourceConfig {
    /// The source whose counts correct this one's.
    pub fn reconciles_with(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::Adt(spec) => spec.reconcile_with.as_deref(),
            SourceKind::Csv(_) | SourceKind::Polled(_) => None,
        }
    }
}

/// One `[[source]]` table, for errors about it.
struct Table<'d> {
    document: &'d Document<'d>,
    way: [Step<'d>; 2],
}

/// Refuses to ask more often than a hospital's system should be.
fn too_often(at: &Table<'_>, every: Duration) -> Result<(), ConfigError> {
    if every < Duration::from_secs(1) { Err(at.wrong(&["every"], "must be at least 1s")) } else { Ok(()) }
}

impl Table<'_> {
    /// Whether the table has this key.
    fn has(&self, key: &str) -> bool {
        self.document.has(&[self.way[0], self.way[1], Key(key)])
    }

    fn wrong(&self, keys: &[&str], problem: impl Into<String>) -> ConfigError {
        let way: Vec<Step<'_>> = self.way.into_iter().chain(keys.iter().map(|key| Key(key))).collect();
        self.document.wrong(&way, problem)
    }
}
