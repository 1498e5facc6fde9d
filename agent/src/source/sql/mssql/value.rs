//! A value of SQL Server as the text that other databases give: numbers bare, times in ISO 8601.
//!
//! Pure. A time with an offset is given in UTC; what has no offset stays without one.

use jiff::civil::{self, DateTime};
use jiff::{SignedDuration, Span};
use tiberius::ColumnData;
use tiberius::numeric::Numeric;
use tiberius::time as tds;

/// A value that cannot be given as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoText;

/// The text of a value; none for NULL.
pub(super) fn text(value: &ColumnData<'_>) -> Result<Option<String>, NoText> {
    Ok(match value {
        ColumnData::U8(number) => number.map(|n| n.to_string()),
        ColumnData::I16(number) => number.map(|n| n.to_string()),
        ColumnData::I32(number) => number.map(|n| n.to_string()),
        ColumnData::I64(number) => number.map(|n| n.to_string()),
        ColumnData::F32(number) => number.map(|n| n.to_string()),
        ColumnData::F64(number) => number.map(|n| n.to_string()),
        ColumnData::Bit(bit) => bit.map(|bit| u8::from(bit).to_string()),
        ColumnData::String(text) => text.as_deref().map(str::to_owned),
        ColumnData::Guid(id) => id.map(|id| id.to_string()),
        ColumnData::Xml(xml) => xml.as_ref().map(ToString::to_string),
        ColumnData::Numeric(number) => number.map(decimal),
        ColumnData::DateTime(time) => time.map(date_time).transpose()?,
        ColumnData::SmallDateTime(time) => time.map(small_date_time).transpose()?,
        ColumnData::Date(day) => day.map(|day| Ok(date(day)?.to_string())).transpose()?,
        ColumnData::Time(time) => {
            time.map(|time| at(civil::Date::MIN, since_midnight(time)?).map(|t| t.time().to_string())).transpose()?
        }
        ColumnData::DateTime2(time) => time.map(|time| Ok(date_time2(time)?.to_string())).transpose()?,
        // On the wire it is UTC, and its offset stands beside it (MS-TDS 2.2.5.5.1.9).
        ColumnData::DateTimeOffset(time) => {
            time.map(|time| Ok(format!("{}Z", date_time2(time.datetime2())?))).transpose()?
        }
        ColumnData::Binary(None) => None,
        ColumnData::Binary(Some(_)) => return Err(NoText),
    })
}

