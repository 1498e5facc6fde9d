//! Which departments there are: from `facilities.csv` to a nation file and one agent's setup each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Table;
use vardpuls_shared::hospital::{HospitalId, RegionCode};

use super::recording::{NOT_REPORTED, TIME_FORMAT, ZONE, header};
use crate::hospital::{Pace, Setup, table};

/// How long hourly counts may be relied on.
pub const VALID_FOR: Duration = Duration::from_hours(2);

/// Each drop is one report: nothing is sent again as the recorded clock jumps.
const PACE: Pace =
    Pace { heartbeat: Duration::from_mins(119), min_gap: Duration::ZERO, jitter: Duration::ZERO, valid_for: VALID_FOR };

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FacilitiesError {
    /// Not readable as CSV with these columns.
    #[error("{}: {reason}; it needs permit_no, region_code, region, name, lat, lon", file.display())]
    Csv {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: csv::Error,
    },
    /// The same department twice.
    #[error("{}: the department {permit} stands twice", file.display())]
    Twice {
        /// Which file.
        file: PathBuf,
        /// Which department.
        permit: HospitalId,
    },
}

#[derive(Debug, Deserialize)]
struct Record {
    permit_no: HospitalId,
    region_code: RegionCode,
    region: String,
    name: String,
    lat: Option<f64>,
    lon: Option<f64>,
}

/// One emergency department.
#[derive(Debug, Clone)]
pub struct Department {
    /// Its permit number.
    pub permit: String,
    /// Where it lies.
    pub region: RegionCode,
    id: HospitalId,
    name: String,
    position: Option<(f64, f64)>,
}

/// All departments and their regions.
#[derive(Debug, Clone)]
pub struct Facilities {
    /// The departments, in the order of the file.
    pub departments: Vec<Department>,
    /// The regions' names.
    pub regions: BTreeMap<RegionCode, String>,
}

impl Facilities {
    /// Reads the list.
    pub fn read(file: &Path) -> Result<Facilities, FacilitiesError> {
        let fault = |reason| FacilitiesError::Csv { file: file.to_owned(), reason };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(fault)?;
        let mut facilities = Facilities { departments: Vec::new(), regions: BTreeMap::new() };
        for record in reader.deserialize() {
            let Record { permit_no: id, region_code: region, region: region_name, name, lat, lon } =
                record.map_err(fault)?;
            if facilities.departments.iter().any(|d| d.id == id) {
                return Err(FacilitiesError::Twice { file: file.to_owned(), permit: id });
            }
            facilities.regions.entry(region.clone()).or_insert(region_name);
            let position = lat.zip(lon);
            facilities.departments.push(Department { permit: id.to_string(), region, id, name, position });
        }
        Ok(facilities)
    }

    /// The centre's nation file.
    pub fn nation(&self) -> String {
        let regions = self.regions.iter().map(|(code, name)| table([("code", code.as_str()), ("name", name.as_str())]));
        let mut nation = table([("code", "QC"), ("name", "Québec")]);
        nation.insert("region".into(), regions.collect::<Vec<Table>>().into());
        nation.to_string()
    }
}

impl Department {
    /// What its agent shall be: one ward, its own rows of the shared file.
    pub fn setup(&self, shared_file: &Path) -> Setup {
        let mut ward = table([("id", "urgence"), ("name", "Urgence"), ("care", "emergency")]);
        ward.insert("index".into(), 1.into());
        if let Some((latitude, longitude)) = self.position {
            ward.insert("latitude".into(), latitude.into());
            ward.insert("longitude".into(), longitude.into());
        }
        let mut source = table([
            ("name", "urgences"),
            ("kind", "csv"),
            ("scan", "100ms"),
            ("settle", "0s"),
            ("charset", "iso-8859-1"),
            ("ward", "urgence"),
        ]);
        source.insert("path".into(), shared_file.to_string_lossy().into_owned().into());
        source.insert("not-reported".into(), vec![NOT_REPORTED].into());
        let columns = table([
            ("staffed", header::FUNCTIONAL),
            ("occupied", header::OCCUPIED),
            ("over_24h", header::OVER_24H),
            ("over_48h", header::OVER_48H),
            ("time", header::TIME),
        ]);
        source.insert("columns".into(), columns.into());
        source.insert("time".into(), table([("zone", ZONE), ("format", TIME_FORMAT)]).into());
        source.insert("rows".into(), table([(header::PERMIT, vec![self.permit.clone()])]).into());
        Setup {
            hospital: self.id.clone(),
            name: self.name.clone(),
            region: self.region.clone(),
            pace: PACE,
            wards: vec![ward],
            sources: vec![source],
        }
    }
}
