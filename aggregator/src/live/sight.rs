//! The live picture as the alarms see it: by index, without copying anything.
//!
//! Regions and hospitals have small indices that stand for as long as the process runs.

use vardpuls_shared::care::CareType;
use vardpuls_shared::feed::Freshness;
use vardpuls_shared::hospital::{HospitalId, RegionCode, WardId};

use super::Live;
use super::hospital::Hospital;
use crate::rollup::{Contribution, Tally};
use crate::ward::WardCounts;

/// One enrolled hospital.
#[derive(Debug, Clone, Copy)]
pub struct HospitalSight<'a> {
    hospital: &'a Hospital,
    /// Its region's index.
    pub region: usize,
    /// What it adds to its region and the nation.
    pub contribution: &'a Contribution,
}

/// One ward of a hospital's roster.
#[derive(Debug, Clone, Copy)]
pub struct WardSight<'a> {
    /// What the hospital calls it.
    pub id: &'a WardId,
    /// What people call it.
    pub name: &'a str,
    /// What its beds are for.
    pub care: CareType,
    /// Its counts, where they are fresh.
    pub counts: Option<&'a WardCounts>,
}

impl<'a> HospitalSight<'a> {
    /// Which hospital.
    pub fn id(&self) -> &'a HospitalId {
        &self.hospital.id
    }

    /// What people call it.
    pub fn name(&self) -> &'a str {
        &self.hospital.name
    }

    /// Whether its newest report may be relied on.
    pub fn is_fresh(&self) -> bool {
        self.contribution.state() == Freshness::Fresh
    }

    /// By how much its clock is off, in ms, where the flag is raised.
    pub fn clock_flag(&self) -> Option<i64> {
        self.hospital.clock_flag
    }

    /// The version of the roster that stands.
    pub fn roster_version(&self) -> Option<u32> {
        self.hospital.standing().map(|(_, known)| known.roster.version)
    }

    /// Its wards, in the order of the roster.
    pub fn wards(&self) -> impl Iterator<Item = WardSight<'a>> {
        let fresh = self.is_fresh();
        self.hospital.standing().into_iter().flat_map(move |(report, known)| {
            known.roster.wards.iter().enumerate().map(move |(n, ward)| {
                // A report that counts every ward has it at the roster's place.
                let here = report.wards.get(n).filter(|w| w.index == ward.index);
                let found =
                    || report.wards.binary_search_by_key(&ward.index, |w| w.index).ok().map(|at| &report.wards[at]);
                let counts = here.or_else(found).filter(|_| fresh);
                WardSight { id: &ward.id, name: &ward.name, care: ward.care, counts }
            })
        })
    }
}

impl Live {
    /// The nation's name.
    pub fn nation_name(&self) -> &str {
        &self.nation.name
    }

    /// The nation's sums.
    pub fn nation_tally(&self) -> &Tally {
        self.rollup.nation()
    }

    /// Every region's code, by index.
    pub fn region_codes(&self) -> &[RegionCode] {
        &self.region_codes
    }

    /// A region's name.
    pub fn region_name(&self, region: usize) -> &str {
        &self.nation.regions[&self.region_codes[region]].name
    }

    /// A region's sums.
    pub fn region_tally(&self, region: usize) -> &Tally {
        self.rollup.region(region)
    }

    /// How many hospitals were ever enrolled here: their indices are below it.
    pub fn hospitals_met(&self) -> usize {
        self.hospitals.len()
    }

    /// Where a hospital stands.
    pub fn hospital_index(&self, id: &HospitalId) -> Option<usize> {
        self.index_of.get(id).copied()
    }

    /// A hospital, while it is enrolled.
    pub fn hospital_at(&self, at: usize) -> Option<HospitalSight<'_>> {
        let hospital = self.hospitals.get(at)?;
        Some(HospitalSight { hospital, region: hospital.region?, contribution: self.rollup.hospital(at) })
    }
}

/// Tells a hospital from others in what is missing: the same in every process (FNV-1a), never 0.
pub(super) fn print(id: &HospitalId) -> u64 {
    let hash = id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash.max(1)
}