fn decimal(number: Numeric) -> String {
    let scale = usize::from(number.scale());
    let digits = format!("{:0>1$}", number.value().unsigned_abs(), scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if number.value() < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// `datetime`: days since 1900, and 300ths of a second.
fn date_time(time: tds::DateTime) -> Result<String, NoText> {
    let day = days_after(civil::date(1900, 1, 1), i64::from(time.days()))?;
    // Shown by the server, and meant, to the nearest millisecond.
    let milliseconds = (i64::from(time.seconds_fragments()) * 10 + 1) / 3;
    Ok(at(day, SignedDuration::from_millis(milliseconds))?.to_string())
}

/// `smalldatetime`: days since 1900, and minutes.
fn small_date_time(time: tds::SmallDateTime) -> Result<String, NoText> {
    let day = days_after(civil::date(1900, 1, 1), i64::from(time.days()))?;
    Ok(at(day, SignedDuration::from_mins(i64::from(time.seconds_fragments())))?.to_string())
}

fn date_time2(time: tds::DateTime2) -> Result<DateTime, NoText> {
    at(date(time.date())?, since_midnight(time.time())?)
}

/// `date`: days since the year 1.
fn date(day: tds::Date) -> Result<civil::Date, NoText> {
    days_after(civil::date(1, 1, 1), i64::from(day.days()))
}

/// `time`: parts of a second, each of 10^-scale.
fn since_midnight(time: tds::Time) -> Result<SignedDuration, NoText> {
    let places = 9_u32.checked_sub(u32::from(time.scale())).ok_or(NoText)?;
    let nanoseconds = time.increments().checked_mul(10_u64.pow(places)).ok_or(NoText)?;
    i64::try_from(nanoseconds).map(SignedDuration::from_nanos).map_err(|_| NoText)
}

fn days_after(start: civil::Date, days: i64) -> Result<civil::Date, NoText> {
    Span::new().try_days(days).and_then(|span| start.checked_add(span)).map_err(|_| NoText)
}

fn at(day: civil::Date, since_midnight: SignedDuration) -> Result<DateTime, NoText> {
    if !(0..24 * 60 * 60).contains(&since_midnight.as_secs()) {
        return Err(NoText);
    }
    day.to_datetime(civil::Time::midnight()).checked_add(since_midnight).map_err(|_| NoText)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn shown(value: &ColumnData<'_>) -> String {
        text(value).expect("a text").expect("a value")
    }

    #[test]
    fn numbers_are_bare_and_null_is_none() {
        assert_eq!(shown(&ColumnData::U8(Some(255))), "255");
        assert_eq!(shown(&ColumnData::I16(Some(-1))), "-1");
        assert_eq!(shown(&ColumnData::I64(Some(12))), "12");
        assert_eq!(shown(&ColumnData::F64(Some(7.0))), "7");
        assert_eq!(shown(&ColumnData::Bit(Some(true))), "1");
        assert_eq!(shown(&ColumnData::String(Some(Cow::Borrowed("Kir Å")))), "Kir Å");
        for (value, scale, expected) in [
            (12, 0, "12"),
            (1200, 2, "12.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (0, 0, "0"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(decimal(Numeric::new_with_scale(value, scale)), expected);
        }
        for null in
            [ColumnData::I32(None), ColumnData::String(None), ColumnData::Numeric(None), ColumnData::Binary(None)]
        {
            assert_eq!(text(&null), Ok(None));
        }
        assert_eq!(text(&ColumnData::Binary(Some(Cow::Borrowed(&[1])))), Err(NoText));
    }

    #[test]
    fn times_are_iso_8601() {
        // 2026-11-29 is day 46353 after 1900 and day 739948 after the year 1.
        let half_past_one = 5400_u32;
        assert_eq!(
            shown(&ColumnData::DateTime(Some(tds::DateTime::new(46_353, half_past_one * 300 + 37)))),
            "2026-11-29T01:30:00.123"
        );
        assert_eq!(shown(&ColumnData::DateTime(Some(tds::DateTime::new(-53_690, 0)))), "1753-01-01T00:00:00");
        assert_eq!(shown(&ColumnData::SmallDateTime(Some(tds::SmallDateTime::new(46_353, 90)))), "2026-11-29T01:30:00");
        let day = tds::Date::new(739_948);
        assert_eq!(shown(&ColumnData::Date(Some(day))), "2026-11-29");
        let time = tds::Time::new(54_001_234_567, 7);
        assert_eq!(shown(&ColumnData::Time(Some(time))), "01:30:00.1234567");
        let both = tds::DateTime2::new(day, time);
        assert_eq!(shown(&ColumnData::DateTime2(Some(both))), "2026-11-29T01:30:00.1234567");
        assert_eq!(
            shown(&ColumnData::DateTimeOffset(Some(tds::DateTimeOffset::new(both, 60)))),
            "2026-11-29T01:30:00.1234567Z"
        );
    }

    proptest! {
        #[test]
        fn no_time_of_a_server_ends_us(days: i32, fragments: u32, increments: u64, scale: u8, offset: i16, value: i128) {
            let both = tds::DateTime2::new(tds::Date::new(days.unsigned_abs() & 0x00ff_ffff), tds::Time::new(increments, scale));
            for value in [
                ColumnData::DateTime(Some(tds::DateTime::new(days, fragments))),
                ColumnData::DateTime2(Some(both)),
                ColumnData::DateTimeOffset(Some(tds::DateTimeOffset::new(both, offset))),
                ColumnData::Time(Some(both.time())),
                ColumnData::Numeric(Some(Numeric::new_with_scale(value, scale % 38))),
            ] {
                let _ = text(&value);
            }
        }
    }
}
