//! Where every point lives, and how it is found: by small indices, as the live picture has them.

use std::cmp::Reverse;

use vardpuls_shared::care::CareType;
use vardpuls_shared::hospital::{HospitalId, WardId};

use super::slot::{Awake, Slot};
use crate::alert::measure::{Measure, Reach};
use crate::alert::past::Past;
use crate::alert::rules::Rules;
use crate::live::Live;
use crate::live::sight::HospitalSight;
use crate::rollup::CareSet;
use crate::ward::WardCounts;

/// Where a point is; the greater targets come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// Of the nation: the how-manieth.
    Nation(u32),
    /// Of a region.
    Region(u32, u32),
    /// Of a hospital.
    Hospital(u32, u32),
    /// Of a ward of a hospital.
    Ward(u32, u32, u32),
}

impl At {
    /// What kind of target it is of, the greater ones first.
    pub(super) fn reach(self) -> Reverse<Reach> {
        Reverse(match self {
            At::Nation(_) => Reach::Nation,
            At::Region(..) => Reach::Region,
            At::Hospital(..) => Reach::Hospital,
            At::Ward(..) => Reach::Ward,
        })
    }
}

fn by_number(care: CareType) -> usize {
    usize::from(care.number())
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("there are fewer targets and rules than 2^32")
}

impl At {
    pub(super) fn nation(n: usize) -> At {
        At::Nation(small(n))
    }

    pub(super) fn region(region: usize, n: usize) -> At {
        At::Region(small(region), small(n))
    }

    pub(super) fn hospital(hospital: usize, n: usize) -> At {
        At::Hospital(small(hospital), small(n))
    }

    pub(super) fn ward(hospital: usize, ward: usize, n: usize) -> At {
        At::Ward(small(hospital), small(ward), small(n))
    }
}

/// A hospital's points.
#[derive(Debug, Default)]
pub(super) struct HospitalSlots {
    /// Which hospital; none before it was first seen.
    pub(super) id: Option<HospitalId>,
    pub(super) own: Vec<Slot>,
    pub(super) wards: Vec<WardSlots>,
    /// The region in which its alarms are counted.
    pub(super) region: Option<usize>,
    roster: Option<u32>,
    /// By rule, where there are any: how many alarms of its wards stand.
    ward_alarms: Vec<(u32, u32)>,
    own_awake: Awake,
}

impl HospitalSlots {
    /// Counts a ward's alarm that stands, or no longer does.
    pub(super) fn count_ward(&mut self, rule: usize, stands: bool) {
        let rule = small(rule);
        match (self.ward_alarms.iter().position(|(of, _)| *of == rule), stands) {
            (Some(at), true) => self.ward_alarms[at].1 += 1,
            (None, true) => self.ward_alarms.push((rule, 1)),
            (Some(at), false) if self.ward_alarms[at].1 == 1 => drop(self.ward_alarms.swap_remove(at)),
            (Some(at), false) => self.ward_alarms[at].1 -= 1,
            (None, false) => {}
        }
    }

    /// How many of its wards have an alarm of a rule standing.
    pub(super) fn wards_with(&self, rule: usize) -> u32 {
        self.ward_alarms.iter().find(|(of, _)| *of as usize == rule).map_or(0, |(_, n)| *n)
    }
}

/// A ward's points.
#[derive(Debug)]
pub(super) struct WardSlots {
    pub(super) id: WardId,
    care: CareType,
    /// The counts that were judged last.
    pub(super) seen: Seen,
    pub(super) slots: Vec<Slot>,
    awake: Awake,
}

/// What was judged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing yet.
    Never,
    /// A ward of which nothing fresh is known.
    Unknown,
    /// These counts.
    Counts(WardCounts),
}

impl Seen {
    pub(super) fn of(counts: Option<&WardCounts>) -> Seen {
        counts.map_or(Seen::Unknown, |counts| Seen::Counts(*counts))
    }
}

/// A ward that is gone, the rules whose alarms stood there, and those that remembered something.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) ward: WardId,
    pub(super) standing: Vec<usize>,
    pub(super) marked: Vec<usize>,
}

/// Every point.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) nation: Vec<Slot>,
    pub(super) regions: Vec<Vec<Slot>>,
    pub(super) hospitals: Vec<HospitalSlots>,
    nation_rules: Vec<usize>,
    region_rules: Vec<usize>,
    hospital_rules: Vec<usize>,
    /// By care type's number: the rules of its wards.
    ward_rules: Vec<Vec<usize>>,
}

