//! The official totals: `official.csv`, one row a data time and region, region 99 for all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use serde::Deserialize;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;

use super::PublishedFigures;
use super::recording::TIME_FORMAT;

/// The code under which the whole stands.
pub fn nation() -> RegionCode {
    RegionCode::new("99").expect("two digits")
}

/// Why the totals cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OfficialError {
    /// Not readable as CSV with these columns.
    #[error("{}: {reason}; it needs mise_a_jour, fetched_utc, region, functional, occupied", file.display())]
    Csv {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: csv::Error,
    },
    /// A time that is none.
    #[error("{}: {text:?} is not a local time as 2023-03-05T20:46", file.display())]
    Time {
        /// Which file.
        file: PathBuf,
        /// What stands there.
        text: String,
    },
}

#[derive(Debug, Deserialize)]
struct Record {
    mise_a_jour: String,
    fetched_utc: Option<Time>,
    region: RegionCode,
    functional: String,
    occupied: String,
}

/// The totals of one data time by region, as fetched once.
type Totals = BTreeMap<RegionCode, PublishedFigures>;

/// All official totals.
#[derive(Debug, Default)]
pub struct Official {
    by_time: BTreeMap<DateTime, BTreeMap<Option<Time>, Totals>>,
}

impl Official {
    /// Reads the totals. A figure that is no number is unknown.
    pub fn read(file: &Path) -> Result<Official, OfficialError> {
        let fault = |reason| OfficialError::Csv { file: file.to_owned(), reason };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(fault)?;
        let mut official = Official::default();
        for record in reader.deserialize() {
            let record: Record = record.map_err(fault)?;
            let time = DateTime::strptime(TIME_FORMAT, &record.mise_a_jour)
                .map_err(|_| OfficialError::Time { file: file.to_owned(), text: record.mise_a_jour.clone() })?;
            let figures =
                PublishedFigures { staffed: record.functional.parse().ok(), occupied: record.occupied.parse().ok() };
            let fetches = official.by_time.entry(time).or_default();
            fetches.entry(record.fetched_utc).or_default().insert(record.region, figures);
        }
        Ok(official)
    }

    /// The totals of a data time; where it was fetched several times, as fetched with the drop, else as fetched last.
    pub fn totals(&self, time: DateTime, fetched: Time) -> Option<&Totals> {
        let all = self.by_time.get(&time)?;
        all.get(&Some(fetched)).or_else(|| all.values().next_back())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_zero_and_hours_may_lack_their_zero() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("official.csv");
        let rows = "mise_a_jour,fetched_utc,region,functional,occupied\r\n\
            2023-03-06T6:46,2023-03-06T11:49:48Z,05,pas d'information disponible,pas d'information disponible\r\n\
            2023-03-06T6:46,2023-03-06T11:49:48Z,99,10,12\r\n";
        std::fs::write(&file, rows).expect("written");
        let official = Official::read(&file).expect("readable");
        let time = DateTime::strptime(TIME_FORMAT, "2023-03-06T06:46").expect("a time");
        let totals = official.totals(time, Time(0)).expect("there");
        let unknown = PublishedFigures { staffed: None, occupied: None };
        assert_eq!(totals[&RegionCode::new("05").expect("valid")], unknown);
        assert_eq!(totals[&nation()], PublishedFigures { staffed: Some(10), occupied: Some(12) });
    }
}
