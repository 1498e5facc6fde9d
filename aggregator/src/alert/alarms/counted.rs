//! How many alarms of a rule stand below a hospital, a region and the nation: what `children` rules measure.

use vardpuls_shared::alert::Target;
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::Alarms;
use super::slots::At;
use crate::alert::entry::Act;
use crate::alert::rules::Rules;
use crate::live::Live;

/// By rule: how many of its alarms stand in each region, and in the nation. Those of a hospital's wards are
/// counted beside its points.
#[derive(Debug)]
pub(super) struct Counted(Vec<(Vec<u32>, u32)>);

impl Counted {
    pub(super) fn new(rules: &Rules, live: &Live) -> Counted {
        Counted(vec![(vec![0; live.region_codes().len()], 0); rules.len()])
    }

    /// Counts an alarm that stands, or no longer does.
    pub(super) fn count(&mut self, rule: usize, region: Option<usize>, stands: bool) {
        let step = |n: &mut u32| *n = if stands { *n + 1 } else { n.saturating_sub(1) };
        let (regions, nation) = &mut self.0[rule];
        if let Some(region) = region {
            step(&mut regions[region]);
        }
        step(nation);
    }

    pub(super) fn in_nation(&self, rule: usize) -> u32 {
        self.0[rule].1
    }

    pub(super) fn in_region(&self, rule: usize, region: usize) -> u32 {
        self.0[rule].0[region]
    }
}

impl Alarms {
    /// Counts an alarm that stands, or no longer does, in what lies above it.
    pub(super) fn count(&mut self, at: At, live: &Live, stands: bool) {
        let rule = self.slots.rule(at);
        let region = match at {
            At::Nation(_) => return,
            At::Region(..) => None,
            At::Hospital(h, _) | At::Ward(h, ..) => live.hospital_at(h as usize).map(|sight| sight.region),
        };
        if let At::Ward(h, ..) = at {
            self.slots.hospitals[h as usize].count_ward(rule, stands);
        }
        self.counted.count(rule, region, stands);
    }

    /// The points that count alarms of the rule at `at`, in what lies above it.
    pub(super) fn counted_at(&self, at: At, live: &Live, into: &mut Vec<At>) {
        let hospital = match at {
            At::Hospital(h, _) | At::Ward(h, ..) => Some(h as usize),
            At::Nation(_) | At::Region(..) => None,
        };
        let region = hospital.and_then(|h| live.hospital_at(h)).map(|sight| sight.region);
        let counting = self.rules.counting(self.slots.rule(at)).iter();
        into.extend(
            counting.filter_map(|&rule| self.slots.point_of(rule, self.rules.at(rule).scope, region, hospital)),
        );
    }

    /// Looks again at every point that counts others' alarms.
    pub(super) fn look_at_counting(&mut self, live: &Live, now: Time) {
        self.look_at_all(self.slots.counting(&self.rules).into_iter(), live, now);
    }

    /// Counts a hospital's alarms where it lies now, and lets them say so; the picture has both regions looked at.
    pub(super) fn move_to_region(&mut self, hospital: usize, region: usize, live: &Live, now: Time) {
        let Some(slots) = self.slots.hospitals.get_mut(hospital) else { return };
        if slots.id.is_none() || slots.region == Some(region) {
            return;
        }
        let before = slots.region.replace(region);
        for at in self.slots.of_hospital(hospital) {
            if self.slots.get(at).point.active {
                self.counted.count(self.slots.rule(at), before, false);
                self.counted.count(self.slots.rule(at), Some(region), true);
            }
        }
        self.follow_hospitals(live, now);
    }

    /// Lets alarms whose hospital lies in another region than they say say so.
    pub(super) fn follow_hospitals(&mut self, live: &Live, now: Time) {
        let moved = self.book.alarms().filter_map(|(id, alarm)| {
            let (Target::Scope(Scope::Hospital(hospital)) | Target::Ward(hospital, _)) = &alarm.raised.point.target
            else {
                return None;
            };
            let region = &live.region_codes()[live.hospital_at(live.hospital_index(hospital)?)?.region];
            (alarm.raised.region.as_ref() != Some(region))
                .then(|| Act::Moved { alarm: id.clone(), region: region.clone() })
        });
        for act in moved.collect::<Vec<_>>() {
            self.write(now, act);
        }
    }
}
