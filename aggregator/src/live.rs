//! The live picture: every enrolled hospital's state, and what it comes to. Pure; time is an argument.
//!
//! In: verified reports and rosters, the registry, the passing of time. Out: which scopes changed,
//! and the feed of any scope. One task owns it; a report costs the same at 100 hospitals and at
//! 10,000, because hospitals and regions are small indices here and only one hospital is touched.
//!
//! Invariants. The picture is a function of the set of reports and rosters merged, the registry and
//! the time: not of their order. It is therefore the same after a restart that replays the store. A
//! report whose roster is not here yet is kept, and stands once the roster comes; until then the
//! newest one that can be read stands. A hospital that is suspended or no longer enrolled counts
//! nowhere; its reports are remembered, so that an old one cannot pass for new when it returns.

mod hospital;
pub mod sight;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Feed, Freshness, Level, VERSION};
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::topic::Scope;

use self::hospital::{Hospital, sum_up};
use crate::enrolment::{Registry, State};
use crate::freshness::{self, Deadlines};
use crate::merge::Outcome;
use crate::nation::Nation;
use crate::rollup::{Contribution, Rollup, Tally};
use crate::verify::{VerifiedReport, VerifiedRoster};

/// The live picture.
#[derive(Debug)]
pub struct Live {
    nation: Arc<Nation>,
    tolerance: Duration,
    region_codes: Vec<RegionCode>,
    region_of: BTreeMap<RegionCode, usize>,
    hospitals: Vec<Hospital>,
    index_of: HashMap<HospitalId, usize>,
    rollup: Rollup,
    deadlines: Deadlines,
    /// The latest time seen: a clock that was set back makes everything be judged again.
    latest: Time,
    changes: Changes,
    touched: Touched,
    flagged: u32,
    scratch: Contribution,
}

#[derive(Debug)]
struct Changes {
    nation: bool,
    regions: Vec<bool>,
    hospitals: Vec<usize>,
    gone: Vec<HospitalId>,
}

/// What the alarms have to look at again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// The nation's figures changed.
    pub nation: bool,
    /// Regions whose figures changed, by index.
    pub regions: Vec<usize>,
    /// Hospitals that were heard, or whose freshness, clock or enrolment changed, by index.
    pub hospitals: Vec<usize>,
}

/// What has to be published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Scopes whose feed changed: the nation first, then regions, then hospitals.
    pub changed: Vec<Scope>,
    /// Hospitals that no longer have a feed.
    pub gone: Vec<HospitalId>,
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// What it was to the hospital's state.
    pub outcome: Outcome,
    /// Its roster is not here: it waits for it.
    pub roster_missing: bool,
    /// Wards that its roster does not have, and which are left out.
    pub unknown_wards: u32,
    /// Whether that is the first time for this roster.
    pub first_unknown: bool,
}

impl Live {
    /// The picture before anything was heard.
    pub fn new(nation: Arc<Nation>, registry: &Registry, tolerance: Duration) -> Live {
        let region_codes: Vec<RegionCode> = nation.regions.keys().cloned().collect();
        let regions = region_codes.len();
        let mut live = Live {
            nation,
            tolerance,
            region_of: region_codes.iter().cloned().zip(0..).collect(),
            region_codes,
            hospitals: Vec::new(),
            index_of: HashMap::new(),
            rollup: Rollup::new(regions),
            deadlines: Deadlines::default(),
            latest: Time(0),
            touched: Touched { nation: true, regions: (0..regions).collect(), hospitals: Vec::new() },
            changes: Changes { nation: true, regions: vec![true; regions], hospitals: Vec::new(), gone: Vec::new() },
            flagged: 0,
            scratch: Contribution::default(),
        };
        live.enrol(registry, Time(0));
        live
    }

