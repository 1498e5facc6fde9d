//! Where every point lives, and how it is found: by small indices, as the live picture has them.

use serde::{Deserialize, Serialize};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::{HospitalId, WardId};

use crate::alert::measure::{Measure, Reach};
use crate::alert::past::Past;
use crate::alert::point::Point;
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

/// One point.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its rule's place in the set.
    rule: u32,
    pub(super) point: Point,
    /// The earliest time at which the heap has it.
    pub(super) queued: Option<Time>,
    /// What it learns, where its rule asks for it.
    pub(super) past: Option<Past>,
}

/// What a point would miss after a restart.
#[derive(Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    point: Point,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<Past>,
}

impl Slot {
    fn new(rule: usize, rules: &Rules) -> Slot {
        Slot { rule: small(rule), point: Point::default(), queued: None, past: Past::for_rule(rules.at(rule)) }
    }

    /// What it would miss after a restart; none where there is nothing.
    pub(super) fn remembers(&self) -> Option<Vec<u8>> {
        if self.point.is_idle() && self.past.is_none() {
            return None;
        }
        let remembered = Remembered { point: self.point, past: self.past.clone() };
        Some(serde_json::to_vec(&remembered).expect("numbers and times have a JSON form"))
    }

    /// Takes back what it would have missed; what cannot be read was written by another version.
    pub(super) fn recall(&mut self, mark: &[u8]) {
        let Ok(remembered) = serde_json::from_slice::<Remembered>(mark) else { return };
        self.point = remembered.point.standing(self.point.active);
        if let (Some(past), Some(remembered)) = (&mut self.past, remembered.past) {
            *past = remembered;
        }
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
}

/// A ward's points.
#[derive(Debug)]
pub(super) struct WardSlots {
    pub(super) id: WardId,
    care: CareType,
    /// The counts that were judged last.
    pub(super) seen: Seen,
    pub(super) slots: Vec<Slot>,
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

/// A ward that is gone, and the rules whose alarms stood there.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) ward: WardId,
    pub(super) standing: Vec<usize>,
}

/// Every point.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) nation: Vec<Slot>,
    pub(super) regions: Vec<Vec<Slot>>,
    pub(super) hospitals: Vec<HospitalSlots>,
    hospital_rules: Vec<usize>,
    ward_rules: Vec<(usize, CareSet)>,
}

impl Slots {
    /// Points for all that the picture has, without any state.
    pub(super) fn new(rules: &Rules, live: &Live) -> Slots {
        let of = |reach: Reach| -> Vec<usize> {
            rules.iter().enumerate().filter(|(_, rule)| rule.scope == reach).map(|(place, _)| place).collect()
        };
        let slots = |reach| of(reach).into_iter().map(|rule| Slot::new(rule, rules)).collect::<Vec<_>>();
        let mut all = Slots {
            nation: slots(Reach::Nation),
            regions: live.region_codes().iter().map(|_| slots(Reach::Region)).collect(),
            hospitals: Vec::new(),
            hospital_rules: of(Reach::Hospital),
            ward_rules: of(Reach::Ward).into_iter().map(|n| (n, CareSet::of(&rules.at(n).care))).collect(),
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
        let slots = &mut self.hospitals[hospital];
        if slots.id.is_none() {
            slots.id = Some(sight.id().clone());
            slots.region = Some(sight.region);
            slots.own = self.hospital_rules.iter().map(|&rule| Slot::new(rule, rules)).collect();
        }
        let version = sight.roster_version();
        if self.ward_rules.is_empty() || version.is_none() || slots.roster == version {
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
                slots: self
                    .ward_rules
                    .iter()
                    .filter(|(_, c)| c.has(ward.care))
                    .map(|&(n, _)| Slot::new(n, rules))
                    .collect(),
            };
            let mut ward = kept.unwrap_or_else(fresh);
            ward.seen = Seen::Never;
            // What the heap has of it is where it stood before.
            ward.slots.iter_mut().for_each(|slot| slot.queued = None);
            slots.wards.push(ward);
        }
        let standing = |ward: &WardSlots| {
            ward.slots.iter().filter(|slot| slot.point.active).map(|slot| slot.rule as usize).collect::<Vec<_>>()
        };
        old.into_iter().map(|ward| Gone { standing: standing(&ward), ward: ward.id }).collect()
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

    /// The place of a point's rule.
    pub(super) fn rule(&self, at: At) -> usize {
        self.get(at).rule as usize
    }

    /// Whether any rule is about wards.
    pub(super) fn has_ward_rules(&self) -> bool {
        !self.ward_rules.is_empty()
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
    pub(super) fn learning(&self) -> Vec<At> {
        self.all().into_iter().filter(|&at| self.get(at).past.is_some()).collect()
    }

    /// The points that count others' alarms.
    pub(super) fn counting(&self, rules: &Rules) -> Vec<At> {
        let counts = |&at: &At| rules.at(self.rule(at)).measure == Measure::Children;
        self.all().into_iter().filter(counts).collect()
    }

    /// How many of a hospital's wards have an alarm of a rule standing.
    pub(super) fn standing_in(&self, hospital: usize, rule: usize) -> u32 {
        let wards = self.hospitals[hospital].wards.iter();
        small(wards.flat_map(|ward| &ward.slots).filter(|slot| slot.rule as usize == rule && slot.point.active).count())
    }

    /// A rule's point of the nation, of this region, or of this hospital.
    pub(super) fn point_of(
        &self,
        rule: usize,
        reach: Reach,
        region: Option<usize>,
        hospital: Option<usize>,
    ) -> Option<At> {
        let place = |slots: &[Slot]| slots.iter().position(|slot| slot.rule as usize == rule);
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
        let n = wards[w].slots.iter().position(|slot| slot.rule as usize == rule)?;
        Some(At::ward(hospital, w, n))
    }
}
