//! Points in time, and where they come from.
//!
//! Decisions take a [`Time`] as an argument. Whoever has to ask what time it is holds a [`Clock`]:
//! the machine's in service, one that is set by hand in tests and replays.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON and in the feed: RFC 3339 text in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The latest time that the wire accepts, near the end of the year 9999 where RFC 3339 ends.
    pub const MAX: Time = Time(253_402_207_200_000);

    /// `self + d`, saturating.
    #[must_use]
    pub fn plus(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    /// `self − d`, not before 1970.
    #[must_use]
    pub fn minus(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Signed milliseconds from `other` to `self`.
    #[must_use]
    pub fn offset_from(self, other: Time) -> i64 {
        i64::try_from(i128::from(self.0) - i128::from(other.0)).unwrap_or(i64::MAX)
    }
}

impl From<SystemTime> for Time {
    fn from(t: SystemTime) -> Time {
        let since = t.duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Time {
    /// RFC 3339, UTC, with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.min(Time::MAX.0)).unwrap_or(i64::MAX);
        let stamp = jiff::Timestamp::from_millisecond(ms).map_err(|_| fmt::Error)?;
        write!(f, "{stamp:.3}")
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;
    /// RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Time, jiff::Error> {
        let stamp: jiff::Timestamp = text.parse()?;
        Ok(Time(u64::try_from(stamp.as_millisecond()).unwrap_or(0)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where "now" comes from. Cheap to clone; clones of a set clock are set together.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands until it is [set](Clock::set): recorded time in a replay, any time in a test.
    Set(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `time`.
    pub fn standing_at(time: Time) -> Clock {
        Clock::Set(Arc::new(AtomicU64::new(time.0)))
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Time {
        match self {
            Clock::System => SystemTime::now().into(),
            Clock::Set(t) => Time(t.load(Ordering::SeqCst)),
        }
    }

    /// Sets a standing clock. The machine's clock is not ours to set: nothing happens then.
    pub fn set(&self, time: Time) {
        if let Clock::Set(t) = self {
            t.store(time.0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_rfc_3339_with_milliseconds() {
        let t = Time(1_700_000_000_123);
        assert_eq!(t.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!("2023-11-14T23:13:20.123+01:00".parse::<Time>().ok(), Some(t));
        assert_eq!(Time(u64::MAX).to_string(), Time::MAX.to_string());
    }

    #[test]
    fn clones_of_a_standing_clock_are_set_together() {
        let a = Clock::standing_at(Time(5));
        let b = a.clone();
        a.set(Time(9));
        assert_eq!(b.now(), Time(9));
    }
}
