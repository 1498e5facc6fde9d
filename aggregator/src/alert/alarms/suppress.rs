//! What makes an alarm needless: a greater one that says it already, or a level that somebody declared.
//!
//! A step costs the alarms that it may silence or release, not all that stand: the open alarms are listed
//! under what can silence them, and what changes there puts them out of step until the next
//! [`Alarms::suppress`].

use std::collections::{BTreeSet, HashMap};

use vardpuls_shared::alert::{AlertId, Declared, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::RegionCode;
use vardpuls_shared::topic::Scope;

use super::Alarms;
use crate::alert::book::Book;
use crate::alert::entry::{Act, PointKey};
use crate::alert::rules::Rules;

/// Which alarms a change may silence or release.
#[derive(Debug, Default)]
pub(super) struct Silencing {
    /// The open alarms, by a rule that silences them and a target where its alarm does.
    below: HashMap<(usize, Target), BTreeSet<AlertId>>,
    out_of_step: BTreeSet<AlertId>,
    /// After a start, under other rules, or since a level was declared.
    all_out_of_step: bool,
}

/// An open alarm, as far as it is listed.
#[derive(Debug)]
pub(super) struct Listed {
    alarm: AlertId,
    point: PointKey,
    region: Option<RegionCode>,
}

impl Listed {
    pub(super) fn of(book: &Book, alarm: &AlertId) -> Option<Listed> {
        let raised = &book.alarm(alarm)?.raised;
        Some(Listed { alarm: alarm.clone(), point: raised.point.clone(), region: raised.region.clone() })
    }

    /// What can silence it.
    fn silencers<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = (usize, Target)> + 'a {
        let by = rules.place(&self.point.rule).map_or(&[][..], |place| rules.silencers(place));
        let above = if by.is_empty() { Vec::new() } else { above(&self.point.target, self.region.as_ref()) };
        by.iter().flat_map(move |&by| above.clone().into_iter().map(move |target| (by, target)))
    }
}

impl Silencing {
    /// All alarms of the book, any of which may be out of step.
    pub(super) fn new(rules: &Rules, book: &Book) -> Silencing {
        let mut silencing = Silencing { all_out_of_step: true, ..Silencing::default() };
        for (alarm, _) in book.alarms() {
            silencing.list(&Listed::of(book, alarm).expect("the book's own"), rules);
        }
        silencing
    }

    fn list(&mut self, listed: &Listed, rules: &Rules) {
        for silencer in listed.silencers(rules) {
            self.below.entry(silencer).or_default().insert(listed.alarm.clone());
        }
    }

    fn strike(&mut self, listed: &Listed, rules: &Rules) {
        for silencer in listed.silencers(rules) {
            if let Some(alarms) = self.below.get_mut(&silencer) {
                alarms.remove(&listed.alarm);
                if alarms.is_empty() {
                    self.below.remove(&silencer);
                }
            }
        }
    }

    /// Takes in what an act has changed. `before` and `after`: the alarm that it names, while it was and is open.
    pub(super) fn follow(&mut self, act: &Act, before: Option<Listed>, after: Option<Listed>, rules: &Rules) {
        let point = match act {
            Act::Raised(raised) => Some(&raised.point),
            Act::Returned { .. } | Act::Cleared { .. } => before.as_ref().map(|listed| &listed.point),
            Act::Shelved { point, .. }
            | Act::Unshelved { point }
            | Act::RemovedFromService { point }
            | Act::ReturnedToService { point } => Some(point),
            _ => None,
        };
        self.all_out_of_step |= matches!(act, Act::Declared { .. });
        if let Some(point) = point
            && let Some(place) = rules.place(&point.rule).filter(|&place| rules.may_silence(place))
            && let Some(below) = self.below.get(&(place, point.target.clone()))
        {
            self.out_of_step.extend(below.iter().cloned());
        }
        let same = |a: &Listed, b: &Listed| a.region == b.region;
        match (before, after) {
            (Some(before), Some(after)) if same(&before, &after) => {}
            (before, after) => {
                if let Some(listed) = &before {
                    self.strike(listed, rules);
                }
                if let Some(listed) = &after {
                    self.list(listed, rules);
                }
                // One that has moved lies below others now.
                self.out_of_step.extend(before.and(after).map(|listed| listed.alarm));
            }
        }
    }

    /// The alarms to look at.
    fn take_out_of_step(&mut self, book: &Book) -> BTreeSet<AlertId> {
        let some = std::mem::take(&mut self.out_of_step);
        if std::mem::take(&mut self.all_out_of_step) { book.alarms().map(|(id, _)| id.clone()).collect() } else { some }
    }
}

impl Alarms {
    /// Brings the suppression of every alarm that may be out of step into step with what stands above it.
    pub(super) fn suppress(&mut self, now: Time) {
        for id in self.silencing.take_out_of_step(&self.book) {
            let Some(alarm) = self.book.alarm(&id) else { continue };
            let Some(place) = self.rules.place(&alarm.raised.point.rule) else { continue };
            let by = self.suppressor(place, &alarm.raised.point.target, alarm.raised.region.as_ref());
            if by == alarm.suppressed_by {
                continue;
            }
            let act = match by {
                Some(suppressed_by) => Act::Suppressed { alarm: id, suppressed_by },
                None => Act::Released { alarm: id },
            };
            self.write(now, act);
        }
    }

    /// An alarm whose suppression differs from what it should be, looked for among all.
    #[cfg(test)]
    pub(super) fn out_of_step(&self) -> Option<AlertId> {
        let wrong = self.book.alarms().find(|(_, alarm)| {
            let place = self.rules.place(&alarm.raised.point.rule).expect("alarms of other rules are withdrawn");
            let by = self.suppressor(place, &alarm.raised.point.target, alarm.raised.region.as_ref());
            by != alarm.suppressed_by
        });
        wrong.map(|(id, _)| id.clone())
    }

    /// What makes an alarm of the rule at `place` needless at `target` now.
    pub(super) fn suppressor(&self, place: usize, target: &Target, region: Option<&RegionCode>) -> Option<String> {
        let rule = self.rules.at(place);
        if rule.quiet_while_declared.is_none() && rule.inhibited_by.is_empty() {
            return None;
        }
        let above = above(target, region);
        if let Some(level) = rule.quiet_while_declared {
            let same_kind =
                |a: Declared, b: Declared| matches!(a, Declared::Stage(_)) == matches!(b, Declared::Stage(_));
            for target in &above {
                let Target::Scope(scope) = target else { continue };
                if let Some(declared) = self.book.declared().get(scope).map(|declaration| declaration.level)
                    && same_kind(declared, level)
                    && declared >= level
                {
                    return Some(format!("{} declared for {scope}", declared.title()));
                }
            }
        }
        rule.inhibited_by.iter().find_map(|by| {
            above.iter().find_map(|target| {
                let point = PointKey { rule: by.clone(), target: target.clone() };
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