impl Slots {
    /// Points for all that the picture has, without any state.
    pub(super) fn new(rules: &Rules, live: &Live) -> Slots {
        // Those of the same care types side by side: their sums are taken once.
        let of = |reach: Reach| -> Vec<usize> {
            let of_reach = rules.iter().enumerate().filter(|(_, rule)| rule.scope == reach);
            let mut places: Vec<usize> = of_reach.map(|(place, _)| place).collect();
            places.sort_by_key(|&place| CareSet::of(&rules.at(place).care));
            places
        };
        let slots = |of: &[usize]| of.iter().map(|&rule| Slot::new(rule, rules)).collect::<Vec<_>>();
        let (nation_rules, region_rules) = (of(Reach::Nation), of(Reach::Region));
        let has = |rule: usize, care| CareSet::of(&rules.at(rule).care).has(care);
        let mut ward_rules = vec![Vec::new(); CareType::ALL.len()];
        for &care in CareType::ALL {
            ward_rules[by_number(care)] = of(Reach::Ward).into_iter().filter(|&rule| has(rule, care)).collect();
        }
        let mut all = Slots {
            nation: slots(&nation_rules),
            regions: live.region_codes().iter().map(|_| slots(&region_rules)).collect(),
            hospitals: Vec::new(),
            nation_rules,
            region_rules,
            hospital_rules: of(Reach::Hospital),
            ward_rules,
        };
        for hospital in 0..live.hospitals_met() {
            if let Some(sight) = live.hospital_at(hospital) {
                all.keep_step(hospital, &sight, rules);
            }
        }
        all
    }

    /// Brings a hospital's points into step with its roster. Returns the wards that are gone.
    pub(super) fn keep_step(&mut self, hospital: usize, sight: &HospitalSight<'_>, rules: &Rules) -> Vec<Gone> {
        if self.hospitals.len() <= hospital {
            self.hospitals.resize_with(hospital + 1, HospitalSlots::default);
        }
        let has_ward_rules = self.has_ward_rules();
        let slots = &mut self.hospitals[hospital];
        if slots.id.is_none() {
            slots.id = Some(sight.id().clone());
            slots.region = Some(sight.region);
            slots.own = self.hospital_rules.iter().map(|&rule| Slot::new(rule, rules)).collect();
        }
        let version = sight.roster_version();
        if !has_ward_rules || version.is_none() || slots.roster == version {
            return Vec::new();
        }
        slots.roster = version;
        let mut old = std::mem::take(&mut slots.wards);
        for ward in sight.wards() {
            let kept = old.iter().position(|w| w.id == *ward.id && w.care == ward.care).map(|at| old.swap_remove(at));
            let fresh = || WardSlots {
                id: ward.id.clone(),
                care: ward.care,
                seen: Seen::Never,
                awake: Awake::default(),
                slots: self.ward_rules[by_number(ward.care)].iter().map(|&rule| Slot::new(rule, rules)).collect(),
            };
            let mut ward = kept.unwrap_or_else(fresh);
            ward.seen = Seen::Never;
            // What the heap has of it is where it stood before.
            ward.slots.iter_mut().for_each(|slot| slot.queued = None);
            slots.wards.push(ward);
        }
        let rules_of = |ward: &WardSlots, which: fn(&Slot) -> bool| {
            ward.slots.iter().filter(|slot| which(slot)).map(Slot::rule).collect::<Vec<_>>()
        };
        let gone = old.into_iter().map(|ward| Gone {
            standing: rules_of(&ward, |slot| slot.point.active),
            marked: rules_of(&ward, Slot::has_mark),
            ward: ward.id,
        });
        gone.collect()
    }

    /// Forgets a hospital that is no longer enrolled.
    pub(super) fn clear_hospital(&mut self, hospital: usize) {
        self.hospitals[hospital] = HospitalSlots::default();
    }

    fn try_get(&self, at: At) -> Option<&Slot> {
        match at {
            At::Nation(n) => self.nation.get(n as usize),
            At::Region(r, n) => self.regions.get(r as usize)?.get(n as usize),
            At::Hospital(h, n) => self.hospitals.get(h as usize)?.own.get(n as usize),
            At::Ward(h, w, n) => self.hospitals.get(h as usize)?.wards.get(w as usize)?.slots.get(n as usize),
        }
    }

    /// Whether a place that was noted earlier still is one.
    pub(super) fn exists(&self, at: At) -> bool {
        self.try_get(at).is_some()
    }

    pub(super) fn get(&self, at: At) -> &Slot {
        self.try_get(at).expect("places are noted while they are, and asked for with `exists` later")
    }

    pub(super) fn get_mut(&mut self, at: At) -> &mut Slot {
        match at {
            At::Nation(n) => &mut self.nation[n as usize],
            At::Region(r, n) => &mut self.regions[r as usize][n as usize],
            At::Hospital(h, n) => &mut self.hospitals[h as usize].own[n as usize],
            At::Ward(h, w, n) => &mut self.hospitals[h as usize].wards[w as usize].slots[n as usize],
        }
    }

