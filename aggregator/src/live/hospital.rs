//! One hospital in the live picture: its newest reports, its rosters, and which of them stand.

use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Freshness, HospitalDetail, WardFigures};
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::roster::{Roster, Ward};

use crate::merge::{Kept, Recent};
use crate::rollup::Contribution;

/// How many roster versions of a hospital are remembered.
const ROSTERS: usize = 8;

/// One hospital.
#[derive(Debug)]
pub(super) struct Hospital {
    pub(super) id: HospitalId,
    pub(super) name: String,
    /// None while it is suspended or not enrolled.
    pub(super) region: Option<usize>,
    pub(super) recent: Recent,
    /// By when they were first received, then by version: not by the order of arrival here.
    pub(super) rosters: Vec<Known>,
    pub(super) clock_flag: Option<i64>,
    pub(super) changed: bool,
    /// The alarms will look at it again.
    pub(super) looked_at: bool,
}

/// A roster, and its care types in a form that a report can be held against quickly.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) received_at: Time,
    pub(super) roster: Roster,
    /// (index, care type) by rising index.
    pub(super) wards: Vec<(u16, CareType)>,
    /// Whether wards that it does not have were already complained about.
    pub(super) complained: bool,
}

/// Adds the report's wards up; both sides rise by index. Returns how many the roster does not have.
pub(super) fn sum_up(sums: &mut Contribution, report: &Kept, roster: &Known) -> u32 {
    let mut places = roster.wards.iter().peekable();
    let mut unknown = 0;
    for ward in &report.wards {
        while let Some(&(_, care)) = places.next_if(|p| p.0 < ward.index) {
            sums.leave_out(care);
        }
        match places.next_if(|p| p.0 == ward.index) {
            Some(&(_, care)) => sums.add(care, ward),
            None => unknown += 1,
        }
    }
    places.for_each(|&(_, care)| sums.leave_out(care));
    unknown
}

impl Hospital {
    pub(super) fn new(id: HospitalId) -> Hospital {
        Hospital {
            id,
            name: String::new(),
            region: None,
            recent: Recent::default(),
            rosters: Vec::new(),
            clock_flag: None,
            changed: false,
            looked_at: false,
        }
    }

    /// Remembers a roster; of many, the newest. False when nothing is new in it.
    pub(super) fn learn(&mut self, roster: &Roster, received_at: Time) -> bool {
        let known = match self.rosters.iter().position(|k| k.roster.version == roster.version) {
            Some(at) if self.rosters[at].received_at <= received_at => return false,
            Some(at) => Known { received_at, ..self.rosters.remove(at) },
            None => Known {
                received_at,
                wards: roster.wards.iter().map(|w| (w.index, w.care)).collect(),
                roster: roster.clone(),
                complained: false,
            },
        };
        let order = |k: &Known| (k.received_at, k.roster.version);
        let at = self.rosters.partition_point(|k| order(k) < order(&known));
        self.rosters.insert(at, known);
        if self.rosters.len() > ROSTERS {
            self.rosters.remove(0);
        }
        true
    }

    pub(super) fn known(&self, version: u32) -> Option<&Known> {
        self.rosters.iter().rev().find(|k| k.roster.version == version)
    }

    /// The newest report that can be read, with its roster.
    pub(super) fn standing(&self) -> Option<(&Kept, &Known)> {
        let report = self.recent.newest_with(|version| self.known(version).is_some())?;
        Some((report, self.known(report.heard.roster_version)?))
    }

    /// Whether wards that the roster does not have are complained about for the first time.
    pub(super) fn complain(&mut self, version: u32) -> bool {
        let known = self.rosters.iter_mut().rev().find(|k| k.roster.version == version);
        known.is_some_and(|k| !std::mem::replace(&mut k.complained, true))
    }

    pub(super) fn detail(&self, region: &RegionCode, state: Freshness) -> HospitalDetail {
        let standing = self.standing();
        let roster = standing.map(|(_, roster)| roster).or(self.rosters.last());
        let standing = standing.map(|(report, _)| report);
        let figures = |index: u16| {
            let wards = &standing?.wards;
            wards.binary_search_by_key(&index, |w| w.index).ok().map(|at| wards[at].figures())
        };
        let ward = |w: &Ward| WardFigures {
            id: w.id.clone(),
            name: w.name.clone(),
            care: w.care,
            figures: figures(w.index).unwrap_or_default(),
        };
        HospitalDetail {
            region: region.as_str().to_owned(),
            state,
            observed_at: standing.map(|r| r.heard.observed_at),
            received_at: standing.map(|r| r.heard.received_at),
            clock_offset_ms: self.clock_flag,
            wards: roster.into_iter().flat_map(|k| k.roster.wards.iter().map(ward)).collect(),
        }
    }
}
