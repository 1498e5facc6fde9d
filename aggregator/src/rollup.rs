//! Sums of fresh wards by hospital, region and nation, and by care type. Pure and incremental.
//!
//! A hospital's *contribution* is all that the rest of the country sees of it. A new one takes the
//! old one's place: the old is taken away from its region and the nation, the new one added. That
//! costs the hospital's own care types, however many hospitals there are.
//!
//! Invariant: every tally is the sum of the contributions in force, nothing else. Held by a property
//! test against recomputation.

use std::collections::BTreeMap;

use vardpuls_shared::care::CareType;
use vardpuls_shared::feed::{Coverage, Figures, Freshness};

use crate::ward::{Sums, WardCounts};

const CARES: usize = CareType::ALL.len();

/// A care type's place in an array: its number.
fn place(care: CareType) -> usize {
    usize::from(care.number())
}

/// What a hospital adds to its region and the nation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    state: Freshness,
    /// Bit by care type: those that its roster has, fresh or not.
    roster: u32,
    /// Bit by care type: those of which the newest report leaves a ward of the roster out.
    gaps: u32,
    /// Sums by care type, rising; empty unless fresh.
    sums: Vec<(CareType, Sums)>,
}

impl Default for Contribution {
    fn default() -> Self {
        Contribution { state: Freshness::Unknown, roster: 0, gaps: 0, sums: Vec::new() }
    }
}

/// A set of care types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CareSet(u32);

impl CareSet {
    /// All of them.
    pub const ALL: CareSet = CareSet(u32::MAX);

    /// These; none at all means all.
    pub fn of(cares: &[CareType]) -> CareSet {
        if cares.is_empty() { CareSet::ALL } else { CareSet(cares.iter().fold(0, |bits, &c| bits | 1 << place(c))) }
    }

    /// Whether it has a care type.
    pub fn has(self, care: CareType) -> bool {
        self.0 >> place(care) & 1 == 1
    }
}

/// What is missing behind a sum: hospitals that are not fresh, or whose report leaves out a ward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// Hospitals that have such beds.
    pub hospitals: u32,
    /// How many of them are missing, in whole or in part.
    pub missing: u32,
    /// Which ones: a fingerprint of the set; 0 where none is.
    pub print: u64,
}

impl Contribution {
    /// Starts over, with the care types that the hospital's roster has.
    pub fn begin(&mut self, roster: impl IntoIterator<Item = CareType>) {
        self.state = Freshness::Unknown;
        self.roster = roster.into_iter().fold(0, |bits, care| bits | 1 << place(care));
        self.gaps = 0;
        self.sums.clear();
    }

    /// Notes that the report leaves one of its wards out.
    pub fn leave_out(&mut self, care: CareType) {
        self.gaps |= 1 << place(care);
    }

    /// Adds one of its wards.
    pub fn add(&mut self, care: CareType, ward: &WardCounts) {
        // Few care types a hospital: a look through them beats a table of all.
        let at = self.sums.iter().position(|&(c, _)| c >= care).unwrap_or(self.sums.len());
        if self.sums.get(at).is_none_or(|&(c, _)| c != care) {
            self.sums.insert(at, (care, Sums::default()));
        }
        self.sums[at].1.add(ward);
    }

    /// Whether a ward was added.
    pub fn vouches(&self) -> bool {
        !self.sums.is_empty()
    }

    /// Closes it: the sums count only while the hospital is fresh.
    pub fn close(&mut self, state: Freshness) {
        self.state = state;
        if state != Freshness::Fresh {
            self.sums.clear();
        }
    }

    /// Whether the hospital's newest report may be relied on.
    pub fn state(&self) -> Freshness {
        self.state
    }

    /// The hospital alone, as a scope's coverage.
    pub fn coverage(&self) -> Coverage {
        let is = |state| u32::from(self.state == state);
        Coverage {
            hospitals: 1,
            fresh: is(Freshness::Fresh),
            stale: is(Freshness::Stale),
            unknown: is(Freshness::Unknown),
        }
    }

    /// The hospital alone, as a scope.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.add(self, 1);
        tally
    }

    /// Its sums over a set of care types.
    pub fn sums(&self, cares: CareSet) -> Sums {
        let mut sums = Sums::default();
        self.sums.iter().filter(|(care, _)| cares.has(*care)).for_each(|(_, s)| sums.add_sums(s));
        sums
    }

    /// What is missing of it in a set of care types.
    pub fn missing(&self, cares: CareSet) -> Missing {
        let has = u32::from(self.roster & cares.0 != 0);
        let lacks = self.lacking() & cares.0 != 0;
        Missing { hospitals: has, missing: u32::from(lacks), print: u64::from(lacks) }
    }

    /// Bit by care type: those of which it says less than its roster has.
    fn lacking(&self) -> u32 {
        if self.state == Freshness::Fresh { self.gaps } else { self.roster }
    }
}

