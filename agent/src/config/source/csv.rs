//! A `[[source]]` table of kind `csv`: the words of the file in, a [`CsvSpec`] out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use super::Table;
use crate::config::{ConfigError, WardConfig, duration};
use crate::source::csv::{CsvSpec, Field, TimeFormat, TimeFrom, WardFrom};

/// The table as it is written, without the keys that every source has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CsvTable {
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

impl CsvTable {
    pub(super) fn check(mut self, at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<CsvSpec, ConfigError> {
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
