//! Episodes: what there is to find.
//!
//! In: the values that a rule measures. Out: the runs at or beyond its raise threshold of at least six
//! hours. A sample holds until the next one, at most its validity; gaps under six hours are closed first,
//! shorter runs dropped then. Recorded hours jitter, so that a quarter of a step is given, at most a quarter of an hour.

use std::time::Duration;

use vardpuls_shared::clock::Time;

use super::history::Series;
use crate::alert::rule::Rule;

/// The shortest episode, and the shortest gap between two.
pub const SHORTEST: Duration = Duration::from_hours(6);

/// From an instant to before another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub from: Time,
    /// The end, itself not included.
    pub to: Time,
}

impl Span {
    /// How long.
    pub fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// Whether the two share any time.
    pub fn touches(self, other: Span) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// Whether an instant lies in it.
    pub fn has(self, time: Time) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// What both share; of no length where that is nothing.
    #[must_use]
    pub fn within(self, other: Span) -> Span {
        let from = self.from.max(other.from);
        Span { from, to: self.to.min(other.to).max(from) }
    }
}

/// The episodes of a series, in order. `values`: what the rule measured at each sample.
pub fn episodes(rule: &Rule, series: &Series, values: &[Option<f64>]) -> Vec<Span> {
    let enough = SHORTEST.saturating_sub(series.grace());
    let mut runs: Vec<Span> = Vec::new();
    for (place, value) in values.iter().enumerate() {
        if !value.is_some_and(|value| rule.raises(value)) {
            continue;
        }
        let (from, to) = (series.samples[place].time, series.holds_until(place));
        match runs.last_mut() {
            Some(run) if from == run.to || from.since(run.to) < enough => run.to = to,
            _ => runs.push(Span { from, to }),
        }
    }
    runs.retain(|run| run.length() >= enough);
    runs
}