    /// Brings the hospitals into step with the registry.
    pub fn enrol(&mut self, registry: &Registry, now: Time) {
        self.expire(now);
        let mut enrolled = vec![false; self.hospitals.len()];
        for enrolment in registry.iter().filter(|e| e.state == State::Enrolled) {
            let Some(&region) = self.region_of.get(&enrolment.region) else {
                continue; // enrolment refuses regions that the nation does not have
            };
            let at = *self.index_of.entry(enrolment.hospital.clone()).or_insert_with(|| {
                self.hospitals.push(Hospital::new(enrolment.hospital.clone()));
                let at = self.hospitals.len() - 1;
                self.rollup.name(at, sight::print(&enrolment.hospital));
                at
            });
            match enrolled.get_mut(at) {
                Some(known) => *known = true,
                None => enrolled.push(true),
            }
            let hospital = &mut self.hospitals[at];
            if hospital.region == Some(region) && hospital.name == enrolment.name {
                continue;
            }
            hospital.name.clone_from(&enrolment.name);
            let old = hospital.region.replace(region);
            self.touch_region(old);
            self.refresh(at, now);
            self.touch(at);
            self.look_at(at);
        }
        for at in (0..enrolled.len()).filter(|&at| !enrolled[at]) {
            if let Some(region) = self.hospitals[at].region.take() {
                self.touch_region(Some(region));
                self.refresh(at, now);
                self.look_at(at);
                self.changes.gone.push(self.hospitals[at].id.clone());
            }
        }
    }

    /// Joins a report in. None when its hospital was never enrolled here.
    pub fn apply(&mut self, report: &VerifiedReport, now: Time) -> Option<Applied> {
        self.expire(now);
        let at = *self.index_of.get(report.hospital())?;
        let heard = report.heard();
        let hospital = &mut self.hospitals[at];
        let outcome = hospital.recent.merge(heard, report.wards());
        let roster_missing = hospital.known(heard.roster_version).is_none();
        let unknown_wards = self.refresh(at, now);
        let newer = outcome == Outcome::Newer && !roster_missing;
        let (unknown_wards, first_unknown) = match unknown_wards {
            n if newer && n > 0 => (n, self.hospitals[at].complain(heard.roster_version)),
            _ => (0, false),
        };
        self.touch(at);
        if outcome == Outcome::Newer {
            self.look_at(at);
        }
        Some(Applied { outcome, roster_missing, unknown_wards, first_unknown })
    }

    /// Takes a roster in. False when it was here already, or its hospital was never enrolled.
    pub fn apply_roster(&mut self, roster: &VerifiedRoster, now: Time) -> bool {
        self.expire(now);
        let Some(&at) = self.index_of.get(&roster.roster().hospital) else { return false };
        if !self.hospitals[at].learn(roster.roster(), roster.received_at()) {
            return false;
        }
        self.refresh(at, now);
        self.touch(at);
        true
    }

    /// Whether a hospital is or was enrolled here.
    pub fn has_met(&self, hospital: &HospitalId) -> bool {
        self.index_of.contains_key(hospital)
    }

    /// Lets time pass: reports whose end has come turn stale.
    pub fn expire(&mut self, now: Time) {
        if now < self.latest {
            for at in 0..self.hospitals.len() {
                self.refresh(at, now);
            }
        }
        self.latest = now;
        while let Some(at) = self.deadlines.due(now) {
            self.refresh(at, now);
            self.touch(at);
        }
    }

    /// What the alarms have to look at again since the last call; `into` is used again and again.
    pub fn take_touched(&mut self, into: &mut Touched) {
        into.regions.clear();
        into.hospitals.clear();
        std::mem::swap(&mut self.touched, into);
        self.touched.nation = false;
        into.hospitals.iter().for_each(|&at| self.hospitals[at].looked_at = false);
    }