    /// The place of a point's rule; the point itself is not read.
    pub(super) fn rule(&self, at: At) -> usize {
        match at {
            At::Nation(n) => self.nation_rules[n as usize],
            At::Region(_, n) => self.region_rules[n as usize],
            At::Hospital(_, n) => self.hospital_rules[n as usize],
            At::Ward(h, w, n) => {
                let care = self.hospitals[h as usize].wards[w as usize].care;
                self.ward_rules[by_number(care)][n as usize]
            }
        }
    }

    /// Whether nothing is going on at a point: only a value that raises can change it.
    pub(super) fn rests(&self, at: At) -> bool {
        match at {
            At::Nation(_) | At::Region(..) => false,
            At::Hospital(h, n) => !self.hospitals[h as usize].own_awake.has(n),
            At::Ward(h, w, n) => !self.hospitals[h as usize].wards[w as usize].awake.has(n),
        }
    }

    /// Notes whether anything is going on at a point that was just judged.
    pub(super) fn note_rest(&mut self, at: At) {
        let awake = self.get(at).is_awake();
        match at {
            At::Nation(_) | At::Region(..) => {}
            At::Hospital(h, n) => self.hospitals[h as usize].own_awake.set(n, awake),
            At::Ward(h, w, n) => self.hospitals[h as usize].wards[w as usize].awake.set(n, awake),
        }
    }

    /// Whether any rule is about wards.
    pub(super) fn has_ward_rules(&self) -> bool {
        self.ward_rules.iter().any(|rules| !rules.is_empty())
    }

    /// All points of a hospital and its wards.
    pub(super) fn of_hospital(&self, hospital: usize) -> Vec<At> {
        let slots = &self.hospitals[hospital];
        let own = (0..slots.own.len()).map(|n| At::hospital(hospital, n));
        let wards = slots.wards.iter().enumerate();
        let wards = wards.flat_map(|(w, ward)| (0..ward.slots.len()).map(move |n| At::ward(hospital, w, n)));
        own.chain(wards).collect()
    }

    /// All points.
    pub(super) fn all(&self) -> Vec<At> {
        let nation = (0..self.nation.len()).map(At::nation);
        let regions = self.regions.iter().enumerate();
        let regions = regions.flat_map(|(r, slots)| (0..slots.len()).map(move |n| At::region(r, n)));
        let hospitals = (0..self.hospitals.len()).flat_map(|h| self.of_hospital(h));
        nation.chain(regions).chain(hospitals).collect()
    }

    /// The points that learn.
    pub(super) fn learning(&self, rules: &Rules) -> Vec<At> {
        let learns = |slot: &Slot| slot.past.is_some();
        let ward_rules_learn = self.ward_rules.iter().flatten().any(|&rule| Past::for_rule(rules.at(rule)).is_some());
        self.those_of(learns, ward_rules_learn)
    }

    /// The points that some slots are of; wards are many, and looked through only where there is reason to.
    fn those_of(&self, which: impl Fn(&Slot) -> bool, in_wards: bool) -> Vec<At> {
        let mut all: Vec<At> = (0..self.nation.len()).map(At::nation).collect();
        for (r, slots) in self.regions.iter().enumerate() {
            all.extend((0..slots.len()).map(|n| At::region(r, n)));
        }
        for h in 0..self.hospitals.len() {
            if in_wards {
                all.extend(self.of_hospital(h));
            } else {
                all.extend((0..self.hospitals[h].own.len()).map(|n| At::hospital(h, n)));
            }
        }
        all.retain(|&at| which(self.get(at)));
        all
    }

    /// The points that count others' alarms.
    pub(super) fn counting(&self, rules: &Rules) -> Vec<At> {
        // A ward has nothing below it.
        self.those_of(|slot| rules.at(slot.rule()).measure == Measure::Children, false)
    }

    /// A rule's point of the nation, of this region, or of this hospital.
    pub(super) fn point_of(
        &self,
        rule: usize,
        reach: Reach,
        region: Option<usize>,
        hospital: Option<usize>,
    ) -> Option<At> {
        let place = |slots: &[Slot]| slots.iter().position(|slot| slot.rule() == rule);
        match reach {
            Reach::Nation => place(&self.nation).map(At::nation),
            Reach::Region => place(self.regions.get(region?)?).map(|n| At::region(region.unwrap_or(0), n)),
            Reach::Hospital => {
                place(&self.hospitals.get(hospital?)?.own).map(|n| At::hospital(hospital.unwrap_or(0), n))
            }
            Reach::Ward => None,
        }
    }

    /// A rule's point of a ward.
    pub(super) fn ward_point(&self, rule: usize, hospital: usize, ward: &WardId) -> Option<At> {
        let wards = &self.hospitals.get(hospital)?.wards;
        let w = wards.iter().position(|w| w.id == *ward)?;
        let n = wards[w].slots.iter().position(|slot| slot.rule() == rule)?;
        Some(At::ward(hospital, w, n))
    }
}
