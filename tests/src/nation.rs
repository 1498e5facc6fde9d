//! The simulated nation: which hospitals there are and which wards they have.
//!
//! In: the facts file (`data/sweden.toml`), a number of hospitals. Out: hospitals with wards, ready to be simulated
//! ([`simulation`]) or written into agents' configs. Pure and without chance: the same number of hospitals is always
//! the same nation. Beds and ids are invented; the ids begin with `SE0000000000-`, which no real organisation has.

use std::collections::BTreeMap;

use serde::Deserialize;
use vardpuls_shared::care::CareType;
use vardpuls_shared::hospital::{HospitalId, RegionCode, WardId};
use vardpuls_shared::roster::Capability;

pub mod plan;
pub mod rhythm;
pub mod simulation;

/// What a hospital is in the facts file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// University hospital.
    #[serde(rename = "univ")]
    University,
    /// Emergency hospital.
    #[serde(rename = "akut")]
    Emergency,
    /// Local hospital (*närsjukhus*).
    #[serde(rename = "när")]
    Local,
}

/// How many wards a hospital gets: an assumption of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Two or three general wards.
    Small,
    /// Half a dozen general wards.
    Medium,
    /// A county hospital.
    Large,
    /// Everything.
    University,
}

/// Wards that only a few hospitals have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Special {
    /// Burn care.
    Burn,
    /// Intensive care for children.
    Children,
    /// ECMO in intensive care.
    Ecmo,
    /// Neurosurgery, with its intensive care.
    Neuro,
    /// Thoracic surgery, with its intensive care.
    Thoracic,
    /// Major trauma.
    Trauma,
}

/// One simulated hospital.
#[derive(Debug, Clone)]
pub struct Hospital {
    /// An invented HSA-id.
    pub id: HospitalId,
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub city: String,
    /// The region's code.
    pub region: RegionCode,
    /// Latitude and longitude in degrees.
    pub position: (f64, f64),
    /// What it is.
    pub kind: Kind,
    /// How large the simulation makes it.
    pub size: Size,
    /// Its wards, by rising index from 1.
    pub wards: Vec<Ward>,
}

/// One simulated ward.
#[derive(Debug, Clone)]
pub struct Ward {
    /// The roster index.
    pub index: u16,
    /// The ward's id.
    pub id: WardId,
    /// The ward's name.
    pub name: String,
    /// What kind of patients it takes.
    pub line: Line,
    /// *Fastställda vårdplatser*.
    pub decided: u16,
    /// What it can do beyond its care type.
    pub capabilities: Vec<Capability>,
}

impl Ward {
    /// The care type of its line.
    pub fn care(&self) -> CareType {
        self.line.care()
    }

    /// Whom to ask for: a role.
    pub fn contact(&self) -> &'static str {
        match self.line {
            Line::Emergency => "ledningsansvarig sjuksköterska",
            Line::Intensive | Line::ChildrensIntensive | Line::Newborn | Line::Burn => "intensivvårdsbakjour",
            _ => "vårdplatskoordinator",
        }
    }
}

/// What kind of patients a ward takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// The emergency department.
    Emergency,
    /// Intensive care for adults.
    Intensive,
    /// Between intensive and general care.
    Intermediate,
    /// Internal medicine.
    Medicine,
    /// Surgery.
    Surgery,
    /// Orthopaedics.
    Orthopaedics,
    /// Geriatrics and rehabilitation.
    Geriatrics,
    /// Infectious diseases.
    Infection,
    /// Birth and after.
    Maternity,
    /// Children.
    Children,
    /// Intensive care for children.
    ChildrensIntensive,
    /// Intensive care for newborns.
    Newborn,
    /// Psychiatry.
    Psychiatry,
    /// Burns.
    Burn,
}

