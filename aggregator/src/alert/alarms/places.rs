//! From a point's indices to its names, and back.

use vardpuls_shared::alert::Target;
use vardpuls_shared::topic::Scope;

use super::Alarms;
use super::slots::At;
use crate::alert::entry::PointKey;
use crate::alert::measure::Reach;
use crate::live::Live;

/// Who and where, for texts and for what lies above.
pub(super) struct Place {
    pub(super) target: Target,
    pub(super) name: String,
    pub(super) region: Option<usize>,
}

impl Alarms {
    pub(super) fn place(at: At, live: &Live) -> Option<Place> {
        Some(match at {
            At::Nation(_) => {
                Place { target: Target::Scope(Scope::Nation), name: live.nation_name().to_owned(), region: None }
            }
            At::Region(r, _) => Place {
                target: Target::Scope(Scope::Region(live.region_codes()[r as usize].clone())),
                name: live.region_name(r as usize).to_owned(),
                region: Some(r as usize),
            },
            At::Hospital(h, _) => {
                let sight = live.hospital_at(h as usize)?;
                let target = Target::Scope(Scope::Hospital(sight.id().clone()));
                Place { target, name: sight.name().to_owned(), region: Some(sight.region) }
            }
            At::Ward(h, w, _) => {
                let sight = live.hospital_at(h as usize)?;
                let ward = sight.wards().nth(w as usize)?;
                let target = Target::Ward(sight.id().clone(), ward.id.clone());
                Place { target, name: format!("{}, {}", ward.name, sight.name()), region: Some(sight.region) }
            }
        })
    }

    pub(super) fn key(&self, at: At, live: &Live) -> Option<PointKey> {
        let rule = self.rules.at(self.slots.rule(at)).name.clone();
        let target = match at {
            At::Ward(h, w, _) => {
                let slots = &self.slots.hospitals[h as usize];
                Target::Ward(slots.id.clone()?, slots.wards[w as usize].id.clone())
            }
            _ => Self::place(at, live)?.target,
        };
        Some(PointKey { rule, target })
    }

    /// Where a rule's point at a target is; none where the rule does not apply there.
    pub(super) fn find(&self, key: &PointKey, live: &Live) -> Option<At> {
        let rule = self.rules.place(&key.rule)?;
        let (region, hospital, ward) = match &key.target {
            Target::Scope(Scope::Nation) => (None, None, None),
            Target::Scope(Scope::Region(code)) => {
                (Some(live.region_codes().iter().position(|c| c == code)?), None, None)
            }
            Target::Scope(Scope::Hospital(id)) => (None, Some(live.hospital_index(id)?), None),
            Target::Ward(id, ward) => (None, Some(live.hospital_index(id)?), Some(ward)),
        };
        let reach = match &key.target {
            Target::Scope(Scope::Nation) => Reach::Nation,
            Target::Scope(Scope::Region(_)) => Reach::Region,
            Target::Scope(Scope::Hospital(_)) => Reach::Hospital,
            Target::Ward(..) => Reach::Ward,
        };
        if self.rules.at(rule).scope != reach {
            return None;
        }
        match ward {
            Some(ward) => self.slots.ward_point(rule, hospital?, ward),
            None => self.slots.point_of(rule, reach, region, hospital),
        }
    }
}
