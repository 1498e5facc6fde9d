//! Alarms held against episodes.
//!
//! In: per series, the spans of both. Out: a [`Score`]. An alarm that touches no episode is false. Both
//! count by their beginning in the judged span; standing time and episode time are cut to it.

use std::time::Duration;

use serde::Serialize;

use super::episode::Span;

/// An alarm that comes back sooner than this after its end chatters.
const AGAIN: Duration = Duration::from_hours(6);

/// Three within this chatter.
const THRICE: Duration = Duration::from_hours(24);

/// How a rule did. Where there was no episode, what is measured by episodes is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Episodes.
    pub episodes: u32,
    /// Of them with an alarm.
    pub found: u32,
    /// The share of them, 0 to 1.
    pub found_share: Option<f64>,
    /// Hours from an episode's beginning to its first alarm, over those found.
    pub delay_median_hours: Option<f64>,
    /// The mean of it.
    pub delay_mean_hours: Option<f64>,
    /// Nine in ten are not later.
    pub delay_p90_hours: Option<f64>,
    /// Alarms.
    pub alarms: u32,
    /// Pairs of an alarm and an episode that it touches, by episodes.
    pub alarms_per_episode: Option<f64>,
    /// Alarms that touch no episode.
    pub false_alarms: u32,
    /// The same by episodes.
    pub false_per_episode: Option<f64>,
    /// The two below together.
    pub chattering: u32,
    /// Raised less than six hours after it had ended.
    pub raised_again_within_6_hours: u32,
    /// Raised for the third time within a day.
    pub raised_thrice_within_24_hours: u32,
    /// Alarms an hour, over all scopes.
    pub alarms_per_hour: Option<f64>,
    /// How long alarms stood.
    pub standing_hours: f64,
    /// How long episodes lasted.
    pub episode_hours: f64,
    /// The one by the other.
    pub standing_per_episode_time: Option<f64>,
}

/// The sums behind a score.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    episodes: u32,
    delays: Vec<Duration>,
    pairs: u32,
    alarms: u32,
    false_alarms: u32,
    again: u32,
    thrice: u32,
    standing: Duration,
    lasting: Duration,
}

impl Tally {
    /// Takes in one series; both lists are in order, and no two spans of a list touch.
    pub fn add(&mut self, alarms: &[Span], episodes: &[Span], judged: Span) {
        let mut ahead = alarms;
        for &episode in episodes {
            self.lasting += episode.within(judged).length();
            let ended = ahead.partition_point(|alarm| alarm.to <= episode.from);
            ahead = &ahead[ended..];
            let touching = ahead.partition_point(|alarm| alarm.from < episode.to);
            if judged.has(episode.from) {
                self.episodes += 1;
                self.pairs += count(touching);
                self.delays.extend(ahead[..touching].first().map(|alarm| alarm.from.since(episode.from)));
            }
        }
        let mut ahead = episodes;
        for (place, &alarm) in alarms.iter().enumerate() {
            self.standing += alarm.within(judged).length();
            let ended = ahead.partition_point(|episode| episode.to <= alarm.from);
            ahead = &ahead[ended..];
            if !judged.has(alarm.from) {
                continue;
            }
            self.alarms += 1;
            self.false_alarms += u32::from(!ahead.first().is_some_and(|episode| episode.touches(alarm)));
            let earlier = |n: usize| place.checked_sub(n).map(|place| alarms[place]);
            self.again += u32::from(earlier(1).is_some_and(|before| alarm.from.since(before.to) < AGAIN));
            self.thrice += u32::from(earlier(2).is_some_and(|before| alarm.from.since(before.from) <= THRICE));
        }
    }

    /// The score, over a judged span.
    pub fn score(mut self, judged: Span) -> Score {
        self.delays.sort_unstable();
        let by = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        let by_episode = |n: u32| by(n.into(), self.episodes.into());
        let found = count(self.delays.len());
        let (standing, lasting) = (hours(self.standing), hours(self.lasting));
        Score {
            episodes: self.episodes,
            found,
            found_share: by_episode(found),
            delay_median_hours: quantile(&self.delays, 0.5),
            delay_mean_hours: by(hours(self.delays.iter().sum()), found.into()),
            delay_p90_hours: quantile(&self.delays, 0.9),
            alarms: self.alarms,
            alarms_per_episode: by_episode(self.pairs),
            false_alarms: self.false_alarms,
            false_per_episode: by_episode(self.false_alarms),
            chattering: self.again + self.thrice,
            raised_again_within_6_hours: self.again,
            raised_thrice_within_24_hours: self.thrice,
            alarms_per_hour: by(self.alarms.into(), hours(judged.length())),
            standing_hours: standing,
            episode_hours: lasting,
            standing_per_episode_time: by(standing, lasting),
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A duration in hours.
fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

/// Between the two nearest in the order, by distance.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list"
)]
fn quantile(sorted: &[Duration], q: f64) -> Option<f64> {
    let place = q * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (hours(sorted[place.floor() as usize]), hours(sorted[place.ceil() as usize]));
    Some(low + (high - low) * place.fract())
}