impl Line {
    /// What a ward of this line reports as its care type.
    pub fn care(self) -> CareType {
        match self {
            Line::Emergency => CareType::Emergency,
            Line::Intensive => CareType::Icu,
            Line::Intermediate => CareType::Intermediate,
            Line::Medicine | Line::Surgery | Line::Orthopaedics => CareType::General,
            Line::Geriatrics => CareType::Rehabilitation,
            Line::Infection => CareType::Isolation,
            Line::Maternity => CareType::Maternity,
            Line::Children => CareType::Paediatric,
            Line::ChildrensIntensive => CareType::PaediatricIcu,
            Line::Newborn => CareType::NeonatalIcu,
            Line::Psychiatry => CareType::Psychiatric,
            Line::Burn => CareType::Burn,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    region: Vec<RegionFact>,
    hospital: Vec<HospitalFact>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionFact {
    code: RegionCode,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HospitalFact {
    region: RegionCode,
    name: String,
    city: String,
    latitude: f64,
    longitude: f64,
    kind: Kind,
    size: Size,
    #[serde(default)]
    special: Vec<Special>,
}

/// The simulated nation.
#[derive(Debug, Clone)]
pub struct Nation {
    /// Names of the regions by code.
    pub regions: BTreeMap<RegionCode, String>,
    /// The hospitals, spread over the regions.
    pub hospitals: Vec<Hospital>,
}

impl Nation {
    /// How many hospitals the facts file has.
    pub const REAL_HOSPITALS: usize = 72;

    /// Sweden with `count` hospitals: the largest of each region first, then the second largest, and so on; beyond
    /// [`Nation::REAL_HOSPITALS`] the list begins again with branches of the same hospitals.
    pub fn sweden(count: usize) -> Nation {
        let facts: Facts = toml::from_str(include_str!("../data/sweden.toml")).expect("the facts file is ours");
        let numbered: Vec<(usize, HospitalFact)> = facts.hospital.into_iter().enumerate().collect();
        let order = spread(&numbered);
        let hospitals = (0..count)
            .map(|n| {
                let (number, fact) = order[n % order.len()];
                hospital(number + 1, n / order.len(), fact)
            })
            .collect();
        Nation { regions: facts.region.into_iter().map(|r| (r.code, r.name)).collect(), hospitals }
    }
}

/// Round after round, one hospital of each region, the larger ones first.
fn spread(numbered: &[(usize, HospitalFact)]) -> Vec<(usize, &HospitalFact)> {
    let mut by_region: BTreeMap<&RegionCode, Vec<(usize, &HospitalFact)>> = BTreeMap::new();
    for (number, fact) in numbered {
        by_region.entry(&fact.region).or_default().push((*number, fact));
    }
    for hospitals in by_region.values_mut() {
        hospitals.sort_by_key(|(number, fact)| (std::cmp::Reverse(fact.size), *number));
    }
    let rounds = by_region.values().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(|round| by_region.values().filter_map(move |h| h.get(round).copied())).collect()
}

fn hospital(number: usize, branch: usize, fact: &HospitalFact) -> Hospital {
    let (id, name) = if branch == 0 {
        (format!("SE0000000000-E{number:03}"), fact.name.clone())
    } else {
        (format!("SE0000000000-E{number:03}F{branch}"), format!("{} (filial {branch})", fact.name))
    };
    Hospital {
        id: id.parse().expect("letters, digits and a hyphen"),
        name,
        city: fact.city.clone(),
        region: fact.region.clone(),
        position: (fact.latitude, fact.longitude),
        kind: fact.kind,
        size: fact.size,
        wards: plan::wards(fact.size, &fact.special, number),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_72_hospitals_and_21_regions_with_believable_beds() {
        let nation = Nation::sweden(Nation::REAL_HOSPITALS);
        assert_eq!(nation.regions.len(), 21);
        assert_eq!(nation.hospitals.iter().map(|h| &h.name).collect::<BTreeSet<_>>().len(), 72);
        assert_eq!(nation.hospitals.iter().map(|h| &h.region).collect::<BTreeSet<_>>().len(), 21);
        let beds = |care: Option<CareType>| -> u32 {
            let wards = nation.hospitals.iter().flat_map(|h| &h.wards);
            wards.filter(|w| care.is_none_or(|c| w.care() == c)).map(|w| u32::from(w.decided)).sum()
        };
        assert!((550..=700).contains(&beds(Some(CareType::Icu))), "{} intensive care beds", beds(Some(CareType::Icu)));
        assert!((16_000..=21_000).contains(&beds(None)), "{} beds", beds(None));
        assert!((20..=60).contains(&beds(Some(CareType::PaediatricIcu))));
        assert!((10..=30).contains(&beds(Some(CareType::Burn))));
    }

    #[test]
    fn the_first_21_stand_in_21_regions() {
        let nation = Nation::sweden(21);
        assert_eq!(nation.hospitals.iter().map(|h| &h.region).collect::<BTreeSet<_>>().len(), 21);
    }

    #[test]
    fn more_hospitals_than_there_are_get_ids_of_their_own() {
        let nation = Nation::sweden(300);
        assert_eq!(nation.hospitals.iter().map(|h| &h.id).collect::<BTreeSet<_>>().len(), 300);
        assert!(nation.hospitals.iter().all(|h| h.id.as_str().starts_with("SE0000000000-")));
    }

    #[test]
    fn ward_ids_are_unique_and_indices_rise() {
        for hospital in Nation::sweden(72).hospitals {
            assert_eq!(hospital.wards.iter().map(|w| &w.id).collect::<BTreeSet<_>>().len(), hospital.wards.len());
            assert!(hospital.wards.windows(2).all(|w| w[0].index < w[1].index));
        }
    }
}
