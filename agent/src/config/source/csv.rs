//! A `[[source]]` table of kind `csv`: the words of the file in, a [`CsvSpec`] out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::mapping::{self, Names};
use super::{HEAD, Table};
use crate::config::{ConfigError, WardConfig, duration};
use crate::source::csv::CsvSpec;

/// The table as it is written, without the keys that other parts read.
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

/// Reads the table.
#[inline(never)]
pub(super) fn read(at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<CsvSpec, ConfigError> {
    let table: CsvTable = at.document.table(&at.way, &[&HEAD[..], &mapping::KEYS].concat())?;
    if table.scan < Duration::from_millis(100) {
        return Err(at.wrong(&["scan"], "must be at least 100ms"));
    }
    let charset = encoding_rs::Encoding::for_label(table.charset.as_bytes()).ok_or_else(|| {
        at.wrong(&["charset"], format!("{:?} is not a charset; utf-8, windows-1252 and latin1 are", table.charset))
    })?;
    let delimiter =
        u8::try_from(table.delimiter)
            .ok()
            .filter(|d| d.is_ascii() && !matches!(d, b'"' | b'\r' | b'\n'))
            .ok_or_else(|| at.wrong(&["delimiter"], "must be one ASCII character that is no quote or line break"))?;
    Ok(CsvSpec {
        path: base.join(table.path),
        scan: table.scan,
        settle: table.settle,
        charset,
        delimiter,
        mapping: mapping::read(at, Names::Headers, wards)?,
    })
}
