//! A report: the counts of all of a hospital's wards at one instant.
//!
//! Always the whole hospital, never a difference. A ward that the agent cannot vouch for is absent,
//! not zero. Bytes: `report.cddl`. Units: times in ms since 1970, validity in seconds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use crate::clock::Time;
use crate::count::{Counts, Extra, MAX_COUNT, MAX_EXTRAS};
use crate::hospital::{HospitalId, MAX_LEN};
use crate::wire::{Reader, WireError, Writer, written};

/// The message version.
pub const VERSION: u64 = 1;

/// The largest number of wards in one hospital.
pub const MAX_WARDS: u64 = 1024;

/// The longest validity, in seconds: one week.
pub const MAX_VALID_FOR: u32 = 7 * 24 * 3600;

/// Where a report stands in its hospital's order. Newest wins.
///
/// The sequence grows by one a report; the epoch (ms when the outbox was created) grows when an
/// outbox is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// When the outbox was created, ms since 1970.
    pub epoch: u64,
    /// The number of the report since then, from 1.
    pub sequence: u64,
}

/// The largest sequence; far beyond a report a millisecond for ten thousand years.
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub hospital: HospitalId,
    /// Where it stands in the hospital's order.
    pub position: Position,
    /// When the counts held, by the agent's clock.
    pub observed_at: Time,
    /// For how long they may be relied on, in seconds.
    pub valid_for: u32,
    /// Which roster the indices refer to.
    pub roster_version: u32,
    /// Counts by roster index.
    pub wards: BTreeMap<u16, Counts>,
}

impl Report {
    /// How long the counts may be relied on.
    pub fn validity(&self) -> Duration {
        Duration::from_secs(u64::from(self.valid_for))
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(Vec::with_capacity(64 + self.wards.len() * 10));
        written(w.array(8));
        written(w.u64(VERSION));
        written(w.str(self.hospital.as_str()));
        written(w.u64(self.position.epoch));
        written(w.u64(self.position.sequence));
        written(w.u64(self.observed_at.0));
        written(w.u32(self.valid_for));
        written(w.u32(self.roster_version));
        written(w.array(self.wards.len() as u64));
        for (&index, counts) in &self.wards {
            let extras: Vec<_> = counts.extras.iter().filter(|&(_, &n)| n > 0).collect();
            written(w.array(if extras.is_empty() { 3 } else { 4 }));
            written(w.u16(index));
            written(w.u16(counts.staffed));
            written(w.u16(counts.occupied));
            if !extras.is_empty() {
                written(w.map(extras.len() as u64));
                for (extra, &n) in extras {
                    written(w.u16(extra.0));
                    written(w.u16(n));
                }
            }
        }
        w.into_writer()
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Report, WireError> {
        let mut r = Reader::new(payload);
        let (hospital, position) = head(&mut r)?;
        let observed_at = Time(r.uint("observed at", Time::MAX.0)?);
        let valid_for = r.uint32("valid for", MAX_VALID_FOR)?;
        let roster_version = r.uint32("roster version", u32::MAX)?;
        let mut wards = BTreeMap::new();
        for _ in 0..r.array("wards", MAX_WARDS)? {
            let at = r.position();
            let items = r.array("ward", 4)?;
            if items < 3 {
                return Err(WireError::Malformed { field: "ward", at, expected: "an array of three or four" });
            }
            let index = r.uint16("ward index", u16::MAX)?;
            let counts = Counts {
                staffed: r.uint16("staffed", MAX_COUNT)?,
                occupied: r.uint16("occupied", MAX_COUNT)?,
                extras: if items == 4 { extras(&mut r)? } else { BTreeMap::new() },
            };
            match wards.entry(index) {
                Entry::Vacant(place) => place.insert(counts),
                Entry::Occupied(_) => {
                    return Err(WireError::Duplicate { field: "ward index", value: u64::from(index), at });
                }
            };
        }
        r.end()?;
        Ok(Report { hospital, position, observed_at, valid_for, roster_version, wards })
    }

    /// Reads only who reports and where the report stands; what follows is not looked at.
    ///
    /// For load shedding before verification, and for naming a refused report in a receipt.
    pub fn peek(payload: &[u8]) -> Result<(HospitalId, Position), WireError> {
        head(&mut Reader::new(payload))
    }
}

fn head(r: &mut Reader<'_>) -> Result<(HospitalId, Position), WireError> {
    r.array_of("the report", 8, "an array of eight")?;
    r.version(VERSION)?;
    let at = r.position();
    let hospital = HospitalId::new(r.text("hospital", MAX_LEN)?).map_err(|_| WireError::Malformed {
        field: "hospital",
        at,
        expected: "1 to 31 of A-Za-z0-9_-",
    })?;
    let position = Position { epoch: r.uint("epoch", Time::MAX.0)?, sequence: r.uint("sequence", MAX_SEQUENCE)? };
    Ok((hospital, position))
}

fn extras(r: &mut Reader<'_>) -> Result<BTreeMap<Extra, u16>, WireError> {
    let mut extras = BTreeMap::new();
    for _ in 0..r.map("extras", MAX_EXTRAS as u64)? {
        let at = r.position();
        let key = r.uint16("extra", u16::MAX)?;
        let count = r.uint16("extra count", MAX_COUNT)?;
        if extras.insert(Extra(key), count).is_some() {
            return Err(WireError::Duplicate { field: "extra", value: u64::from(key), at });
        }
    }
    Ok(extras)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn counts()(staffed in 0..=MAX_COUNT, occupied in 0..=MAX_COUNT,
            extras in proptest::collection::btree_map(any::<u16>().prop_map(Extra), 1..=MAX_COUNT, 0..5)) -> Counts {
            Counts { staffed, occupied, extras }
        }
    }

