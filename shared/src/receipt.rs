//! A receipt: the centre's signed word about reports of one outbox.
//!
//! *Stored* is said only after the durable commit; an agent lets go of a report on nothing else. A
//! *refused* report will never be taken, whatever is sent again. *Wanted* rosters are those that
//! stored reports refer to and the centre does not have. Bytes: `receipt.cddl`.

use crate::clock::Time;
use crate::hospital::{HospitalId, MAX_LEN};
use crate::refusal::Refusal;
use crate::report::MAX_SEQUENCE;
use crate::wire::{Reader, WireError, Writer, written};

/// The message version.
pub const VERSION: u64 = 1;

/// The largest number of ranges, of refusals, and of wanted rosters in one receipt.
pub const MAX_ITEMS: u64 = 1000;

/// One receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose reports.
    pub hospital: HospitalId,
    /// When the centre said so, by its clock.
    pub issued_at: Time,
    /// Which outbox.
    pub epoch: u64,
    /// Sequences that are stored, as closed ranges (first, last).
    pub stored: Vec<(u64, u64)>,
    /// Sequences that will never be taken, and why.
    pub refused: Vec<(u64, Refusal)>,
    /// Roster versions that the centre does not have.
    pub wanted: Vec<u32>,
}

impl Receipt {
    /// Whether the report of this sequence is stored.
    pub fn is_stored(&self, sequence: u64) -> bool {
        self.stored.iter().any(|&(first, last)| (first..=last).contains(&sequence))
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(Vec::with_capacity(64));
        written(w.array(7));
        written(w.u64(VERSION));
        written(w.str(self.hospital.as_str()));
        written(w.u64(self.issued_at.0));
        written(w.u64(self.epoch));
        written(w.array(self.stored.len() as u64));
        for &(first, last) in &self.stored {
            written(w.array(2));
            written(w.u64(first));
            written(w.u64(last));
        }
        written(w.array(self.refused.len() as u64));
        for &(sequence, refusal) in &self.refused {
            written(w.array(2));
            written(w.u64(sequence));
            written(w.u8(refusal.number()));
        }
        written(w.array(self.wanted.len() as u64));
        for &version in &self.wanted {
            written(w.u32(version));
        }
        w.into_writer()
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Receipt, WireError> {
        let mut r = Reader::new(payload);
        r.array_of("the receipt", 7, "an array of seven")?;
        r.version(VERSION)?;
        let at = r.position();
        let hospital = HospitalId::new(r.text("hospital", MAX_LEN)?).map_err(|_| WireError::Malformed {
            field: "hospital",
            at,
            expected: "1 to 31 of A-Za-z0-9_-",
        })?;
        let issued_at = Time(r.uint("issued at", Time::MAX.0)?);
        let epoch = r.uint("epoch", Time::MAX.0)?;
        let mut stored = Vec::new();
        for _ in 0..r.array("stored", MAX_ITEMS)? {
            let at = r.position();
            r.array_of("range", 2, "first and last")?;
            let range = (r.uint("first", MAX_SEQUENCE)?, r.uint("last", MAX_SEQUENCE)?);
            if range.0 > range.1 {
                return Err(WireError::Malformed { field: "range", at, expected: "first ≤ last" });
            }
            stored.push(range);
        }
        let mut refused = Vec::new();
        for _ in 0..r.array("refused", MAX_ITEMS)? {
            r.array_of("refusal", 2, "sequence and reason")?;
            let sequence = r.uint("sequence", MAX_SEQUENCE)?;
            let reason = u8::try_from(r.uint("reason", 255)?).expect("at most 255");
            refused.push((sequence, Refusal::from_number(reason)));
        }
        let mut wanted = Vec::new();
        for _ in 0..r.array("wanted", MAX_ITEMS)? {
            wanted.push(r.uint32("roster version", u32::MAX)?);
        }
        r.end()?;
        Ok(Receipt { hospital, issued_at, epoch, stored, refused, wanted })
    }
}

/// Sequences as the fewest closed ranges, rising.
pub fn ranges(mut sequences: Vec<u64>) -> Vec<(u64, u64)> {
    sequences.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::new();
    for s in sequences {
        match out.last_mut() {
            Some((_, last)) if s <= last.saturating_add(1) => *last = s,
            _ => out.push((s, s)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_exactly_what_went_in(sequences in proptest::collection::vec(0u64..50, 0..40)) {
            let set: BTreeSet<u64> = sequences.iter().copied().collect();
            let ranges = ranges(sequences);
            let back: BTreeSet<u64> = ranges.iter().flat_map(|&(a, b)| a..=b).collect();
            prop_assert_eq!(set, back);
            prop_assert!(ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0));
        }

        #[test]
        fn what_is_written_is_read(epoch in 0..=Time::MAX.0, sequences in proptest::collection::vec(0..=MAX_SEQUENCE, 0..30),
            refused in proptest::collection::vec((0..=MAX_SEQUENCE, any::<u8>()), 0..10), wanted: Vec<u32>) {
            let receipt = Receipt {
                hospital: "h".parse().expect("valid"),
                issued_at: Time(7),
                epoch,
                stored: ranges(sequences),
                refused: refused.into_iter().map(|(s, r)| (s, Refusal::from_number(r))).collect(),
                wanted,
            };
            prop_assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
        }

        #[test]
        fn any_bytes_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Receipt::decode(&bytes).is_err());
        }
    }
}
