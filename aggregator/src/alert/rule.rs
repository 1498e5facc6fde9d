//! One rule: what is measured where, when that is an alarm, when it is over, and what to do about it.
//!
//! In: a `[[rule]]` table. Out: a [`Rule`] that can raise and can clear, or the key that is wrong and
//! why. A rule without a response, or one that could never clear, is refused (ISA-18.2: no alarm
//! without an action; an alarm that stands for ever is none).

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use vardpuls_shared::alert::{Declared, MAX_RULE_NAME, Severity};
use vardpuls_shared::care::CareType;

use super::measure::{Measure, Reach, Worse};
use super::outlook::Outlook;
use crate::config::document::duration;

/// A threshold, and how long it must be passed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Condition {
    /// The value.
    pub at: f64,
    /// How long without interruption.
    #[serde(rename = "for", deserialize_with = "duration", serialize_with = "as_text")]
    pub hold: Duration,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// What it is called: 1 to 48 of `a-z0-9-`. An alarm keeps its place by it.
    pub name: String,
    /// What is the matter when it is raised, in a few words.
    pub title: String,
    /// Which targets it applies to.
    pub scope: Reach,
    /// Only beds of these care types, taken together; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub care: Vec<CareType>,
    /// What is measured.
    pub measure: Measure,
    /// For `children`: the rule whose alarms are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// For measures that look back: how far.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_duration",
        serialize_with = "some_as_text"
    )]
    pub over: Option<Duration>,
    /// The value is how far the measure lies above what is usual there at this hour.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub above_usual: bool,
    /// When it is an alarm.
    pub raise: Condition,
    /// Dips below the raise threshold that are shorter than this do not end the wait.
    #[serde(default, deserialize_with = "duration", serialize_with = "as_text")]
    pub bridge: Duration,
    /// When it is over.
    pub clear: Condition,
    /// What is known about the coming hours decides when it is said and taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
    /// The clear threshold lies at least this many beds from the raise threshold: in a small ward one
    /// bed is many points.
    #[serde(default)]
    pub min_beds: u16,
    /// Places with fewer staffed beds are not judged.
    #[serde(default)]
    pub min_staffed: u32,
    /// Of the hospitals with such beds so many per cent must be fresh, or the value is unknown.
    #[serde(default = "most")]
    pub min_coverage: f64,
    /// How bad it is.
    pub severity: Severity,
    /// What is expected of the reader.
    pub response: String,
    /// Stays after its end until somebody acknowledges it.
    #[serde(default)]
    pub latch: bool,
    /// While an alarm of one of these rules stands here or above, this one says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inhibited_by: Vec<String>,
    /// While this level or a higher one is declared here or above, this one says nothing: everybody
    /// knows (ISA-18.2: suppressed by design).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_while_declared: Option<Declared>,
}

fn most() -> f64 {
    75.0
}

fn some_duration<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

fn as_text<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    let seconds = duration.as_secs();
    match seconds {
        0 => s.serialize_str("0s"),
        n if n.is_multiple_of(3600) => s.collect_str(&format_args!("{}h", n / 3600)),
        n if n.is_multiple_of(60) => s.collect_str(&format_args!("{}m", n / 60)),
        n => s.collect_str(&format_args!("{n}s")),
    }
}

#[expect(clippy::ref_option, reason = "the form that serde calls")]
fn some_as_text<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_text(duration, s),
        None => s.serialize_none(),
    }
}

/// The longest time that a rule may look back or wait.
const LONGEST: Duration = Duration::from_hours(7 * 24);

impl Rule {
    /// Whether a value is an alarm, apart from how long.
    pub fn raises(&self, value: f64) -> bool {
        match self.measure.worse() {
            Worse::High => value >= self.raise.at,
            Worse::Low => value <= self.raise.at,
        }
    }

    /// Whether a value is good again in a place of `staffed` beds, apart from how long.
    pub fn clears(&self, value: f64, staffed: f64) -> bool {
        let (past, distance) = match self.measure.worse() {
            Worse::High => (value < self.clear.at, self.raise.at - value),
            Worse::Low => (value > self.clear.at, value - self.raise.at),
        };
        let least = self.measure.per_bed(staffed).map_or(0.0, |bed| bed * f64::from(self.min_beds));
        // Half a hair: 100 × 2 ÷ 25 must not be less than 2 beds of 4 %.
        past && distance >= least - 1e-9
    }

