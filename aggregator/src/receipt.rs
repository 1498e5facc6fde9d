//! Receipts, grouped: what is said to each outbox about one batch. Pure.
//!
//! In: what became of each report, **after** the commit. Out: as few receipts as the wire allows.

use std::collections::BTreeMap;

use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::receipt::{MAX_ITEMS, Receipt, ranges};
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::Position;

/// What is to be said, by hospital and epoch.
#[derive(Debug, Default)]
pub struct Receipts {
    outboxes: BTreeMap<(HospitalId, u64), Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    stored: Vec<u64>,
    refused: Vec<(u64, Refusal)>,
    wanted: Vec<u32>,
}

impl Receipts {
    fn lines(&mut self, hospital: &HospitalId, epoch: u64) -> &mut Lines {
        self.outboxes.entry((hospital.clone(), epoch)).or_default()
    }

    /// The report is stored; `wanted` is its roster's version where that is not here.
    pub fn stored(&mut self, hospital: &HospitalId, position: Position, wanted: Option<u32>) {
        let lines = self.lines(hospital, position.epoch);
        lines.stored.push(position.sequence);
        lines.wanted.extend(wanted);
    }

    /// The report will never be taken.
    pub fn refused(&mut self, hospital: &HospitalId, position: Position, refusal: Refusal) {
        self.lines(hospital, position.epoch).refused.push((position.sequence, refusal));
    }

    /// The receipts, none with more than [`MAX_ITEMS`] of anything.
    pub fn issue(self, issued_at: Time) -> Vec<Receipt> {
        let most = usize::try_from(MAX_ITEMS).unwrap_or(usize::MAX);
        let mut receipts = Vec::with_capacity(self.outboxes.len());
        for ((hospital, epoch), mut lines) in self.outboxes {
            lines.wanted.sort_unstable();
            lines.wanted.dedup();
            let (stored, wanted) = (ranges(lines.stored), lines.wanted);
            let parts = [stored.len(), lines.refused.len(), wanted.len()].map(|n| n.div_ceil(most));
            for part in 0..parts.into_iter().max().unwrap_or(0) {
                receipts.push(Receipt {
                    hospital: hospital.clone(),
                    issued_at,
                    epoch,
                    stored: slice(&stored, part, most),
                    refused: slice(&lines.refused, part, most),
                    wanted: slice(&wanted, part, most),
                });
            }
        }
        receipts
    }
}

fn slice<T: Clone>(all: &[T], part: usize, most: usize) -> Vec<T> {
    all.chunks(most).nth(part).map(<[T]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_receipt_for_one_outbox() {
        let (a, b): (HospitalId, HospitalId) = ("a".parse().expect("valid"), "b".parse().expect("valid"));
        let at = |epoch, sequence| Position { epoch, sequence };
        let mut receipts = Receipts::default();
        receipts.stored(&a, at(1, 2), None);
        receipts.stored(&a, at(1, 1), Some(7));
        receipts.stored(&a, at(1, 3), Some(7));
        receipts.refused(&a, at(1, 9), Refusal::AbsurdCount);
        receipts.stored(&a, at(2, 1), None);
        receipts.stored(&b, at(1, 5), None);
        let issued = receipts.issue(Time(9));
        assert_eq!(issued.len(), 3);
        assert_eq!(
            issued[0],
            Receipt {
                hospital: a,
                issued_at: Time(9),
                epoch: 1,
                stored: vec![(1, 3)],
                refused: vec![(9, Refusal::AbsurdCount)],
                wanted: vec![7],
            }
        );
    }

    proptest! {
        #[test]
        fn everything_is_said_and_every_receipt_can_be_read(stored in 0u64..2500, refused in 0u64..2500) {
            let hospital: HospitalId = "a".parse().expect("valid");
            let mut receipts = Receipts::default();
            // Every other sequence: as many ranges as there are reports.
            for n in 0..stored {
                receipts.stored(&hospital, Position { epoch: 1, sequence: 2 * n }, None);
            }
            for n in 0..refused {
                receipts.refused(&hospital, Position { epoch: 1, sequence: 2 * n + 1 }, Refusal::AbsurdCount);
            }
            let issued = receipts.issue(Time(9));
            prop_assert_eq!(issued.iter().map(|r| r.stored.len() as u64).sum::<u64>(), stored);
            prop_assert_eq!(issued.iter().map(|r| r.refused.len() as u64).sum::<u64>(), refused);
            for receipt in issued {
                prop_assert!(Receipt::decode(&receipt.encode()).is_ok());
            }
        }
    }
}
