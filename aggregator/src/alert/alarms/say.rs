//! From what changed at a point to the journal's entry, and the words in it.

use vardpuls_shared::alert::{AlertId, State, Status};
use vardpuls_shared::clock::Time;

use super::Alarms;
use super::places::Place;
use super::slots::At;
use super::suppress::Listed;
use crate::alert::entry::{Act, Actor, Ending, PointKey, Raised};
use crate::alert::measure::Worse;
use crate::alert::point::Change;
use crate::alert::rule::Rule;
use crate::live::Live;

impl Alarms {
    pub(super) fn write(&mut self, now: Time, act: Act) {
        self.write_by(Actor::Centre, act, None, now);
    }

    pub(super) fn write_by(&mut self, by: Actor, act: Act, why: Option<String>, now: Time) {
        let before = act.alarm().and_then(|alarm| Listed::of(&self.book, alarm));
        let entry = self.book.write(now, by, act, why);
        let after = entry.act.alarm().and_then(|alarm| Listed::of(&self.book, alarm));
        self.silencing.follow(&entry.act, before, after, &self.rules);
        self.entries.push(entry);
    }

    pub(super) fn write_change(&mut self, at: At, change: Change, value: Option<f64>, live: &Live, now: Time) {
        let Some(place) = Self::place(at, live) else { return };
        let rule_place = self.slots.rule(at);
        let rule = self.rules.at(rule_place);
        let point = PointKey { rule: rule.name.clone(), target: place.target.clone() };
        let open = self.book.at_point(&point).map(|(id, alarm)| (id.clone(), alarm.state()));
        let act = match (change, open) {
            (Change::Raised, None) => {
                let drill = match self.book.exercise() {
                    Some(exercise) => (Status::Exercise, Some(exercise.name.clone())),
                    None => (self.status, None),
                };
                Act::Raised(Box::new(self.raised(rule_place, place, value, drill, live, now)))
            }
            (Change::Raised, Some((alarm, State::ClearedUnacknowledged))) => Act::Returned { alarm, value },
            (Change::Cleared, Some((alarm, state))) if state.is_active() => {
                Act::Cleared { alarm, value, ending: Ending::Condition }
            }
            // A drill's alarm stands there already, or was ended by hand.
            _ => return,
        };
        self.write(now, act);
    }

    pub(super) fn raised(
        &self,
        rule: usize,
        place: Place,
        value: Option<f64>,
        (status, exercise): (Status, Option<String>),
        live: &Live,
        now: Time,
    ) -> Raised {
        let region = place.region.map(|region| live.region_codes()[region].clone());
        let suppressed_by = self.suppressor(rule, &place.target, region.as_ref());
        let rule = self.rules.at(rule);
        Raised {
            alarm: AlertId::new(&rule.name, &place.target, now),
            severity: rule.severity,
            headline: headline(rule, &place.name, value),
            response: rule.response.clone(),
            measure: rule.measure.name().to_owned(),
            unit: rule.measure.unit().to_owned(),
            value: value.map(|value| (value * 10.0).round() / 10.0),
            care: rule.care.clone(),
            name: place.name,
            latch: rule.latch,
            status,
            exercise,
            suppressed_by,
            region,
            point: PointKey { rule: rule.name.clone(), target: place.target },
        }
    }
}

/// What is the matter, in one line.
fn headline(rule: &Rule, name: &str, value: Option<f64>) -> String {
    let bound = if rule.measure.worse() == Worse::High { "or more" } else { "or less" };
    let unit = |value: f64| match rule.measure.unit() {
        "%" => format!("{value:.1} %"),
        unit => format!("{value:.1} {unit}").replacen(".0 ", " ", 1),
    };
    let usual = if rule.above_usual { " above what is usual at this hour" } else { "" };
    let measured = value.map_or_else(String::new, |value| {
        format!(": {} {}{usual}", rule.measure.name().replace('-', " "), unit(value))
    });
    format!("{}, {name}{measured} (raised at {} {bound})", rule.title, unit(rule.raise.at))
}
