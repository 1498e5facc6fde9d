//! Times as hospital systems write them: local, without an offset, in any order.

use std::time::{Duration, SystemTime};

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use vardpuls_shared::clock::Time;

/// How a time is written.
///
/// A local time that comes twice (when summer time ends) is taken as the first of the two; one
/// that does not exist (when it begins) is taken as if the clock had not been put forward. A time
/// that carries its own offset (`%z`) is taken by that.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeFormat {
    zone: Option<TimeZone>,
    format: Option<String>,
    /// The format tells the instant by itself: it has an offset, or counts seconds.
    absolute: bool,
}

/// What an error shows of ISO 8601.
const ISO: &str = "2026-11-25T14:00:00";
const ISO_OFFSET: &str = "2026-11-25T14:00:00+01:00";

impl TimeFormat {
    /// A `strptime` format, for times of `zone` where it has no offset; refuses one that cannot be read or
    /// leaves out the date or the hour.
    pub fn new(zone: TimeZone, format: &str) -> Result<TimeFormat, String> {
        let example = civil::date(2022, 12, 31).at(23, 45, 59, 0).to_zoned(zone.clone()).map_err(|e| e.to_string())?;
        let written = jiff::fmt::strtime::format(format, &example)
            .map_err(|e| format!("{format:?} cannot be read ({e}); write it as in \"%Y-%m-%d %H:%M\""))?;
        let absolute = BrokenDownTime::parse(format, &written).is_ok_and(|parts| parts.to_timestamp().is_ok());
        let read = TimeFormat { zone: Some(zone), format: Some(format.to_owned()), absolute };
        let again = read
            .read(&written)
            .map_err(|problem| format!("{format:?}: {problem}; write it as in \"%Y-%m-%d %H:%M\""))?;
        // Minutes and seconds may be left out, but nothing above them.
        let lost = Time::from(SystemTime::from(example.timestamp())).since(again);
        if lost < Duration::from_hours(1) {
            Ok(read)
        } else {
            Err(format!("{format:?} leaves out a part of date or hour; write it as in \"%Y-%m-%d %H:%M\""))
        }
    }

    /// ISO 8601, as databases and JSON have it (`2026-11-25 14:00:00.123+01`); what has no offset is a time of
    /// `zone`, and without a zone is no time.
    pub fn iso(zone: Option<TimeZone>) -> TimeFormat {
        TimeFormat { zone, format: None, absolute: false }
    }

    /// The format, or an example of it.
    pub fn pattern(&self) -> &str {
        match &self.format {
            Some(format) => format,
            None if self.zone.is_some() => ISO,
            None => ISO_OFFSET,
        }
    }

    /// Reads a time.
    pub fn read(&self, text: &str) -> Result<Time, String> {
        let problem = |e: jiff::Error| e.to_string();
        let stamp = match &self.format {
            None => match text.parse::<Timestamp>() {
                Ok(stamp) => stamp,
                Err(e) => self.local(text.parse().map_err(|_| problem(e))?)?,
            },
            Some(format) => {
                let parts = BrokenDownTime::parse(format, text).map_err(problem)?;
                if self.absolute {
                    parts.to_timestamp().map_err(problem)?
                } else {
                    self.local(parts.to_datetime().map_err(problem)?)?
                }
            }
        };
        let milliseconds = u64::try_from(stamp.as_millisecond()).map_err(|_| "is before 1970".to_owned())?;
        Ok(Time(milliseconds))
    }

    fn local(&self, time: civil::DateTime) -> Result<Timestamp, String> {
        let zone = self.zone.as_ref().ok_or("has no offset, and no zone is given")?;
        let zoned = zone.to_ambiguous_zoned(time).compatible().map_err(|e| e.to_string())?;
        Ok(zoned.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: &str, format: &str, text: &str) -> Result<String, String> {
        let zone = TimeZone::get(zone).expect("a zone");
        TimeFormat::new(zone, format)?.read(text).map(|time| time.to_string())
    }

    #[test]
    fn local_times_are_read_with_one_digit_or_two() {
        let format = "%Y-%m-%dT%H:%M";
        assert_eq!(read("America/Montreal", format, "2022-12-01T0:45").as_deref(), Ok("2022-12-01T05:45:00.000Z"));
        assert_eq!(read("America/Montreal", format, "2022-12-01T00:45").as_deref(), Ok("2022-12-01T05:45:00.000Z"));
        assert_eq!(read("Europe/Stockholm", "%d.%m.%y %H", "1.7.23 8").as_deref(), Ok("2023-07-01T06:00:00.000Z"));
        assert_eq!(read("UTC", "%I:%M %p, %m/%d/%Y", "1:05 PM, 7/1/2023").as_deref(), Ok("2023-07-01T13:05:00.000Z"));
        for wrong in ["", "2022-12-01", "2022-12-01T24:45", "2022-13-01T00:45", "2022-12-01T0:45 and more"] {
            assert!(read("UTC", format, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_offset_in_the_file_is_believed() {
        let text = "2023-07-01 12:00:00 +0500";
        assert_eq!(read("UTC", "%Y-%m-%d %H:%M:%S %z", text).as_deref(), Ok("2023-07-01T07:00:00.000Z"));
        assert_eq!(read("Europe/Stockholm", "%s", "1688194800").as_deref(), Ok("2023-07-01T07:00:00.000Z"));
    }

    #[test]
    fn databases_and_json_write_iso_8601_with_an_offset_or_in_a_zone() {
        let zone = Some(TimeZone::get("Europe/Stockholm").expect("a zone"));
        let local = TimeFormat::iso(zone);
        for (text, expected) in [
            ("2023-07-01 12:00:00", "2023-07-01T10:00:00.000Z"),
            ("2023-07-01T12:00:00.123456", "2023-07-01T10:00:00.123Z"),
            ("2023-07-01 12:00:00+00", "2023-07-01T12:00:00.000Z"),
            ("2023-07-01T12:00:00Z", "2023-07-01T12:00:00.000Z"),
        ] {
            assert_eq!(local.read(text).map(|t| t.to_string()).as_deref(), Ok(expected), "{text}");
        }
        let strict = TimeFormat::iso(None);
        assert!(strict.read("2023-07-01T12:00:00+02:00").is_ok());
        for wrong in ["2023-07-01 12:00:00", "12:00", "", "i natt"] {
            assert!(strict.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn when_summer_time_ends_the_first_of_two_hours_is_meant_and_a_skipped_one_is_moved() {
        let format = "%Y-%m-%d %H:%M";
        assert_eq!(read("Europe/Stockholm", format, "2023-10-29 02:30").as_deref(), Ok("2023-10-29T00:30:00.000Z"));
        assert_eq!(read("Europe/Stockholm", format, "2023-03-26 02:30").as_deref(), Ok("2023-03-26T01:30:00.000Z"));
    }

    #[test]
    fn a_format_without_day_or_hour_is_refused() {
        for format in ["%H:%M", "%Y-%m-%d", "%Y-%m %H:%M", "%I:%M %Y-%m-%d", "no time", "%Q %Y"] {
            assert!(TimeFormat::new(TimeZone::UTC, format).is_err(), "{format}");
        }
    }
}
