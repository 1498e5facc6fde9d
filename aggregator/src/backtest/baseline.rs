//! Plain rules as Prometheus has them, on the same threshold: what anyone could write in a minute.
//!
//! In: the values that a rule measured at each sample. Out: when the plain rule's alarm would have stood.
//! `for`: raised once the value has been at the threshold for so long, broken by any value that is not.
//! `keep_firing_for`: over once it has been clear for so long. The clear band lies between the two
//! thresholds. What is unknown changes nothing.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use vardpuls_shared::clock::Time;

use super::episode::Span;
use super::history::Series;
use crate::alert::measure::Worse;
use crate::alert::rule::Rule;

/// One plain rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Plain {
    /// Hours at the threshold before it is said.
    pub for_hours: u32,
    /// Hours clear before it is over.
    pub keep_firing_for_hours: u32,
    /// How far from the threshold it is clear, in units of the measure.
    pub clear_band: u32,
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {} h, keep {} h, band {}", self.for_hours, self.keep_firing_for_hours, self.clear_band)
    }
}

/// The grid of plain rules. Where samples are a day apart, narrow bands too: values move less.
pub fn grid(step: Duration) -> Vec<Plain> {
    let bands: &[u32] = if step >= Duration::from_hours(12) { &[0, 1, 2, 5, 10, 15] } else { &[0, 5, 10, 15] };
    let mut all = Vec::new();
    for for_hours in [0, 1, 2, 3, 4] {
        for &clear_band in bands {
            all.extend([0, 1, 2, 4, 6].map(|keep_firing_for_hours| Plain {
                for_hours,
                keep_firing_for_hours,
                clear_band,
            }));
        }
    }
    all
}

impl Plain {
    /// When its alarm would have stood, in order.
    pub fn alarms(self, rule: &Rule, series: &Series, values: &[Option<f64>]) -> Vec<Span> {
        let hours = |n: u32| Duration::from_hours(n.into()).saturating_sub(series.grace());
        let (wait, keep) = (hours(self.for_hours), hours(self.keep_firing_for_hours));
        let band = f64::from(self.clear_band);
        let clear = |value: f64| match rule.measure.worse() {
            Worse::High => value < rule.raise.at - band,
            Worse::Low => value > rule.raise.at + band,
        };
        let mut alarms = Vec::new();
        let (mut raised, mut since): (Option<Time>, Option<Time>) = (None, None);
        for (sample, value) in series.samples.iter().zip(values) {
            let (now, Some(value)) = (sample.time, *value) else { continue };
            let (counts, enough) = match raised {
                None => (rule.raises(value), wait),
                Some(_) => (clear(value), keep),
            };
            if !counts {
                since = None;
                continue;
            }
            if now.since(*since.get_or_insert(now)) >= enough {
                since = None;
                match raised.take() {
                    None => raised = Some(now),
                    Some(from) => alarms.push(Span { from, to: now }),
                }
            }
        }
        alarms.extend(raised.map(|from| Span { from, to: series.end() }));
        alarms
    }
}
