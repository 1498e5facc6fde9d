//! Times as HL7 v2 writes them: `YYYY[MM[DD[HH[MM[SS[.S…]]]]]][±ZZZZ]`.
//!
//! In: the bytes of a field and the zone of times without an offset. Out: a [`Time`], or none for what is no time.
//! A local time that comes twice is taken as the first of the two; one that does not exist as if the clock had not been
//! put forward.

use std::time::Duration;

use jiff::civil;
use jiff::tz::{Offset, TimeZone};
use vardpuls_shared::clock::Time;

/// Reads a time of at least a whole date.
pub fn read(raw: &[u8], zone: &TimeZone) -> Option<Time> {
    let raw = raw.trim_ascii();
    let (stamp, offset) = match raw.iter().position(|b| matches!(b, b'+' | b'-')) {
        Some(at) => (&raw[..at], Some(offset(&raw[at..])?)),
        None => (raw, None),
    };
    let (whole, fraction) = match stamp.iter().position(|b| *b == b'.') {
        Some(at) => (&stamp[..at], &stamp[at + 1..]),
        None => (stamp, [].as_slice()),
    };
    if !matches!(whole.len(), 8 | 10 | 12 | 14) {
        return None;
    }
    let two = |at: usize| whole.get(at..at + 2).map_or(Some(0), number);
    let day = civil::Date::new(number(&whole[..4])?, small(two(4)?)?, small(two(6)?)?).ok()?;
    // A leap second is a second that we do not have.
    let second = small(two(12)?)?.min(59);
    let time = civil::Time::new(small(two(8)?)?, small(two(10)?)?, second, 0).ok()?;
    let local = day.to_datetime(time);
    let instant = match offset {
        Some(offset) => offset.to_timestamp(local).ok()?,
        None => zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp(),
    };
    let time = Time(u64::try_from(instant.as_millisecond()).ok()?);
    Some(time.plus(milliseconds(fraction)?))
}

fn offset(text: &[u8]) -> Option<Offset> {
    let (sign, digits) = text.split_first()?;
    if digits.len() != 4 {
        return None;
    }
    let seconds = (i32::from(number(&digits[..2])?) * 60 + i32::from(number(&digits[2..])?)) * 60;
    Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0i16, |n, b| b.is_ascii_digit().then(|| n * 10 + i16::from(b - b'0')))
}

fn small(n: i16) -> Option<i8> {
    i8::try_from(n).ok()
}

fn milliseconds(fraction: &[u8]) -> Option<Duration> {
    if fraction.len() > 9 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = (0..3).fold(0u64, |n, at| n * 10 + u64::from(fraction.get(at).map_or(0, |b| b - b'0')));
    Some(Duration::from_millis(thousandths))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stockholm(text: &str) -> Option<String> {
        let zone = TimeZone::get("Europe/Stockholm").expect("bundled");
        read(text.as_bytes(), &zone).map(|time| time.to_string())
    }

    #[test]
    fn every_precision_from_the_day_is_read() {
        assert_eq!(stockholm("20260408").as_deref(), Some("2026-04-07T22:00:00.000Z"));
        assert_eq!(stockholm("2026040812").as_deref(), Some("2026-04-08T10:00:00.000Z"));
        assert_eq!(stockholm(" 202604081230 ").as_deref(), Some("2026-04-08T10:30:00.000Z"));
        assert_eq!(stockholm("20260408123059.1234").as_deref(), Some("2026-04-08T10:30:59.123Z"));
        assert_eq!(stockholm("202101151620+0215").as_deref(), Some("2021-01-15T14:05:00.000Z"));
        assert_eq!(stockholm("20210115162000-0500").as_deref(), Some("2021-01-15T21:20:00.000Z"));
        // The night in which summer time ends, and the one in which it begins.
        assert_eq!(stockholm("202310290230").as_deref(), Some("2023-10-29T00:30:00.000Z"));
        assert_eq!(stockholm("202303260230").as_deref(), Some("2023-03-26T01:30:00.000Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "2026", "202604", "20261301", "2026040825", "2026-04-08", "20260408T12", "20260408+1", "19600101"]
        {
            assert_eq!(stockholm(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(raw in prop::collection::vec(prop::sample::select(b"0123456789.+-x \xff".to_vec()), 0..30)) {
            read(&raw, &TimeZone::UTC);
        }
    }
}
