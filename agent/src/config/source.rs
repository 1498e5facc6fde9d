//! The `[[source]]` tables: what every source has, and the spec of its kind.
//!
//! A kind has a table of its own here and a spec of its own in `source/`; what stands in the file
//! as words is turned into that spec once, so that reading asks no question of the config.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use super::document::Document;
use super::document::Step::{self, At, Key};
use super::{ConfigError, WardConfig, duration};
use crate::source::csv::{CsvSpec, Field, TimeFormat, TimeFrom, WardFrom};

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
    Csv(CsvSpec),
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
    Csv,
}

/// A `[[source]]` table of kind `csv` as it is written, without the keys of [`Head`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CsvTable {
    path: PathBuf,
    #[serde(default = "default_scan", deserialize_with = "duration")]
    scan: Duration,
    #[serde(default = "default_settle", deserialize_with = "duration")]
    settle: Duration,
    #[serde(default = "default_charset")]
    charset: String,
    #[serde(default = "default_delimiter")]
    delimiter: char,
    #[serde(default = "default_not_reported")]
    not_reported: BTreeSet<String>,
    ward: Option<WardId>,
    columns: BTreeMap<String, String>,
    time: Option<TimeTable>,
    #[serde(default)]
    rows: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    wards: BTreeMap<String, WardId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TimeTable {
    zone: String,
    format: String,
}

fn default_scan() -> Duration {
    Duration::from_secs(5)
}

fn default_settle() -> Duration {
    Duration::from_millis(200)
}

fn default_charset() -> String {
    "utf-8".to_owned()
}

fn default_delimiter() -> char {
    ','
}

fn default_not_reported() -> BTreeSet<String> {
    BTreeSet::from([String::new()])
}

fn optional_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

/// The sources of a document, in its order.
pub(super) fn read(
    document: &Document<'_>,
    base: &Path,
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
        let kind = match head.kind {
            Kind::Csv => {
                let table: CsvTable = document.table(&way, &HEAD)?;
                SourceKind::Csv(table.check(&Table { document, way }, base, wards)?)
            }
        };
        sources.push(SourceConfig { name: head.name, max_age: head.max_age, kind });
    }
    if !sources.iter().any(SourceConfig::gives_occupied) {
        let problem = "no source gives occupied, so there would be nothing to report; name its column in columns";
        return Err(document.wrong(&[Key("source")], problem));
    }
    Ok(sources)
}

impl SourceConfig {
    /// Whether reports have to wait for this source: it is one that counts patients.
    pub fn gives_occupied(&self) -> bool {
        match &self.kind {
            SourceKind::Csv(spec) => spec.counts.contains_key(&Field::Occupied),
        }
    }
}

/// One `[[source]]` table, for errors about it.
struct Table<'d> {
    document: &'d Document<'d>,
    way: [Step<'d>; 2],
}

impl Table<'_> {
    fn wrong(&self, keys: &[&str], problem: impl Into<String>) -> ConfigError {
        let way: Vec<Step<'_>> = self.way.into_iter().chain(keys.iter().map(|key| Key(key))).collect();
        self.document.wrong(&way, problem)
    }
}

