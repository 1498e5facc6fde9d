//! How days, weeks and a surge move the simulated nation.
//!
//! In: a [`Moment`] and what is asked about. Out: factors around one, and beds. Pure; the only chance is the seed of
//! the [`Surge`]. Numbers are plausible, not measured.

use std::fmt;

use super::Line;

/// Simulated time: minutes since a Monday at midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// When a simulation begins: Tuesday at six in the morning.
    pub const START: Moment = Moment(24 * 60 + 6 * 60);

    /// The hour of the day.
    pub fn hour(self) -> u64 {
        self.0 / 60 % 24
    }

    /// Saturday or Sunday.
    pub fn is_weekend(self) -> bool {
        self.0 / (24 * 60) % 7 >= 5
    }

    /// Full hours since the beginning.
    pub fn hours(self) -> u64 {
        self.0 / 60
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        let day = usize::try_from(self.0 / (24 * 60) % 7).expect("below seven");
        write!(f, "{} {:02}:{:02}", DAYS[day], self.hour(), self.0 % 60)
    }
}

/// What stays the same about a line of care.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    /// Mean stay in hours.
    pub stay: f64,
    /// Share of the decided beds that are staffed on a weekday.
    pub staffing: f64,
    /// The same on a weekend, as a share of the weekday's.
    pub weekend: f64,
    /// Occupied as a share of the staffed beds, where the simulation settles.
    pub load: f64,
    /// Share of the patients who come planned, on weekday mornings.
    pub planned: f64,
}

/// The profile of a line.
pub(super) fn profile(line: Line) -> Profile {
    let (stay, staffing, weekend, load, planned) = match line {
        Line::Emergency => (4.0, 1.0, 1.0, 0.72, 0.0),
        Line::Intensive => (80.0, 0.93, 1.0, 0.80, 0.15),
        Line::Intermediate => (48.0, 0.95, 1.0, 0.84, 0.15),
        Line::Medicine => (110.0, 0.92, 0.96, 0.95, 0.05),
        Line::Surgery => (90.0, 0.88, 0.86, 0.92, 0.45),
        Line::Orthopaedics => (115.0, 0.90, 0.88, 0.93, 0.35),
        Line::Geriatrics => (230.0, 0.94, 1.0, 0.95, 0.30),
        Line::Infection => (120.0, 0.92, 1.0, 0.90, 0.0),
        Line::Maternity => (44.0, 0.95, 0.98, 0.74, 0.15),
        Line::Children => (60.0, 0.88, 0.90, 0.76, 0.20),
        Line::ChildrensIntensive => (90.0, 0.90, 1.0, 0.76, 0.20),
        Line::Newborn => (260.0, 0.90, 1.0, 0.82, 0.0),
        Line::Psychiatry => (330.0, 0.93, 1.0, 0.93, 0.10),
        Line::Burn => (300.0, 0.85, 1.0, 0.60, 0.0),
    };
    Profile { stay, staffing, weekend, load, planned }
}

/// How many come to an emergency department in an hour, against the day's mean.
pub(super) fn arrivals(moment: Moment) -> f64 {
    const BY_HOUR: [f64; 24] = [
        0.55, 0.45, 0.38, 0.34, 0.34, 0.38, 0.50, 0.72, 1.00, 1.30, 1.48, 1.52, 1.48, 1.46, 1.44, 1.42, 1.40, 1.38,
        1.34, 1.26, 1.14, 1.00, 0.84, 0.68,
    ];
    BY_HOUR[usize::try_from(moment.hour()).expect("below 24")] * if moment.is_weekend() { 0.93 } else { 1.0 }
}

/// How many planned patients come in an hour, against the week's mean.
pub(super) fn planned(moment: Moment) -> f64 {
    // Five mornings of four hours carry the week's 168.
    if !moment.is_weekend() && (6..10).contains(&moment.hour()) { 168.0 / 20.0 } else { 0.0 }
}

/// How many become ready for discharge or leave in an hour, against the week's mean.
pub(super) fn discharges(moment: Moment) -> f64 {
    let day = match moment.hour() {
        9..=11 => 2.4,
        12..=15 => 2.7,
        16..=18 => 1.2,
        7 | 8 | 19 | 20 => 0.5,
        _ => 0.12,
    };
    day * if moment.is_weekend() { 0.75 } else { 1.1 }
}

/// Beds with staff in a shift; `short` is how many beds lack staff by chance.
pub(super) fn staffed(line: Line, decided: u16, moment: Moment, short: u16) -> u16 {
    let profile = profile(line);
    let share = profile.staffing * if moment.is_weekend() { profile.weekend } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u16")]
    let planned = (f64::from(decided) * share).round() as u16;
    planned.saturating_sub(short).max(1)
}

/// A wave of patients that begins in one place and spreads over the country.
#[derive(Debug, Clone, Copy)]
pub struct Surge {
    origin: (f64, f64),
    begins: u64,
    height: f64,
}

impl Surge {
    /// The wave of a seed, out of one of these places.
    pub fn new(seed: u64, places: &[(f64, f64)]) -> Surge {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_0f5a_73e5);
        let origin = rng.choice(places).copied().unwrap_or_default();
        Surge { origin, begins: Moment::START.hours() + rng.u64(4..10), height: 0.35 + 0.25 * rng.f64() }
    }

    /// The factor on acute arrivals at a place: one, rising over a day, gone after five, again every ten.
    pub fn factor(&self, position: (f64, f64), moment: Moment) -> f64 {
        const PERIOD: u64 = 240;
        let kilometres = 111.0 * (position.0 - self.origin.0).hypot((position.1 - self.origin.1) * 0.5);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1600 km / 10")]
        let begins = self.begins + (kilometres / 10.0) as u64;
        let Some(hours) = moment.hours().checked_sub(begins) else { return 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "below 240")]
        let hours = (hours % PERIOD) as f64;
        let wave = if hours < 24.0 { hours / 24.0 } else { ((120.0 - hours) / 96.0).max(0.0) };
        1.0 + self.height * wave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rhythms_keep_the_mean_over_a_week() {
        let mean = |f: fn(Moment) -> f64| (0..168u32).map(|h| f(Moment(u64::from(h) * 60))).sum::<f64>() / 168.0;
        for rhythm in [arrivals, planned, discharges] {
            assert!((mean(rhythm) - 1.0).abs() < 0.06, "{}", mean(rhythm));
        }
    }

    #[test]
    fn fewer_beds_are_staffed_on_a_weekend() {
        let saturday = Moment(5 * 24 * 60);
        assert!(saturday.is_weekend() && !Moment::START.is_weekend());
        assert!(staffed(Line::Surgery, 20, saturday, 0) < staffed(Line::Surgery, 20, Moment::START, 0));
    }

    #[test]
    fn a_surge_begins_at_its_origin_and_ends() {
        let surge = Surge::new(7, &[(59.0, 18.0)]);
        let at = |hours: u64, position| surge.factor(position, Moment(Moment::START.0 + hours * 60));
        assert!((at(0, (59.0, 18.0)) - 1.0).abs() < f64::EPSILON);
        assert!(at(30, (59.0, 18.0)) > 1.2);
        assert!(at(30, (59.0, 18.0)) > at(30, (67.0, 20.0)));
        assert!((at(200, (59.0, 18.0)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn moments_read_as_a_weekday_and_a_time() {
        assert_eq!(Moment::START.to_string(), "Tuesday 06:00");
    }
}
