//! What a hospital's reports come to: a join. Pure.
//!
//! The state is a function of the *set* of reports that were ever merged: any order, any
//! duplication and any grouping give the same. It is the reports of the [`KEPT`] newest positions,
//! and of two reports at one position the one with the smaller digest. (The store keeps both as
//! evidence and refuses the one that came second; the picture only has to be the same everywhere.)
//!
//! More than the newest is kept for two reasons: the newest may refer to a roster that is not here
//! yet, and the clock offset is taken over several reports. The store gives back as many after a
//! restart, so that the state before and after is the same.

use vardpuls_shared::clock::Time;
use vardpuls_shared::report::Position;

use crate::ward::WardCounts;

/// How many of a hospital's newest positions are kept.
pub const KEPT: usize = 8;

/// What there is to a report besides its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Where it stands in the hospital's order.
    pub position: Position,
    /// SHA-256 of its envelope.
    pub digest: [u8; 32],
    /// When its counts held, by the agent's clock.
    pub observed_at: Time,
    /// When the centre received it first.
    pub received_at: Time,
    /// For how long it may be relied on, in seconds.
    pub valid_for: u32,
    /// Which roster its indices refer to.
    pub roster_version: u32,
}

/// A report that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// All but the counts.
    pub heard: Heard,
    /// The counts, by rising index.
    pub wards: Vec<WardCounts>,
}

/// What a report was to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The newest of all.
    Newer,
    /// Not the newest; for the history.
    Older,
    /// Here already.
    Duplicate,
    /// Another report was here at its position.
    Equivocation,
}

/// One hospital's newest reports, by rising position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    kept: Vec<Kept>,
}

impl Recent {
    /// Joins a report in.
    pub fn merge(&mut self, heard: &Heard, wards: &[WardCounts]) -> Outcome {
        match self.kept.binary_search_by_key(&heard.position, |k| k.heard.position) {
            Ok(at) => {
                let kept = &mut self.kept[at];
                if kept.heard.digest == heard.digest {
                    kept.heard.received_at = kept.heard.received_at.min(heard.received_at);
                    return Outcome::Duplicate;
                }
                if heard.digest < kept.heard.digest {
                    kept.replace(heard, wards);
                }
                Outcome::Equivocation
            }
            Err(0) if self.kept.len() == KEPT => Outcome::Older,
            Err(at) => {
                let newest = at == self.kept.len();
                if self.kept.len() == KEPT {
                    // The oldest goes, and its memory takes the new one.
                    self.kept[..at].rotate_left(1);
                    self.kept[at - 1].replace(heard, wards);
                } else {
                    self.kept.insert(at, Kept { heard: *heard, wards: wards.to_vec() });
                }
                if newest { Outcome::Newer } else { Outcome::Older }
            }
        }
    }

    /// The newest report.
    pub fn newest(&self) -> Option<&Kept> {
        self.kept.last()
    }

    /// The newest report whose roster version is known.
    pub fn newest_with(&self, known: impl Fn(u32) -> bool) -> Option<&Kept> {
        self.kept.iter().rev().find(|k| known(k.heard.roster_version))
    }

    /// The least (received − observed), in ms: see [`crate::freshness`].
    pub fn offset_ms(&self) -> i64 {
        self.kept.iter().map(|k| k.heard.received_at.offset_from(k.heard.observed_at)).min().unwrap_or(0)
    }
}

impl Kept {
    fn replace(&mut self, heard: &Heard, wards: &[WardCounts]) {
        self.heard = *heard;
        self.wards.clear();
        self.wards.extend_from_slice(wards);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use vardpuls_shared::count::Counts;

    use super::*;

    prop_compose! {
        /// Few positions and digests, so that duplicates and equivocations are common.
        fn report()(epoch in 1u64..3, sequence in 1u64..12, digest in 0u8..3, received in 0u64..50) -> Kept {
            // A digest stands for the bytes, so everything but the receive time follows from it.
            let said = epoch * 1000 + sequence * 10 + u64::from(digest);
            let counts = Counts { staffed: u16::try_from(said).expect("small"), ..Counts::default() };
            Kept {
                heard: Heard {
                    position: Position { epoch, sequence },
                    digest: [digest; 32],
                    observed_at: Time(said),
                    received_at: Time(received),
                    valid_for: 60,
                    roster_version: u32::from(digest),
                },
                wards: vec![WardCounts::new(1, &counts)],
            }
        }
    }

    fn merged<'a>(reports: impl IntoIterator<Item = &'a Kept>) -> Recent {
        let mut recent = Recent::default();
        for r in reports {
            recent.merge(&r.heard, &r.wards);
        }
        recent
    }

    /// The definition, computed plainly from the whole set.
    fn recomputed(reports: &[Kept]) -> Recent {
        let mut best: BTreeMap<Position, &Kept> = BTreeMap::new();
        for r in reports {
            let place = best.entry(r.heard.position).or_insert(r);
            if (r.heard.digest, r.heard.received_at) < (place.heard.digest, place.heard.received_at) {
                *place = r;
            }
        }
        let skip = best.len().saturating_sub(KEPT);
        Recent { kept: best.into_values().skip(skip).cloned().collect() }
    }

    proptest! {
        #[test]
        fn merging_is_recomputation(reports in proptest::collection::vec(report(), 0..60)) {
            prop_assert_eq!(merged(&reports), recomputed(&reports));
        }

        #[test]
        fn order_does_not_matter(reports in proptest::collection::vec(report(), 0..40).prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))) {
            prop_assert_eq!(merged(&reports.0), merged(&reports.1));
        }

        #[test]
        fn duplication_does_not_matter(reports in proptest::collection::vec(report(), 0..30), again in any::<prop::sample::Index>()) {
            let mut twice = reports.clone();
            twice.extend(reports.iter().cloned());
            if !reports.is_empty() {
                twice.push(again.get(&reports).clone());
            }
            prop_assert_eq!(merged(&reports), merged(&twice));
        }

        /// Any number of aggregators: what each keeps, merged, is what one would keep of all.
        #[test]
        fn grouping_does_not_matter(a in proptest::collection::vec(report(), 0..30), b in proptest::collection::vec(report(), 0..30)) {
            let (of_a, of_b) = (merged(&a), merged(&b));
            let all: Vec<_> = a.into_iter().chain(b).collect();
            prop_assert_eq!(merged(of_a.kept.iter().chain(&of_b.kept)), merged(&all));
        }
    }

    #[test]
    fn outcomes_are_named() {
        let report = |sequence, digest: u8| Heard {
            position: Position { epoch: 1, sequence },
            digest: [digest; 32],
            observed_at: Time(1),
            received_at: Time(2),
            valid_for: 60,
            roster_version: 1,
        };
        let mut recent = Recent::default();
        assert_eq!(recent.merge(&report(5, 1), &[]), Outcome::Newer);
        assert_eq!(recent.merge(&report(5, 1), &[]), Outcome::Duplicate);
        assert_eq!(recent.merge(&report(4, 1), &[]), Outcome::Older);
        assert_eq!(recent.merge(&report(5, 2), &[]), Outcome::Equivocation);
        assert_eq!(recent.newest().map(|k| k.heard.digest), Some([1; 32]));
    }
}