impl CsvTable {
    fn check(mut self, at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<CsvSpec, ConfigError> {
        if self.scan < Duration::from_millis(100) {
            return Err(at.wrong(&["scan"], "must be at least 100ms"));
        }
        let charset = encoding_rs::Encoding::for_label(self.charset.as_bytes()).ok_or_else(|| {
            at.wrong(&["charset"], format!("{:?} is not a charset; utf-8, windows-1252 and latin1 are", self.charset))
        })?;
        let delimiter = u8::try_from(self.delimiter)
            .ok()
            .filter(|d| d.is_ascii() && !matches!(d, b'"' | b'\r' | b'\n'))
            .ok_or_else(|| at.wrong(&["delimiter"], "must be one ASCII character that is no quote or line break"))?;
        for (word, header) in &mut self.columns {
            *header = header.trim().to_owned();
            if header.is_empty() {
                return Err(at.wrong(&["columns", word], "must be the name of a column in the file's header"));
            }
        }
        let ward = self.ward_from(at, wards)?;
        let time = self.time_from(at)?;
        let counts = self.counts(at)?;
        for (header, values) in &self.rows {
            if values.is_empty() {
                return Err(at.wrong(&["rows", header], "accepts no value, so no row would ever be read"));
            }
        }
        let trimmed = |values: BTreeSet<String>| values.iter().map(|value| value.trim().to_owned()).collect();
        Ok(CsvSpec {
            path: base.join(self.path),
            scan: self.scan,
            settle: self.settle,
            charset,
            delimiter,
            not_reported: trimmed(self.not_reported),
            ward,
            counts,
            time,
            rows: self.rows.into_iter().map(|(header, values)| (header.trim().to_owned(), trimmed(values))).collect(),
        })
    }

    /// Takes the ward's column and names out of the table.
    fn ward_from(&mut self, at: &Table<'_>, wards: &[WardConfig]) -> Result<WardFrom, ConfigError> {
        let known = |id: &WardId| wards.iter().any(|w| w.ward.id == *id);
        let unknown = |id: &WardId| format!("{id} is not the id of any [[ward]]");
        match (self.ward.take(), self.columns.remove("ward")) {
            (Some(_), Some(_)) => Err(at.wrong(&["ward"], "stands beside columns.ward: give exactly one of them")),
            (None, None) => {
                Err(at.wrong(&["ward"], "is missing: give ward for every row, or columns.ward for a column of them"))
            }
            (Some(id), None) if !known(&id) => Err(at.wrong(&["ward"], unknown(&id))),
            (Some(_), None) if !self.wards.is_empty() => {
                Err(at.wrong(&["wards"], "has no effect without columns.ward"))
            }
            (Some(id), None) => Ok(WardFrom::Constant(id)),
            (None, Some(header)) => {
                let mut names: BTreeMap<String, WardId> =
                    wards.iter().map(|w| (w.ward.id.to_string(), w.ward.id.clone())).collect();
                for (name, id) in &self.wards {
                    if !known(id) {
                        return Err(at.wrong(&["wards", name], unknown(id)));
                    }
                    names.insert(name.trim().to_owned(), id.clone());
                }
                Ok(WardFrom::Column { header, names })
            }
        }
    }

    /// Takes the time's column out of the table.
    fn time_from(&mut self, at: &Table<'_>) -> Result<TimeFrom, ConfigError> {
        match (self.columns.remove("time"), self.time.take()) {
            (None, None) => Ok(TimeFrom::FileModified),
            (None, Some(_)) => Err(at.wrong(&["columns", "time"], "is missing: [source.time] says how to read it")),
            (Some(_), None) => {
                Err(at.wrong(&["time"], "is missing: columns.time needs the zone and format of its local times"))
            }
            (Some(header), Some(time)) => {
                let zone = TimeZone::get(&time.zone).map_err(|_| {
                    let problem = "is not a time zone of the IANA database, as \"Europe/Stockholm\" is";
                    at.wrong(&["time", "zone"], format!("{:?} {problem}", time.zone))
                })?;
                let format =
                    TimeFormat::new(zone, &time.format).map_err(|problem| at.wrong(&["time", "format"], problem))?;
                Ok(TimeFrom::Column { header, format })
            }
        }
    }

    /// What is left of the columns: the counts.
    fn counts(&self, at: &Table<'_>) -> Result<BTreeMap<Field, String>, ConfigError> {
        let mut counts = BTreeMap::new();
        for (word, header) in &self.columns {
            let field = match word.as_str() {
                "staffed" => Field::Staffed,
                "occupied" => Field::Occupied,
                other => Field::Extra(Extra::from_name(other).ok_or_else(|| {
                    let extras: Vec<_> = Extra::REGISTERED.iter().filter_map(|extra| extra.name()).collect();
                    let problem =
                        format!("is not a word of ours; ward, time, staffed, occupied and {} are", extras.join(", "));
                    at.wrong(&["columns", word], problem)
                })?),
            };
            counts.insert(field, header.clone());
        }
        if counts.is_empty() {
            return Err(at.wrong(&["columns"], "names no count: give at least one of staffed, occupied or an extra"));
        }
        Ok(counts)
    }
}
