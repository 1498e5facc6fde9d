//! Times as recordings write them.
//!
//! In: text. Out: a [`Time`]. RFC 3339 with any offset; without one (`2022-12-01T0:45`, `2022-12-01 00:45`,
//! `2022-12-01`) it is the clock of a zone.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time as Hour};
use jiff::tz::TimeZone;
use vardpuls_shared::clock::Time;

/// Reads a time. What the clock of the zone showed twice (when it was set back) is the first time.
pub fn moment(text: &str, zone: &TimeZone) -> Option<Time> {
    Moment::read(text, zone).map(|moment| moment.first)
}

/// A time, and the second one at which a clock that was set back showed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    first: Time,
    second: Time,
}

impl Moment {
    pub(super) fn read(text: &str, zone: &TimeZone) -> Option<Moment> {
        if let Ok(stamp) = text.parse::<Timestamp>() {
            let first = time(stamp)?;
            return Some(Moment { first, second: first });
        }
        let local = zone.to_ambiguous_timestamp(local(text)?);
        Some(Moment { first: time(local.compatible().ok()?)?, second: time(local.later().ok()?)? })
    }

    /// The one of the two that comes after `before`, so that a recording goes on through such an hour.
    pub(super) fn after(self, before: Option<Time>) -> Time {
        if before.is_some_and(|before| self.first <= before) { self.second } else { self.first }
    }
}

fn time(stamp: Timestamp) -> Option<Time> {
    u64::try_from(stamp.as_millisecond()).ok().map(Time)
}

fn local(text: &str) -> Option<DateTime> {
    let (date, hour) = text.split_once(['T', ' ']).unwrap_or((text, "0:00"));
    let date: Date = date.parse().ok()?;
    let mut parts = hour.splitn(3, ':');
    let part = |text: Option<&str>| text.and_then(|text| text.parse::<i8>().ok());
    let (hour, minute) = (part(parts.next())?, part(parts.next())?);
    let second = match parts.next() {
        None => 0,
        seconds => part(seconds)?,
    };
    Some(date.to_datetime(Hour::new(hour, minute, second, 0).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_offset() {
        let zone = TimeZone::get("Europe/Stockholm").expect("a zone");
        let at = |text: &str| moment(text, &zone);
        let expected = "2022-12-01T00:45:00+01:00".parse().ok();
        for text in [
            "2022-12-01T00:45:00+01:00",
            "2022-11-30T23:45Z",
            "2022-12-01T0:45",
            "2022-12-01 00:45",
            "2022-12-01 0:45:00",
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        assert_eq!(at("2022-12-01"), "2022-12-01T00:00:00+01:00".parse().ok());
        for wrong in ["", "yesterday", "2022-12-01T", "2022-12-01T25:00", "2022-12-01T12", "1969-12-31T00:00Z"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_hour_that_the_clock_showed_twice_goes_on() {
        let zone = TimeZone::get("Europe/Stockholm").expect("a zone");
        let read = Moment::read("2023-10-29T2:45", &zone).expect("a time");
        let first = read.after(None);
        assert_eq!(first, "2023-10-29T02:45:00+02:00".parse().expect("a time"));
        assert_eq!(read.after(Some(first)), "2023-10-29T02:45:00+01:00".parse().expect("a time"));
    }
}
