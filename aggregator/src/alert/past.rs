//! What a point remembers of the past, where its rule asks for it: what is usual, and the trend.
//!
//! In: values, noted every few minutes or as a recording has them. Out: the measured value of rules
//! that look back (rise, time to full, above what is usual), and what the coming hours are expected to bring.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;

use super::measure::Measure;
use super::outlook::{Expected, Usual};
use super::rule::Rule;

/// How often values are noted in the live picture.
pub const NOTE_EVERY: Duration = Duration::from_mins(5);

/// A trend is believed once it covers so much of the time that the rule looks back, in per cent.
const COVERED: u32 = 75;

/// No trend fills a place later than this, in hours: the value of `time-to-full` where nothing rises.
const NEVER_FULL: f64 = 999.0;

/// What a point remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    trend: VecDeque<(Time, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<Usual>,
}

impl Past {
    /// What a rule's points remember; none where the present is enough.
    pub fn for_rule(rule: &Rule) -> Option<Past> {
        let usual = (rule.above_usual || rule.outlook.is_some()).then(Usual::default);
        let trend = matches!(rule.measure, Measure::Rise | Measure::TimeToFull);
        (trend || usual.is_some()).then(|| Past { usual, trend: VecDeque::new() })
    }

    /// Notes a value, as it was observed. True when something was learned that a restart should not forget.
    pub fn note(&mut self, rule: &Rule, now: Time, hour: usize, value: f64) -> bool {
        if let (Measure::Rise | Measure::TimeToFull, Some(over)) = (rule.measure, rule.over) {
            if self.trend.back().is_some_and(|(at, _)| *at > now) {
                self.trend.clear(); // the clock was set back
            }
            self.trend.push_back((now, value));
            while self.trend.front().is_some_and(|(at, _)| now.since(*at) > over) {
                self.trend.pop_front();
            }
        }
        self.usual.as_mut().is_some_and(|usual| usual.learn(now, hour, value))
    }

    /// What the rule measures, where `value` is observed; none while too little is known.
    pub fn measured(&self, rule: &Rule, now: Time, hour: usize, value: f64) -> Option<f64> {
        match rule.measure {
            Measure::Rise => self.rise(rule, now, value),
            Measure::TimeToFull => {
                let rise = self.rise(rule, now, value)?;
                let hours = if rise > 0.0 { (100.0 - value).max(0.0) / rise } else { NEVER_FULL };
                Some(hours.min(NEVER_FULL))
            }
            _ if rule.above_usual => Some(value - self.usual.as_ref()?.at(hour)?),
            _ => Some(value),
        }
    }

    /// Points an hour from the oldest value that is looked back to.
    fn rise(&self, rule: &Rule, now: Time, value: f64) -> Option<f64> {
        let over = rule.over?;
        let &(at, before) = self.trend.iter().find(|(at, _)| now.since(*at) <= over)?;
        let passed = now.since(at);
        (passed * 100 >= over * COVERED).then(|| (value - before) / (passed.as_secs_f64() / 3600.0))
    }

    /// What the coming hours are expected to bring; none where the rule has no outlook, or too little is known.
    pub fn expected(&self, rule: &Rule, hour: usize, value: f64) -> Option<Expected> {
        self.usual.as_ref()?.expect(rule.outlook?, rule.raise.at, hour, value)
    }
}