/// What stands in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    cares: [Sums; CARES],
    /// Hospitals whose roster has the care type.
    rosters: [u32; CARES],
    /// Those of them that say less of it than their roster has, and the sum of their prints.
    lacking: [(u32, u64); CARES],
    fresh: u32,
    stale: u32,
    unknown: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            cares: [Sums::default(); CARES],
            rosters: [0; CARES],
            lacking: [(0, 0); CARES],
            fresh: 0,
            stale: 0,
            unknown: 0,
        }
    }
}

impl Tally {
    fn state(&mut self, state: Freshness) -> &mut u32 {
        match state {
            Freshness::Fresh => &mut self.fresh,
            Freshness::Stale => &mut self.stale,
            Freshness::Unknown => &mut self.unknown,
        }
    }

    fn rosters(&mut self, bits: u32) -> impl Iterator<Item = &mut u32> {
        self.rosters.iter_mut().enumerate().filter(move |(i, _)| bits >> i & 1 == 1).map(|(_, n)| n)
    }

    fn lacking(&mut self, bits: u32) -> impl Iterator<Item = &mut (u32, u64)> {
        self.lacking.iter_mut().enumerate().filter(move |(i, _)| bits >> i & 1 == 1).map(|(_, n)| n)
    }

    /// Adds a contribution; `print` tells its hospital from others.
    fn add(&mut self, c: &Contribution, print: u64) {
        self.lacking(c.lacking()).for_each(|(n, sum)| (*n, *sum) = (*n + 1, sum.wrapping_add(print)));
        *self.state(c.state) += 1;
        self.rosters(c.roster).for_each(|n| *n += 1);
        for (care, sums) in &c.sums {
            self.cares[place(*care)].add_sums(sums);
        }
    }

    fn take_away(&mut self, c: &Contribution, print: u64) {
        self.lacking(c.lacking()).for_each(|(n, sum)| (*n, *sum) = (*n - 1, sum.wrapping_sub(print)));
        *self.state(c.state) -= 1;
        self.rosters(c.roster).for_each(|n| *n -= 1);
        for (care, sums) in &c.sums {
            self.cares[place(*care)].take_away(sums);
        }
    }

    /// All care types together.
    pub fn total(&self) -> Figures {
        let mut total = Sums::default();
        self.cares.iter().for_each(|c| total.add_sums(c));
        total.figures()
    }

    /// The sums over a set of care types.
    pub fn sums(&self, cares: CareSet) -> Sums {
        let mut sums = Sums::default();
        let wanted = self.cares.iter().enumerate().filter(|(i, c)| cares.0 >> i & 1 == 1 && c.wards() > 0);
        wanted.for_each(|(_, c)| sums.add_sums(c));
        sums
    }

    /// What is missing in a set of care types.
    pub fn missing(&self, cares: CareSet) -> Missing {
        let mut all = Missing::default();
        for i in (0..CARES).filter(|i| cares.0 >> i & 1 == 1) {
            let (missing, print) = self.lacking[i];
            all.hospitals += self.rosters[i];
            all.missing += missing;
            all.print = all.print.wrapping_add(print);
        }
        all
    }

    /// By care type: all that a roster of the scope has.
    pub fn care(&self) -> BTreeMap<CareType, Figures> {
        let known = CareType::ALL.iter().filter(|&&c| self.rosters[place(c)] > 0);
        known.map(|&c| (c, self.cares[place(c)].figures())).collect()
    }

    /// How many hospitals stand behind it.
    pub fn coverage(&self) -> Coverage {
        let (fresh, stale, unknown) = (self.fresh, self.stale, self.unknown);
        Coverage { hospitals: fresh + stale + unknown, fresh, stale, unknown }
    }
}

/// Where a hospital's contribution counts; a hospital that is not enrolled counts nowhere.
#[derive(Debug, Clone, Default)]
struct InForce {
    region: Option<usize>,
    print: u64,
    contribution: Contribution,
}

/// All tallies. Regions and hospitals go by the live picture's indices.
#[derive(Debug, Clone)]
pub struct Rollup {
    nation: Tally,
    regions: Vec<Tally>,
    hospitals: Vec<InForce>,
}

impl Rollup {
    /// A nation of so many regions, without hospitals.
    pub fn new(regions: usize) -> Rollup {
        Rollup { nation: Tally::default(), regions: vec![Tally::default(); regions], hospitals: Vec::new() }
    }

    /// Says how hospital is told from others in what is missing: the same after every restart, never 0.
    pub fn name(&mut self, hospital: usize, print: u64) {
        if self.hospitals.len() <= hospital {
            self.hospitals.resize(hospital + 1, InForce::default());
        }
        self.hospitals[hospital].print = print;
    }

