//! What leaves the picture takes its alarms and its marks along: hospitals, wards, drills, rules.

use vardpuls_shared::alert::{AlertId, State, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::Alarms;
use super::slots::{At, Gone};
use crate::alert::entry::{Act, Ending, PointKey};
use crate::live::Live;

impl Alarms {
    pub(super) fn withdraw_hospital(&mut self, hospital: usize, live: &Live, now: Time) {
        let Some(slots) = self.slots.hospitals.get(hospital) else { return };
        let Some(id) = slots.id.clone() else { return };
        let region = slots.region; // the picture no longer has it
        for at in self.slots.of_hospital(hospital) {
            let target = match at {
                At::Ward(_, w, _) => {
                    Target::Ward(id.clone(), self.slots.hospitals[hospital].wards[w as usize].id.clone())
                }
                _ => Target::Scope(Scope::Hospital(id.clone())),
            };
            let rule = self.rules.at(self.slots.rule(at)).name.clone();
            self.made.push((PointKey { rule, target }.to_string(), None));
            if self.slots.get(at).point.active {
                self.counted.count(self.slots.rule(at), region, false);
            }
        }
        let of_it = |target: &Target| match target {
            Target::Scope(Scope::Hospital(of)) | Target::Ward(of, _) => *of == id,
            Target::Scope(_) => false,
        };
        self.withdraw_where(of_it, now);
        self.slots.clear_hospital(hospital);
        self.made.extend(self.incidents.forget(hospital, &id));
        self.look_at_counting(live, now);
    }

    fn withdraw_where(&mut self, which: impl Fn(&Target) -> bool, now: Time) {
        let gone = self.book.alarms().filter(|(_, alarm)| which(&alarm.raised.point.target));
        let gone: Vec<_> = gone.map(|(id, alarm)| (id.clone(), alarm.state())).collect();
        for (alarm, state) in gone {
            self.withdraw(&alarm, state, now);
        }
    }

    /// Wards that their hospital's roster no longer has.
    pub(super) fn withdraw_wards(&mut self, hospital: usize, gone: &[Gone], live: &Live, now: Time) {
        let slots = &self.slots.hospitals[hospital];
        let (Some(id), region) = (slots.id.clone(), slots.region) else { return };
        for ward in gone {
            let target = Target::Ward(id.clone(), ward.ward.clone());
            for &rule in &ward.standing {
                self.counted.count(rule, region, false);
                self.slots.hospitals[hospital].count_ward(rule, false);
            }
            for &rule in &ward.marked {
                let point = PointKey { rule: self.rules.at(rule).name.clone(), target: target.clone() };
                self.made.push((point.to_string(), None));
            }
            self.withdraw_where(|of| *of == target, now);
        }
        if gone.iter().any(|ward| !ward.standing.is_empty()) {
            self.look_at_counting(live, now);
        }
    }

    pub(super) fn withdraw(&mut self, alarm: &AlertId, state: State, now: Time) {
        if state.is_active() {
            self.write(now, Act::Cleared { alarm: alarm.clone(), value: None, ending: Ending::Withdrawn });
        }
        // Nothing is left to be acknowledged: a latched one goes as well.
        if self.book.alarm(alarm).is_some() {
            self.write(now, Act::Acknowledged { alarm: alarm.clone() });
        }
    }
}
