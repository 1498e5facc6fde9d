//! One recorded drop: its name, and what it says of each department.
//!
//! This reader is not the agent's. It is written anew, so that the replay knows from elsewhere what the agents should
//! come to say: from then on it waits for exactly that, and compares nothing before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use vardpuls_shared::clock::Time;

/// The zone of the recording's local times.
pub const ZONE: &str = "America/Montreal";

/// How the recording writes a local time: hours may lack their zero.
pub const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M";

/// What stands where a department did not report.
pub const NOT_REPORTED: &str = "pas d'information disponible";

/// The headers that the replay needs; in the files they carry stray spaces.
pub mod header {
    /// The department.
    pub const PERMIT: &str = "No_permis_installation";
    /// Functional stretchers.
    pub const FUNCTIONAL: &str = "Nombre_de_civieres_fonctionnelles";
    /// Occupied stretchers.
    pub const OCCUPIED: &str = "Nombre_de_civieres_occupees";
    /// Patients for more than 24 hours.
    pub const OVER_24H: &str = "Nombre_de_patients_sur_civiere_plus_de_24_heures";
    /// Patients for more than 48 hours.
    pub const OVER_48H: &str = "Nombre_de_patients_sur_civiere_plus_de_48_heures";
    /// When the counts held, local time.
    pub const TIME: &str = "Mise_a_jour";
}

/// Why a drop cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// The name is no time.
    #[error("{}: a drop is named by the UTC time it was fetched, as 2023-03-06T021401.csv", .0.display())]
    Name(PathBuf),
    /// Nothing in it.
    #[error("the drop is empty")]
    Empty,
    /// Another header.
    #[error("the drop has no column {0}")]
    Header(&'static str),
    /// Not CSV.
    #[error("the drop is not CSV: {0}")]
    Csv(#[from] csv::Error),
}

/// A drop's file and the time in its name.
#[derive(Debug, Clone)]
pub struct Name {
    /// The file.
    pub file: PathBuf,
    /// When it was fetched.
    pub fetched: Time,
}

impl Name {
    /// Reads the time in the name; what follows it does not count.
    pub fn of(file: PathBuf) -> Result<Name, DropError> {
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let time = stem.get(..17).and_then(|text| DateTime::strptime("%Y-%m-%dT%H%M%S", text).ok());
        match time.and_then(|t| instant(t, &TimeZone::UTC)) {
            Some(fetched) => Ok(Name { file, fetched }),
            None => Err(DropError::Name(file)),
        }
    }
}

fn instant(local: DateTime, zone: &TimeZone) -> Option<Time> {
    let stamp = local.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
    u64::try_from(stamp).ok().map(Time)
}

/// What a drop says of one department.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Its counts.
    Counts {
        /// When they held.
        time: Time,
        /// Functional stretchers.
        staffed: u16,
        /// Occupied ones.
        occupied: u16,
    },
    /// Marked as not reported, not readable, or no row at all.
    NotReported,
    /// Several rows: what an agent makes of that is its own affair.
    Contradictory,
}

/// What a drop says.
#[derive(Debug, Default)]
pub struct Drop {
    /// The local times in it, with how many rows have each.
    pub times: BTreeMap<DateTime, usize>,
    rows: BTreeMap<String, Row>,
}

impl Drop {
    /// Reads a drop.
    pub fn parse(bytes: &[u8]) -> Result<Drop, DropError> {
        let (text, _, _) = encoding_rs::WINDOWS_1252.decode(bytes);
        if text.trim().is_empty() {
            return Err(DropError::Empty);
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
        let headers = reader.headers()?.clone();
        let column = |name| headers.iter().position(|h| h == name).ok_or(DropError::Header(name));
        let (permit, functional) = (column(header::PERMIT)?, column(header::FUNCTIONAL)?);
        let (occupied, time) = (column(header::OCCUPIED)?, column(header::TIME)?);
        let zone = TimeZone::get(ZONE).expect("a zone of the database");
        let mut drop = Drop::default();
        for record in reader.records() {
            let record = record?;
            let cell = |at: usize| record.get(at).unwrap_or_default();
            let local = DateTime::strptime(TIME_FORMAT, cell(time)).ok();
            let counts = || {
                let time = instant(local?, &zone)?;
                let (staffed, occupied) = (cell(functional).parse().ok()?, cell(occupied).parse().ok()?);
                Some(Row::Counts { time, staffed, occupied })
            };
            if let Some(local) = local {
                *drop.times.entry(local).or_default() += 1;
            }
            let row = counts().unwrap_or(Row::NotReported);
            drop.rows.entry(cell(permit).to_owned()).and_modify(|r| *r = Row::Contradictory).or_insert(row);
        }
        Ok(drop)
    }

    /// What it says of a department.
    pub fn row(&self, permit: &str) -> &Row {
        self.rows.get(permit).unwrap_or(&Row::NotReported)
    }

    /// The local time that most of its rows have; of several, the latest.
    pub fn time(&self) -> Option<DateTime> {
        self.times.iter().max_by_key(|&(time, rows)| (*rows, *time)).map(|(time, _)| *time)
    }

    /// Departments in it.
    pub fn permits(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Nom , No_permis_installation , Nombre_de_civieres_fonctionnelles , Nombre_de_civieres_occupees , Mise_a_jour\r\n";

    fn drop(rows: &str) -> Drop {
        let text = format!("{HEAD}{rows}");
        Drop::parse(&encoding_rs::WINDOWS_1252.encode(&text).0).expect("a drop")
    }

    #[test]
    fn names_are_utc_times_whatever_follows() {
        for name in ["2023-03-06T021401.csv", "2023-03-06T021401_urgence.csv"] {
            let name = Name::of(name.into()).expect("a time");
            assert_eq!(name.fetched.to_string(), "2023-03-06T02:14:01.000Z");
        }
        assert!(Name::of("current.csv".into()).is_err());
    }

    #[test]
    fn counts_have_montreal_time_and_absent_is_not_zero() {
        let drop = drop(
            "\"Hôpital\",1,7,4,2023-03-05T20:46\r\nx,2,pas d'information disponible,3,2023-03-05T20:46\r\ny,3,5,5,2023-07-05T0:45\r\n",
        );
        let time = |text: &str| text.parse::<Time>().expect("RFC 3339");
        assert_eq!(drop.row("1"), &Row::Counts { time: time("2023-03-06T01:46:00Z"), staffed: 7, occupied: 4 });
        assert_eq!(drop.row("2"), &Row::NotReported);
        assert_eq!(drop.row("3"), &Row::Counts { time: time("2023-07-05T04:45:00Z"), staffed: 5, occupied: 5 });
        assert_eq!(drop.row("4"), &Row::NotReported);
        assert_eq!(drop.time().map(|t| t.to_string()), Some("2023-03-05T20:46:00".to_owned()));
    }

    #[test]
    fn two_rows_for_a_department_contradict_each_other() {
        assert_eq!(drop("x,1,7,4,2023-03-05T20:46\r\nx,1,7,5,2023-03-05T20:46\r\n").row("1"), &Row::Contradictory);
    }

    #[test]
    fn empty_and_changed_drops_are_errors() {
        assert!(matches!(Drop::parse(b""), Err(DropError::Empty)));
        assert!(matches!(Drop::parse(b"a,b\r\n1,2\r\n"), Err(DropError::Header(_))));
    }
}
