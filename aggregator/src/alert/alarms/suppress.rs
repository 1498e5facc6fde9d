//! What makes an alarm needless: a greater one that says it already, or a level that somebody declared.

use vardpuls_shared::alert::{Declared, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;
use vardpuls_shared::topic::Scope;

use super::Alarms;
use crate::alert::entry::{Act, PointKey};
use crate::alert::rule::Rule;

impl Alarms {
    /// Brings every alarm's suppression into step with what stands above it.
    pub(super) fn suppress(&mut self, now: Time) {
        let judge = |alarms: &Alarms| -> Vec<Act> {
            let changed = alarms.book.alarms().filter_map(|(id, alarm)| {
                let rule = alarms.rules.at(alarms.rules.place(&alarm.raised.point.rule)?);
                let by = alarms.suppressor(rule, &alarm.raised.point.target, alarm.raised.region.as_ref());
                match by {
                    _ if by == alarm.suppressed_by => None,
                    Some(suppressed_by) => Some(Act::Suppressed { alarm: id.clone(), suppressed_by }),
                    None => Some(Act::Released { alarm: id.clone() }),
                }
            });
            changed.collect()
        };
        for act in judge(self) {
            self.write(now, act);
        }
        self.suppressed_to = Some(self.book.number());
    }

    /// What makes an alarm of `rule` at `target` needless now.
    pub(super) fn suppressor(&self, rule: &Rule, target: &Target, region: Option<&RegionCode>) -> Option<String> {
        if let Some(level) = rule.quiet_while_declared {
            let above = above(target, region).into_iter().filter_map(|target| match target {
                Target::Scope(scope) => self.book.declared().get(&scope).map(|declaration| (scope, declaration.level)),
                Target::Ward(..) => None,
            });
            let same_kind =
                |a: Declared, b: Declared| matches!(a, Declared::Stage(_)) == matches!(b, Declared::Stage(_));
            for (scope, declared) in above {
                if same_kind(declared, level) && declared >= level {
                    return Some(format!("{} declared for {scope}", declared.title()));
                }
            }
        }
        rule.inhibited_by.iter().find_map(|by| {
            above(target, region).into_iter().find_map(|target| {
                let point = PointKey { rule: by.clone(), target };
                let (id, alarm) = self.book.at_point(&point)?;
                // An alarm that nobody sees says nothing for others.
                let seen = !self.book.shelved().contains_key(&point) && !self.book.out_of_service().contains(&point);
                (alarm.cleared_at.is_none() && seen).then(|| id.to_string())
            })
        })
    }
}

/// What lies above a target, itself first.
fn above(target: &Target, region: Option<&RegionCode>) -> Vec<Target> {
    let mut all = vec![target.clone()];
    if let Target::Ward(hospital, _) = target {
        all.push(Target::Scope(Scope::Hospital(hospital.clone())));
    }
    let region = region.map(|code| Target::Scope(Scope::Region(code.clone())));
    all.extend(region.into_iter().filter(|above| above != target));
    if *target != Target::Scope(Scope::Nation) {
        all.push(Target::Scope(Scope::Nation));
    }
    all
}