    /// Puts a contribution in the old one's place. False when it is the same in the same region.
    pub fn put(&mut self, hospital: usize, region: Option<usize>, contribution: &Contribution) -> bool {
        if self.hospitals.len() <= hospital {
            self.hospitals.resize(hospital + 1, InForce::default());
        }
        let old = &mut self.hospitals[hospital];
        if old.region == region && old.contribution == *contribution {
            return false;
        }
        if let Some(region) = old.region {
            self.nation.take_away(&old.contribution, old.print);
            self.regions[region].take_away(&old.contribution, old.print);
        }
        if let Some(region) = region {
            self.nation.add(contribution, old.print);
            self.regions[region].add(contribution, old.print);
        }
        old.region = region;
        old.contribution.clone_from(contribution);
        true
    }

    /// The nation's tally.
    pub fn nation(&self) -> &Tally {
        &self.nation
    }

    /// A region's tally.
    pub fn region(&self, region: usize) -> &Tally {
        &self.regions[region]
    }

    /// A hospital's contribution.
    pub fn hospital(&self, hospital: usize) -> &Contribution {
        &self.hospitals[hospital].contribution
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vardpuls_shared::count::Counts;

    use super::*;

    type Wards = Vec<(CareType, u16, u16)>;

    fn contribution(state: Freshness, roster: &[CareType], wards: &Wards) -> Contribution {
        let mut c = Contribution::default();
        c.begin(roster.iter().copied());
        for &(care, staffed, occupied) in wards {
            c.add(care, &WardCounts::new(0, &Counts { staffed, occupied, ..Counts::default() }));
        }
        c.close(if c.vouches() { state } else { Freshness::Unknown });
        c
    }

    fn care() -> impl Strategy<Value = CareType> {
        (0..CARES).prop_map(|i| CareType::ALL[i])
    }

    prop_compose! {
        fn any_contribution()(state in prop_oneof![Just(Freshness::Fresh), Just(Freshness::Stale)],
            wards in proptest::collection::vec((care(), 0u16..9999, 0u16..9999), 0..6),
            more in proptest::collection::vec(care(), 0..3)) -> Contribution {
            let roster: Vec<_> = wards.iter().map(|w| w.0).chain(more).collect();
            contribution(state, &roster, &wards)
        }
    }

    proptest! {
        #[test]
        fn rolling_up_is_recomputation(steps in proptest::collection::vec((0usize..6, proptest::option::of(0usize..3), any_contribution()), 0..60)) {
            let mut rollup = Rollup::new(3);
            let mut last = BTreeMap::new();
            for (hospital, region, contribution) in steps {
                rollup.put(hospital, region, &contribution);
                last.insert(hospital, (region, contribution));
            }
            let (mut nation, mut regions) = (Tally::default(), vec![Tally::default(); 3]);
            for (region, contribution) in last.values() {
                if let Some(region) = *region {
                    nation.add(contribution, 0);
                    regions[region].add(contribution, 0);
                }
            }
            prop_assert_eq!(&rollup.nation, &nation);
            prop_assert_eq!(&rollup.regions, &regions);
        }

        #[test]
        fn a_tally_sums_the_figures_of_its_fresh_wards(wards in proptest::collection::vec((care(), 0u16..9999, 0u16..9999), 1..20)) {
            let roster: Vec<_> = wards.iter().map(|w| w.0).collect();
            let tally = contribution(Freshness::Fresh, &roster, &wards).tally();
            let figures: Vec<_> = wards.iter().map(|&(care, staffed, occupied)|
                (care, Figures::of(&Counts { staffed, occupied, ..Counts::default() }))).collect();
            let available = |of: &dyn Fn(CareType) -> bool| figures.iter().filter(|(c, _)| of(*c)).filter_map(|(_, f)| f.available).sum::<u32>();
            prop_assert_eq!(tally.total().available, Some(available(&|_| true)));
            prop_assert_eq!(tally.total().wards as usize, wards.len());
            for (care, f) in tally.care() {
                prop_assert_eq!(f.available, Some(available(&|c| c == care)));
            }
        }
    }

    #[test]
    fn every_care_type_has_its_place() {
        assert!(CareType::ALL.iter().all(|&c| place(c) < CARES && CARES <= 32));
    }

    #[test]
    fn unknown_is_null_and_never_zero() {
        let wards = vec![(CareType::Icu, 10, 4)];
        let mut rollup = Rollup::new(1);
        rollup.put(0, Some(0), &contribution(Freshness::Stale, &[CareType::Icu], &wards));
        assert_eq!(rollup.nation().total(), Figures::default());
        assert_eq!(rollup.nation().care(), BTreeMap::from([(CareType::Icu, Figures::default())]));
        assert_eq!(rollup.region(0).coverage(), Coverage { hospitals: 1, fresh: 0, stale: 1, unknown: 0 });
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let c = contribution(Freshness::Fresh, &[CareType::Icu], &vec![(CareType::Icu, 10, 4)]);
        let mut rollup = Rollup::new(2);
        assert!(rollup.put(0, Some(0), &c));
        assert!(!rollup.put(0, Some(0), &c));
        assert!(rollup.put(0, Some(1), &c));
        assert!(rollup.put(0, None, &c));
        assert_eq!(rollup.nation, Tally::default());
    }
}