    /// What is wrong with it by itself: the key and the problem.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > MAX_RULE_NAME || !self.name.chars().all(allowed) {
            return Some(("name", format!("{:?}: write 1 to {MAX_RULE_NAME} of a-z, 0-9 and -", self.name)));
        }
        let texts = [
            ("title", &self.title, "what is the matter"),
            ("response", &self.response, "what is expected of the reader"),
        ];
        if let Some((key, _, what)) = texts.iter().find(|(_, text, _)| text.trim().is_empty()) {
            return Some((key, format!("is empty: say {what}; an alarm without it is not one")));
        }
        if !self.measure.applies_to(self.scope) {
            return Some(("measure", format!("{} is not measured for a {}", self.measure, self.scope)));
        }
        if !self.care.is_empty() && !self.measure.of_beds() {
            return Some(("care", format!("{} is not about beds: leave care out", self.measure)));
        }
        if self.of.is_some() != (self.measure == Measure::Children) {
            return Some((
                "of",
                "goes with measure = \"children\", and only with it: the rule whose alarms are counted".into(),
            ));
        }
        if self.over.is_some() != self.measure.looks_back() {
            return Some((
                "over",
                "goes with rise, time-to-full, refused and equivocation, and only with them: how far they look back"
                    .into(),
            ));
        }
        if self.over.is_some_and(|over| over < Duration::from_mins(1) || over > LONGEST) {
            return Some(("over", "must be between 1 minute and 7 days".into()));
        }
        if (self.above_usual || self.outlook.is_some())
            && !matches!(self.measure, Measure::Occupancy | Measure::OverCapacity)
        {
            let key = if self.above_usual { "above-usual" } else { "outlook" };
            return Some((key, "is learned for occupancy and over-capacity only".into()));
        }
        if self.above_usual && self.outlook.is_some() {
            return Some(("outlook", "stands beside above-usual: give one of them".into()));
        }
        if !(0.0..=100.0).contains(&self.min_coverage) {
            return Some(("min-coverage", "must be between 0 and 100 per cent".into()));
        }
        if self
            .quiet_while_declared
            .is_some_and(|level| matches!(level, Declared::Stage(_)) != (self.scope == Reach::Nation))
        {
            return Some((
                "quiet-while-declared",
                "the nation has stage-1 to stage-9, everything else stab, forstarkning and katastrof".into(),
            ));
        }
        if self.inhibited_by.contains(&self.name) {
            return Some(("inhibited-by", "names the rule itself".into()));
        }
        self.threshold_fault()
    }

    fn threshold_fault(&self) -> Option<(&'static str, String)> {
        for (key, condition) in [("raise", self.raise), ("clear", self.clear)] {
            if !condition.at.is_finite() {
                return Some((key, "at must be a number".into()));
            }
            if condition.hold > LONGEST {
                return Some((key, "for must be at most 7 days".into()));
            }
        }
        let (least, greatest) =
            if self.above_usual { (f64::NEG_INFINITY, f64::INFINITY) } else { self.measure.range() };
        let (raise, clear) = (self.raise.at, self.clear.at);
        match self.measure.worse() {
            Worse::High if clear > raise => Some((
                "clear",
                format!("at {clear} lies above raise at {raise}: it would be over while it is an alarm"),
            )),
            Worse::High if clear <= least => {
                Some(("clear", format!("can never clear: {} is never below {clear}", self.measure)))
            }
            Worse::High if raise > greatest => {
                Some(("raise", format!("can never raise: {} is never {raise} or more", self.measure)))
            }
            Worse::Low if clear < raise => Some((
                "clear",
                format!("at {clear} lies below raise at {raise}: it would be over while it is an alarm"),
            )),
            Worse::Low if clear >= greatest => {
                Some(("clear", format!("can never clear: {} is never above {clear}", self.measure)))
            }
            Worse::Low if raise < least => {
                Some(("raise", format!("can never raise: {} is never {raise} or less", self.measure)))
            }
            _ => None,
        }
    }
}
