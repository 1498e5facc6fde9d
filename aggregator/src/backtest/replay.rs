//! One rule over one series, through the same point, learning and outlook as in the live picture.
//!
//! In: a rule, a series. Out: a [`Run`]: what it measured at each sample, and when its alarm stood. Between
//! two samples the point is judged when time alone could change it, with the value that holds; where a
//! sample's validity ends it is shown once that nothing is known, which never clears.

use vardpuls_shared::clock::Time;

use super::episode::Span;
use super::history::{Beds, Series};
use crate::alert::measure::Measure;
use crate::alert::past::Past;
use crate::alert::point::{Change, Observation, Point};
use crate::alert::rule::Rule;
use crate::alert::rules::Rules;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// What the rule measured at each sample; none where that is not known.
    pub values: Vec<Option<f64>>,
    /// When its alarm stood, in order. One that still stands ends with the series.
    pub alarms: Vec<Span>,
}

/// Why a measure cannot be had from staffed and occupied: what it needs; none where it can.
pub fn needs(measure: Measure) -> Option<&'static str> {
    match measure {
        Measure::Occupancy | Measure::Available | Measure::AvailableRatio | Measure::Rise | Measure::TimeToFull => None,
        Measure::OverCapacity => Some("patients in places that are not staffed beds"),
        Measure::Boarders => Some("patients who wait in the emergency department"),
        Measure::Stale | Measure::Coverage => Some("which hospitals have reported"),
        Measure::ClockSkew | Measure::Refused | Measure::Equivocation => Some("the reports themselves"),
        Measure::Drift => Some("reconciliations with the source"),
        Measure::Children => Some("the alarms below"),
    }
}

/// Judges a rule over a series.
pub fn replay(rule: &Rule, rules: &Rules, series: &Series) -> Run {
    let mut player =
        Player { rule, rules, point: Point::default(), past: Past::for_rule(rule), raised: None, alarms: Vec::new() };
    let mut values = Vec::with_capacity(series.samples.len());
    let mut held: Option<(Time, Seen)> = None;
    for sample in &series.samples {
        if let Some((since, seen)) = held {
            player.pass(since, seen, sample.time, since.plus(series.validity()));
        }
        let seen = Seen::of(rule, sample.beds);
        let hour = rules.hour(sample.time);
        values.push(player.judge(seen, sample.time, hour));
        if let (Some(past), Some(value)) = (&mut player.past, seen.raw) {
            past.note(rule, sample.time, hour, value);
        }
        held = Some((sample.time, seen));
    }
    if let Some((since, seen)) = held {
        player.pass(since, seen, series.end(), series.end());
    }
    if let Some(from) = player.raised {
        player.alarms.push(Span { from, to: series.end() });
    }
    Run { values, alarms: player.alarms }
}

/// What a sample shows a rule.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Before what is learned comes into it.
    raw: Option<f64>,
    staffed: f64,
}

impl Seen {
    fn of(rule: &Rule, beds: Option<Beds>) -> Seen {
        let Some(beds) = beds.filter(|beds| beds.staffed >= f64::from(rule.min_staffed)) else {
            return Seen { raw: None, staffed: 0.0 };
        };
        let raw = match rule.measure {
            Measure::Available => beds.available,
            Measure::AvailableRatio => 100.0 * beds.available / beds.staffed,
            // Rise and time to full are made of it.
            _ => 100.0 * beds.occupied / beds.staffed,
        };
        Seen { raw: Some(raw), staffed: beds.staffed }
    }
}

struct Player<'a> {
    rule: &'a Rule,
    rules: &'a Rules,
    point: Point,
    past: Option<Past>,
    raised: Option<Time>,
    alarms: Vec<Span>,
}

impl Player<'_> {
    /// Lets the time pass from a sample to before `until`; what was seen holds to `valid`.
    fn pass(&mut self, since: Time, seen: Seen, until: Time, valid: Time) {
        let mut judged = since;
        while let Some(due) = self.point.due(self.rule)
            && seen.raw.is_some()
            && due > judged
            && due < until
            && due <= valid
        {
            self.judge(seen, due, self.rules.hour(due));
            judged = due;
        }
        if valid < until {
            self.judge(Seen { raw: None, ..seen }, valid, self.rules.hour(valid));
        }
    }

    /// What the rule measures now.
    fn judge(&mut self, seen: Seen, now: Time, hour: usize) -> Option<f64> {
        let (mut value, mut expected) = (seen.raw, None);
        if let (Some(past), Some(raw)) = (&self.past, seen.raw) {
            value = past.measured(self.rule, now, hour, raw);
            expected = past.expected(self.rule, hour, raw);
        }
        let observation = Observation { value, staffed: seen.staffed, missing: 0 };
        match self.point.judge(self.rule, &observation, expected, now) {
            Some(Change::Raised) => self.raised = Some(now),
            Some(Change::Cleared) => self.alarms.extend(self.raised.take().map(|from| Span { from, to: now })),
            None => {}
        }
        value
    }
}
