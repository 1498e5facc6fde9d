//! How rows of a source become counts of wards: which ward, which counts, which time, which rows.
//!
//! A column is whatever a kind of source calls its values by: a header of a file, a column of a
//! query, a JSON pointer into a row.

use std::collections::{BTreeMap, BTreeSet};

use vardpuls_shared::count::Extra;
use vardpuls_shared::hospital::WardId;

use super::time::TimeFormat;

/// How to read a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Which ward a row is about.
    pub ward: WardFrom,
    /// Each count and its column.
    pub counts: BTreeMap<Field, String>,
    /// When a row held.
    pub time: TimeFrom,
    /// Which rows count: column and the values that it must have one of.
    pub rows: BTreeMap<String, BTreeSet<String>>,
    /// Values that mean "not reported".
    pub not_reported: BTreeSet<String>,
}

impl Mapping {
    /// Whether it counts patients.
    pub fn gives_occupied(&self) -> bool {
        self.counts.contains_key(&Field::Occupied)
    }

    /// Every column that it needs, and the key of the config that names it.
    pub fn columns(&self) -> Vec<(&str, String)> {
        let mut columns = Vec::with_capacity(self.counts.len() + self.rows.len() + 2);
        if let WardFrom::Column { header, .. } = &self.ward {
            columns.push((header.as_str(), "source.columns.ward".to_owned()));
        }
        if let TimeFrom::Column { header, .. } = &self.time {
            columns.push((header.as_str(), "source.columns.time".to_owned()));
        }
        for (field, header) in &self.counts {
            columns.push((header.as_str(), format!("source.columns.{}", field.name())));
        }
        columns.extend(self.rows.keys().map(|header| (header.as_str(), "source.rows".to_owned())));
        columns
    }
}

/// Which ward a row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WardFrom {
    /// Every row is about this one.
    Constant(WardId),
    /// A column says it.
    Column {
        /// Its name.
        header: String,
        /// What stands in it for each ward.
        names: BTreeMap<String, WardId>,
    },
}

/// When a row held.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeFrom {
    /// When the source was read; of a file, when it was last written.
    Reading,
    /// A column says it.
    Column {
        /// Its name.
        header: String,
        /// How to read it.
        format: TimeFormat,
    },
}

/// A count that a column can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Staffed beds.
    Staffed,
    /// Patients in them.
    Occupied,
    /// An extra.
    Extra(Extra),
}

impl Field {
    /// The word for it in the config.
    pub fn name(self) -> &'static str {
        match self {
            Field::Staffed => "staffed",
            Field::Occupied => "occupied",
            Field::Extra(extra) => extra.name().unwrap_or("extra"),
        }
    }
}
