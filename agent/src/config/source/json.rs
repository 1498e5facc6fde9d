//! A `[[source]]` table of kind `json`: the words of the file in, a spec out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use vardpuls_shared::hospital::WardId;

use super::mapping::{self, Names, POINTER};
use super::{HEAD, Table, http};
use crate::config::{ConfigError, WardConfig};
use crate::source::json::{JsonSpec, Shape};
use crate::source::mapping::{Mapping, TimeFrom, WardFrom};
use crate::source::polled::{PolledKind, PolledSpec};

/// A table with `pointers`, without the keys that other parts read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PointersTable {
    pointers: BTreeMap<WardId, BTreeMap<String, String>>,
    time: Option<mapping::TimeTable>,
    #[serde(default = "mapping::default_not_reported")]
    not_reported: BTreeSet<String>,
}

/// A table with `array`, without the keys that other parts read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ArrayTable {
    array: String,
}

/// Reads the table.
#[inline(never)]
pub(super) fn read(at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<PolledSpec, ConfigError> {
    let (http, every) = http::read(at, base)?;
    let shape = if at.has("pointers") { pointers(at, wards)? } else { rows(at, wards)? };
    Ok(PolledSpec { every, kind: PolledKind::Json(JsonSpec { http, shape }) })
}

fn rows(at: &Table<'_>, wards: &[WardConfig]) -> Result<Shape, ConfigError> {
    let table: ArrayTable = at.document.table(&at.way, &[&HEAD[..], &http::KEYS, &mapping::KEYS].concat())?;
    if !mapping::is_pointer(&table.array) {
        return Err(at.wrong(&["array"], POINTER));
    }
    Ok(Shape::Rows { array: table.array, mapping: mapping::read(at, Names::Pointers, wards)? })
}

fn pointers(at: &Table<'_>, wards: &[WardConfig]) -> Result<Shape, ConfigError> {
    let table: PointersTable = at.document.table(&at.way, &[&HEAD[..], &http::KEYS].concat())?;
    let not_reported = mapping::trimmed(&table.not_reported);
    let mut mappings = Vec::with_capacity(table.pointers.len());
    for (ward, mut columns) in table.pointers {
        let name = ward.to_string();
        if !mapping::is_ward(&ward, wards) {
            return Err(at.wrong(&["pointers", &name], mapping::no_ward(&ward)));
        }
        for (word, pointer) in &columns {
            if !mapping::is_pointer(pointer) {
                return Err(at.wrong(&["pointers", &name, word], POINTER));
            }
        }
        let time = match columns.remove("time") {
            Some(header) => TimeFrom::Column { header, format: mapping::time_format(at, table.time.as_ref())? },
            None => TimeFrom::Reading,
        };
        mappings.push(Mapping {
            counts: mapping::counts(at, &["pointers", &name], &columns)?,
            ward: WardFrom::Constant(ward),
            time,
            rows: BTreeMap::new(),
            not_reported: not_reported.clone(),
        });
    }
    if mappings.is_empty() {
        return Err(at.wrong(&["pointers"], "names no ward; write [source.pointers.WARD]"));
    }
    Ok(Shape::Wards(mappings))
}
