//! The keys of a `[[source]]` table that say what its rows mean: words in, a [`Mapping`] out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::Deserialize;
use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use super::Table;
use crate::config::{ConfigError, WardConfig};
use crate::source::mapping::{Field, Mapping, TimeFrom, WardFrom};
use crate::source::time::TimeFormat;

/// The keys that are read here.
pub(super) const KEYS: [&str; 6] = ["ward", "columns", "time", "rows", "wards", "not-reported"];

/// What a kind of source calls its values by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Headers of a file, whose times need a format.
    Headers,
    /// Columns of a query.
    Columns,
    /// JSON pointers into a row.
    Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MappingTable {
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

/// How times are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TimeTable {
    zone: Option<String>,
    format: Option<String>,
}

pub(super) fn default_not_reported() -> BTreeSet<String> {
    BTreeSet::from([String::new()])
}

/// Reads the mapping of a source.
pub(super) fn read(at: &Table<'_>, names: Names, wards: &[WardConfig]) -> Result<Mapping, ConfigError> {
    let mut table: MappingTable = at.document.keys(&at.way, &KEYS)?;
    for (word, header) in &mut table.columns {
        *header = header.trim().to_owned();
        match names {
            Names::Headers if header.is_empty() => {
                return Err(at.wrong(&["columns", word], "must be the name of a column in the file's header"));
            }
            Names::Columns if header.is_empty() => {
                return Err(at.wrong(&["columns", word], "must be the name of a column of the query"));
            }
            Names::Pointers if !is_pointer(header) => return Err(at.wrong(&["columns", word], POINTER)),
            _ => {}
        }
    }
    let ward = table.ward_from(at, wards)?;
    let time = table.time_from(at, names)?;
    let counts = counts(at, &["columns"], &table.columns)?;
    for (header, values) in &table.rows {
        if values.is_empty() {
            return Err(at.wrong(&["rows", header], "accepts no value, so no row would ever be read"));
        }
        if names == Names::Pointers && !is_pointer(header) {
            return Err(at.wrong(&["rows", header], POINTER));
        }
    }
    let rows = table.rows.iter().map(|(header, values)| (header.trim().to_owned(), trimmed(values))).collect();
    Ok(Mapping { ward, counts, time, rows, not_reported: trimmed(&table.not_reported) })
}

/// What a JSON pointer is.
pub(super) const POINTER: &str =
    "must be a JSON pointer: empty, or with a / before each name, as in \"/beds/occupied\"";

pub(super) fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

pub(super) fn trimmed(values: &BTreeSet<String>) -> BTreeSet<String> {
    values.iter().map(|value| value.trim().to_owned()).collect()
}

/// What names in a source stand for, its wards' own ids among them.
pub(super) fn ward_names(
    at: &Table<'_>,
    key: &str,
    given: &BTreeMap<String, WardId>,
    wards: &[WardConfig],
) -> Result<BTreeMap<String, WardId>, ConfigError> {
    let mut names: BTreeMap<String, WardId> =
        wards.iter().filter(|w| !w.is_group()).map(|w| (w.ward.id.to_string(), w.ward.id.clone())).collect();
    for (name, id) in given {
        if !is_ward(id, wards) {
            return Err(at.wrong(&[key, name], no_ward(id)));
        }
        names.insert(name.trim().to_owned(), id.clone());
    }
    Ok(names)
}

pub(super) fn is_ward(id: &WardId, wards: &[WardConfig]) -> bool {
    wards.iter().any(|w| w.ward.id == *id && !w.is_group())
}

pub(super) fn no_ward(id: &WardId) -> String {
    format!("{id} is not the id of any [[ward]] that is no group")
}

impl MappingTable {
    /// Takes the ward's column and names out of the table.
    fn ward_from(&mut self, at: &Table<'_>, wards: &[WardConfig]) -> Result<WardFrom, ConfigError> {
        match (self.ward.take(), self.columns.remove("ward")) {
            (Some(_), Some(_)) => Err(at.wrong(&["ward"], "stands beside columns.ward: give exactly one of them")),
            (None, None) => {
                Err(at.wrong(&["ward"], "is missing: give ward for every row, or columns.ward for a column of them"))
            }
            (Some(id), None) if !is_ward(&id, wards) => Err(at.wrong(&["ward"], no_ward(&id))),
            (Some(_), None) if !self.wards.is_empty() => {
                Err(at.wrong(&["wards"], "has no effect without columns.ward"))
            }
            (Some(id), None) => Ok(WardFrom::Constant(id)),
            (None, Some(header)) => {
                Ok(WardFrom::Column { header, names: ward_names(at, "wards", &self.wards, wards)? })
            }
        }
    }

    /// Takes the time's column out of the table.
    fn time_from(&mut self, at: &Table<'_>, names: Names) -> Result<TimeFrom, ConfigError> {
        match (self.columns.remove("time"), self.time.take()) {
            (None, None) => Ok(TimeFrom::Reading),
            (None, Some(_)) => Err(at.wrong(&["columns", "time"], "is missing: [source.time] says how to read it")),
            (Some(_), None) if names == Names::Headers => {
                Err(at.wrong(&["time"], "is missing: columns.time needs the zone and format of its local times"))
            }
            (Some(header), time) => Ok(TimeFrom::Column { header, format: time_format(at, time.as_ref())? }),
        }
    }
}

/// How times are read; ISO 8601 where no format is given.
pub(super) fn time_format(at: &Table<'_>, time: Option<&TimeTable>) -> Result<TimeFormat, ConfigError> {
    let zone = match time.and_then(|time| time.zone.as_ref()) {
        Some(name) => Some(TimeZone::get(name).map_err(|_| {
            let problem = "is not a time zone of the IANA database, as \"Europe/Stockholm\" is";
            at.wrong(&["time", "zone"], format!("{name:?} {problem}"))
        })?),
        None => None,
    };
    match (zone, time.and_then(|time| time.format.as_ref())) {
        (zone, None) => Ok(TimeFormat::iso(zone)),
        (None, Some(_)) => Err(at.wrong(&["time", "zone"], "is missing beside format")),
        (Some(zone), Some(format)) => {
            TimeFormat::new(zone, format).map_err(|problem| at.wrong(&["time", "format"], problem))
        }
    }
}

/// The counts among columns from which ward and time were taken.
pub(super) fn counts(
    at: &Table<'_>,
    way: &[&str],
    columns: &BTreeMap<String, String>,
) -> Result<BTreeMap<Field, String>, ConfigError> {
    let mut counts = BTreeMap::new();
    for (word, header) in columns {
        let field = match word.as_str() {
            "staffed" => Field::Staffed,
            "occupied" => Field::Occupied,
            other => Field::Extra(Extra::from_name(other).ok_or_else(|| {
                let extras: Vec<_> = Extra::REGISTERED.iter().filter_map(|extra| extra.name()).collect();
                let problem =
                    format!("is not a word of ours; ward, time, staffed, occupied and {} are", extras.join(", "));
                at.wrong(&[way, &[word.as_str()]].concat(), problem)
            })?),
        };
        counts.insert(field, header.clone());
    }
    if counts.is_empty() {
        return Err(at.wrong(way, "names no count: give at least one of staffed, occupied or an extra"));
    }
    Ok(counts)
}
