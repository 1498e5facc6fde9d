//! Signed reports of many hospitals, and the registry that believes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use vardpuls_aggregator::enrolment::{Enrolment, Key, Registry, State};
use vardpuls_aggregator::nation::Nation;
use vardpuls_shared::card::Card;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Kind, sign};

/// When the fixtures' reports hold.
pub(crate) const NOW: Time = Time(1_790_000_000_000);

/// The wards of every fixture hospital.
pub(crate) const WARDS: u16 = 25;

/// One hospital that can sign.
pub(crate) struct Hospital {
    /// Who.
    pub(crate) id: HospitalId,
    /// Its key.
    pub(crate) key: SigningKey,
    /// Its wards.
    pub(crate) roster: Roster,
    /// The how-manieth of the nation's regions it lies in.
    pub(crate) region_number: usize,
    region: String,
}

/// `n` hospitals, spread over Sweden's regions.
pub(crate) fn hospitals(n: usize) -> Vec<Hospital> {
    let regions: Vec<String> = Nation::sweden().regions.keys().map(ToString::to_string).collect();
    (0..n)
        .map(|at| {
            let id: HospitalId = format!("SE0000000000-B{at:05}").parse().expect("within the alphabet");
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&(at as u64).to_le_bytes());
            let cares = [CareType::General, CareType::Icu, CareType::Emergency, CareType::Paediatric];
            let wards = (1..=WARDS).map(|index| Ward {
                index,
                id: format!("w{index}").parse().expect("within the alphabet"),
                name: format!("Ward {index}"),
                care: cares[usize::from(index) % cares.len()],
                place: None,
                capabilities: Vec::new(),
                contact: None,
            });
            let roster = Roster::new(id.clone(), wards.collect());
            let region_number = at % regions.len();
            let region = regions[region_number].clone();
            Hospital { id, key: SigningKey::from_seed(&seed), roster, region_number, region }
        })
        .collect()
}

impl Hospital {
    /// Its enrolment card.
    pub(crate) fn card(&self) -> Card {
        let region = self.region.parse().expect("a region's code");
        Card::new(self.id.clone(), self.id.to_string(), region, self.key.public())
    }

    /// Its signed roster.
    pub(crate) fn signed_roster(&self) -> Vec<u8> {
        sign(Kind::Roster, &self.roster.encode(), &self.key)
    }

    /// A signed report whose counts follow from its sequence.
    pub(crate) fn signed_report(&self, sequence: u64, observed_at: Time) -> Vec<u8> {
        let wards: BTreeMap<u16, Counts> = (1..=WARDS)
            .map(|index| {
                let occupied = 12 + u16::try_from((sequence + u64::from(index)) % 8).expect("below 8");
                (index, Counts { staffed: 20, occupied, ..Counts::default() })
            })
            .collect();
        self.signed_counts(sequence, observed_at, wards)
    }

    /// A signed report of these counts, by roster index.
    pub(crate) fn signed_counts(&self, sequence: u64, observed_at: Time, wards: BTreeMap<u16, Counts>) -> Vec<u8> {
        let report = Report {
            hospital: self.id.clone(),
            position: Position { epoch: NOW.0, sequence },
            observed_at,
            valid_for: 180,
            roster_version: self.roster.version,
            wards,
        };
        sign(Kind::Report, &report.encode(), &self.key)
    }
}

/// The registry of these hospitals.
pub(crate) fn registry(hospitals: &[Hospital]) -> Arc<Registry> {
    let enrolments = hospitals.iter().map(|h| Enrolment {
        hospital: h.id.clone(),
        name: h.id.to_string(),
        region: h.region.parse().expect("a region's code"),
        state: State::Enrolled,
        keys: vec![Key { public_key: h.key.public(), from: None, until: None, revoked: None }],
    });
    Arc::new(enrolments.collect())
}

/// The middle of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