    /// What changed since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        let mut changed = Vec::new();
        if std::mem::take(&mut self.changes.nation) {
            changed.push(Scope::Nation);
        }
        for (code, dirty) in self.region_codes.iter().zip(&mut self.changes.regions) {
            if std::mem::take(dirty) {
                changed.push(Scope::Region(code.clone()));
            }
        }
        for at in self.changes.hospitals.drain(..) {
            let hospital = &mut self.hospitals[at];
            hospital.changed = false;
            if hospital.region.is_some() {
                changed.push(Scope::Hospital(hospital.id.clone()));
            }
        }
        let enrolled = |id: &HospitalId| self.index_of.get(id).is_some_and(|&at| self.hospitals[at].region.is_some());
        let gone = self.changes.gone.drain(..).filter(|id| !enrolled(id)).collect();
        Dirty { changed, gone }
    }

    /// Whether anything changed since [`Live::take_dirty`].
    pub fn is_dirty(&self) -> bool {
        self.changes.nation
            || !self.changes.hospitals.is_empty()
            || !self.changes.gone.is_empty()
            || self.changes.regions.contains(&true)
    }

    /// Lets the nation be published again although nothing changed: a sign of life.
    pub fn touch_nation(&mut self) {
        self.changes.nation = true;
    }

    /// Every scope that has a feed.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let hospitals = self.hospitals.iter().filter(|h| h.region.is_some()).map(|h| Scope::Hospital(h.id.clone()));
        std::iter::once(Scope::Nation).chain(self.region_codes.iter().cloned().map(Scope::Region)).chain(hospitals)
    }

    /// The feed of a scope. None for a region that is not, a hospital that is not enrolled.
    pub fn feed(&self, scope: &Scope, number: u64, as_of: Time) -> Option<Feed> {
        let feed = |level, code: &str, name: &str, tally: &Tally, hospital| Feed {
            version: VERSION,
            number,
            as_of,
            level,
            code: code.to_owned(),
            name: name.to_owned(),
            total: tally.total(),
            care: tally.care(),
            coverage: tally.coverage(),
            hospital,
        };
        match scope {
            Scope::Nation => {
                Some(feed(Level::Nation, &self.nation.code, &self.nation.name, self.rollup.nation(), None))
            }
            Scope::Region(code) => {
                let tally = self.rollup.region(*self.region_of.get(code)?);
                Some(feed(Level::Region, code.as_str(), &self.nation.regions[code].name, tally, None))
            }
            Scope::Hospital(id) => {
                let at = *self.index_of.get(id)?;
                let hospital = &self.hospitals[at];
                let region = &self.region_codes[hospital.region?];
                let contribution = self.rollup.hospital(at);
                let detail = hospital.detail(region, contribution.state());
                Some(feed(Level::Hospital, id.as_str(), &hospital.name, &contribution.tally(), Some(detail)))
            }
        }
    }

    /// How many hospitals stand behind the nation's figures.
    pub fn coverage(&self) -> Coverage {
        self.rollup.nation().coverage()
    }

    /// Hospitals whose clock is off by more than the tolerance.
    pub fn clocks_flagged(&self) -> u32 {
        self.flagged
    }

    /// Judges a hospital anew and puts its contribution in place. Returns how many wards of the
    /// report that stands its roster does not have.
    fn refresh(&mut self, at: usize, now: Time) -> u32 {
        let hospital = &mut self.hospitals[at];
        let offset = hospital.recent.offset_ms();
        let mut unknown_wards = 0;
        let mut end = None;
        let standing = hospital.standing();
        let roster = standing.map(|(_, roster)| roster).or(hospital.rosters.last());
        self.scratch.begin(roster.into_iter().flat_map(|r| r.wards.iter().map(|w| w.1)));
        let mut state = Freshness::Unknown;
        if let Some((report, roster)) = standing {
            unknown_wards = sum_up(&mut self.scratch, report, roster);
            let until = freshness::until(report.heard.observed_at, report.heard.valid_for, offset);
            state = freshness::judge(until, self.scratch.vouches(), now);
            end = (state == Freshness::Fresh).then_some(until);
        }
        self.scratch.close(state);
        let enrolled = hospital.region.is_some();
        let flag = freshness::clock_flag(offset, self.tolerance).filter(|_| enrolled);
        self.flagged += u32::from(flag.is_some());
        let before = std::mem::replace(&mut hospital.clock_flag, flag);
        self.flagged -= u32::from(before.is_some());
        let region = hospital.region;
        self.deadlines.set(at, end.filter(|_| enrolled));
        let put = self.rollup.put(at, region, &self.scratch);
        if put {
            self.touch_region(region);
            self.touch(at);
        }
        if put || before != flag {
            self.look_at(at);
        }
        unknown_wards
    }

    fn touch(&mut self, at: usize) {
        if !std::mem::replace(&mut self.hospitals[at].changed, true) {
            self.changes.hospitals.push(at);
        }
    }

    fn touch_region(&mut self, region: Option<usize>) {
        if let Some(region) = region {
            self.changes.regions[region] = true;
            self.changes.nation = true;
            self.touched.nation = true;
            // Few regions: a look through them beats a flag for each.
            if !self.touched.regions.contains(&region) {
                self.touched.regions.push(region);
            }
        }
    }

    fn look_at(&mut self, at: usize) {
        if !std::mem::replace(&mut self.hospitals[at].looked_at, true) {
            self.touched.hospitals.push(at);
        }
    }
}
