//! What the hour of day says about the coming hours. Pure.
//!
//! Pressure has a daily rhythm: a department that is full at noon is fuller at six, one that is full
//! at midnight empties by itself. A rule with an outlook is said at once where the excursion is
//! expected to last, waits where it is not, and is not taken back while it is expected to return.
//!
//! What is learned: for each hour of the day what is usual, a running mean over about a week. What is
//! expected in k hours: the value drawn half-way towards what is usual now, plus what usually changes
//! until then. The constants were found on Quebec's emergency departments to 2023-04; how they do on
//! the half year after is in ARCHITECTURE.md, with the command.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;

/// Hours over which an excursion must be expected to last.
const AHEAD: usize = 6;

/// Hours within which a return is looked for.
const BACK: usize = 12;

/// An alarm is not kept for a return that does not come for this long.
pub const LONGEST_KEPT: Duration = Duration::from_hours(24);

/// After an end the outlook alone raises nothing for this long: the rule's own time decides.
pub const CALM: Duration = Duration::from_hours(6);

/// Days that the running mean takes in.
const DAYS: u8 = 7;

/// Days until an hour's mean is believed.
const BELIEVED: u8 = 3;

/// How far the value is drawn towards what is usual.
const PULL: f64 = 0.5;

/// What a rule makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Outlook {
    /// It is said at once where the coming six hours are expected to lie this far above the raise threshold.
    pub margin: f64,
    /// It is kept while one of the coming twelve hours is expected within so much of the raise threshold.
    pub near: f64,
}

/// What the coming hours are expected to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The excursion lasts.
    pub will_last: bool,
    /// The value comes back to where it was an alarm.
    pub will_return: bool,
}

/// What is usual at each hour of the day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usual {
    /// (mean, days that it has taken in), by hour.
    hours: [(f64, u8); 24],
    /// The hour that is being taken in: which one, since when, the sum of its values and their number.
    hour: Option<(usize, Time, f64, u32)>,
}

impl Usual {
    /// Takes a value in. True when an hour was completed.
    pub fn learn(&mut self, now: Time, hour: usize, value: f64) -> bool {
        let same = |since: Time| now.since(since) < Duration::from_hours(1) && now >= since;
        if let Some((current, since, sum, n)) = &mut self.hour
            && *current == hour
            && same(*since)
        {
            (*sum, *n) = (*sum + value, *n + 1);
            return false;
        }
        let before = self.hour.replace((hour, now, value, 1));
        let Some((hour, _, sum, n)) = before else { return false };
        let (mean, days) = &mut self.hours[hour];
        *days = (*days + 1).min(DAYS);
        *mean += (sum / f64::from(n) - *mean) / f64::from(*days);
        true
    }

    /// What is usual at an hour; none before it was seen on some days.
    pub fn at(&self, hour: usize) -> Option<f64> {
        let (mean, days) = self.hours[hour % 24];
        (days >= BELIEVED).then_some(mean)
    }

    /// What the coming hours are expected to bring to a value that is an alarm at `threshold` or above.
    /// None while too little is known.
    pub fn expect(&self, outlook: Outlook, threshold: f64, hour: usize, value: f64) -> Option<Expected> {
        let usual = self.at(hour)?;
        let drawn = value + PULL * (usual - value);
        let changes = |hours: usize| (1..=hours).filter_map(move |k| Some(self.at(hour + k)? - usual));
        let (n, sum) = changes(AHEAD).fold((0u32, 0.0), |(n, sum), change| (n + 1, sum + change));
        let lasts = n >= 3 && drawn + sum / f64::from(n) >= threshold + outlook.margin;
        let returns = changes(BACK).any(|change| drawn + change >= threshold - outlook.near);
        Some(Expected { will_last: lasts, will_return: returns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten days of a rhythm that is `day` from 8 to 19 and `night` otherwise.
    fn rhythm(day: f64, night: f64) -> Usual {
        let mut usual = Usual::default();
        for hour in 0..240_usize {
            let value = if (8..20).contains(&(hour % 24)) { day } else { night };
            usual.learn(Time(hour as u64 * 3_600_000), hour % 24, value);
        }
        usual
    }

    const OUTLOOK: Outlook = Outlook { margin: 0.0, near: 5.0 };

    #[test]
    fn before_noon_it_lasts_and_in_the_evening_it_does_not() {
        let usual = rhythm(120.0, 80.0);
        let at = |hour, value| usual.expect(OUTLOOK, 110.0, hour, value).expect("ten days are known");
        assert!(at(9, 125.0).will_last);
        assert!(!at(19, 112.0).will_last, "the night is coming");
        assert!(at(5, 85.0).will_return, "the day is coming");
        assert!(!rhythm(80.0, 80.0).expect(OUTLOOK, 110.0, 5, 85.0).expect("known").will_return);
    }

    #[test]
    fn nothing_is_expected_of_what_is_not_known() {
        assert_eq!(Usual::default().expect(OUTLOOK, 110.0, 5, 120.0), None);
    }

    #[test]
    fn many_values_an_hour_count_as_one_day() {
        let mut usual = Usual::default();
        for minute in 0..(24 * 60 * 2) {
            usual.learn(Time(minute * 60_000), usize::try_from(minute / 60 % 24).expect("an hour"), 50.0);
        }
        assert_eq!(usual.at(3), None, "two days are too few");
        assert_eq!(usual.hours[3], (50.0, 2));
    }
}