    prop_compose! {
        fn report()(epoch in 0..=Time::MAX.0, sequence in 0..=MAX_SEQUENCE, observed in 0..=Time::MAX.0,
            valid_for in 0..=MAX_VALID_FOR, roster_version: u32,
            wards in proptest::collection::btree_map(any::<u16>(), counts(), 0..40)) -> Report {
            Report {
                hospital: "SE2321000016-1003".parse().expect("valid"),
                position: Position { epoch, sequence },
                observed_at: Time(observed),
                valid_for,
                roster_version,
                wards,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(report in report()) {
            let bytes = report.encode();
            prop_assert_eq!(Report::peek(&bytes), Ok((report.hospital.clone(), report.position)));
            prop_assert_eq!(Report::decode(&bytes), Ok(report));
        }

        #[test]
        fn any_bytes_are_a_report_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Report::decode(&bytes);
        }

        #[test]
        fn a_cut_report_is_truncated_and_a_longer_one_has_trailing_bytes(report in report(), at: prop::sample::Index) {
            let mut bytes = report.encode();
            let cut = Report::decode(&bytes[..at.index(bytes.len())]);
            prop_assert!(matches!(cut, Err(WireError::Truncated { .. })), "{:?}", cut);
            bytes.push(0);
            let longer = Report::decode(&bytes);
            prop_assert!(matches!(longer, Err(WireError::Trailing { extra: 1, .. })), "{:?}", longer);
        }
    }

    #[test]
    fn absurd_counts_are_out_of_range() {
        let mut report = Report {
            hospital: "h".parse().expect("valid"),
            position: Position { epoch: 1, sequence: 1 },
            observed_at: Time(1),
            valid_for: 60,
            roster_version: 1,
            wards: BTreeMap::from([(0, Counts { staffed: 10_000, ..Counts::default() })]),
        };
        assert!(matches!(
            Report::decode(&report.encode()),
            Err(WireError::OutOfRange { field: "staffed", value: 10_000, .. })
        ));
        report.wards.clear();
        assert_eq!(Report::decode(&report.encode()), Ok(report));
    }

    #[test]
    fn a_length_that_is_only_claimed_reserves_nothing() {
        // An array of eight whose wards claim 1024 entries and hold none.
        let mut bytes = vec![0x88, 1, 0x61, b'h', 1, 1, 1, 1, 1];
        bytes.extend([0x99, 0x04, 0x00]);
        assert!(matches!(Report::decode(&bytes), Err(WireError::Truncated { .. })));
        // An indefinite array is refused.
        let n = bytes.len();
        bytes.truncate(n - 3);
        bytes.extend([0x9f, 0xff]);
        assert!(matches!(Report::decode(&bytes), Err(WireError::Malformed { .. })));
    }
}
