//! One ward's counts, and sums of them, in a fixed order that can be added up without looking.
//!
//! In: [`Counts`] as the wire has them. Out: [`Figures`] as the feed has them. Between the two, every
//! count has its place in an array, so that a report costs additions and no lookups. `available` is
//! taken per ward here, before anything is summed.

use vardpuls_shared::count::{Counts, Extra};
use vardpuls_shared::feed::Figures;

/// How many counts a ward has.
const COUNTS: usize = 11;

/// One ward's counts in the order of [`Figures`]: staffed, occupied, blocked, available, and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WardCounts {
    /// The ward's index in the hospital's roster.
    pub index: u16,
    counts: [u16; COUNTS],
}

impl WardCounts {
    /// Puts the counts of ward `index` in order.
    pub fn new(index: u16, counts: &Counts) -> WardCounts {
        let extra = |e| if counts.extras.is_empty() { 0 } else { counts.extra(e) };
        WardCounts {
            index,
            counts: [
                counts.staffed,
                counts.occupied,
                extra(Extra::BLOCKED),
                counts.available(),
                extra(Extra::OVER_CAPACITY),
                extra(Extra::OUTLYING),
                extra(Extra::DISCHARGE_READY),
                extra(Extra::BOARDING),
                extra(Extra::OVER_24H),
                extra(Extra::OVER_48H),
                extra(Extra::DRIFT),
            ],
        }
    }

    /// The ward's figures.
    pub fn figures(&self) -> Figures {
        let mut sums = Sums::default();
        sums.add(self);
        sums.figures()
    }
}

/// Sums over wards. Wide enough that no number of hospitals overflows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    wards: u64,
    counts: [u64; COUNTS],
}

impl Sums {
    /// Adds one ward.
    pub fn add(&mut self, ward: &WardCounts) {
        self.wards += 1;
        for (sum, &n) in self.counts.iter_mut().zip(&ward.counts) {
            *sum += u64::from(n);
        }
    }

    /// Adds other wards' sums.
    pub fn add_sums(&mut self, other: &Sums) {
        self.wards += other.wards;
        for (sum, n) in self.counts.iter_mut().zip(&other.counts) {
            *sum += n;
        }
    }

    /// Takes away what was added before.
    pub fn take_away(&mut self, other: &Sums) {
        self.wards -= other.wards;
        for (sum, n) in self.counts.iter_mut().zip(&other.counts) {
            *sum -= n;
        }
    }

    /// How many wards.
    pub fn wards(&self) -> u64 {
        self.wards
    }

    /// Staffed beds.
    pub fn staffed(&self) -> u64 {
        self.counts[0]
    }

    /// Admitted patients in the wards' beds.
    pub fn occupied(&self) -> u64 {
        self.counts[1]
    }

    /// Beds that can take a patient now.
    pub fn available(&self) -> u64 {
        self.counts[3]
    }

    /// Patients in places that are not staffed beds.
    pub fn over_capacity(&self) -> u64 {
        self.counts[4]
    }

    /// Admitted patients who wait in the emergency department.
    pub fn boarding(&self) -> u64 {
        self.counts[7]
    }

    /// Patients by whom the census differed from its source at the last reconciliation.
    pub fn drift(&self) -> u64 {
        self.counts[10]
    }

    /// The figures; `null` where there is no ward. A sum beyond 32 bits stands at the largest number.
    pub fn figures(&self) -> Figures {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if self.wards == 0 {
            return Figures::default();
        }
        let [
            staffed,
            occupied,
            blocked,
            available,
            over_capacity,
            outlying,
            discharge_ready,
            boarding,
            over_24h,
            over_48h,
            _drift,
        ] = self.counts.map(|n| Some(narrow(n)));
        Figures {
            wards: narrow(self.wards),
            staffed,
            occupied,
            blocked,
            available,
            over_capacity,
            outlying,
            discharge_ready,
            boarding,
            over_24h,
            over_48h,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Counts> {
        (0u16..=9999, 0u16..=9999, proptest::collection::btree_map((1u16..14).prop_map(Extra), 1u16..=9999, 0..6))
            .prop_map(|(staffed, occupied, extras)| Counts { staffed, occupied, extras })
    }

    proptest! {
        #[test]
        fn a_wards_figures_are_those_of_its_counts(counts in counts()) {
            prop_assert_eq!(WardCounts::new(3, &counts).figures(), Figures::of(&counts));
        }

        #[test]
        fn what_is_added_and_taken_away_leaves_nothing(a in counts(), b in counts()) {
            let (mut of_a, mut of_b) = (Sums::default(), Sums::default());
            of_a.add(&WardCounts::new(0, &a));
            of_b.add(&WardCounts::new(1, &b));
            let mut both = of_a;
            both.add_sums(&of_b);
            both.take_away(&of_a);
            prop_assert_eq!(both, of_b);
            both.take_away(&of_b);
            prop_assert_eq!(both.figures(), Figures::default());
        }
    }

    #[test]
    fn an_overfull_ward_does_not_eat_its_neighbours_free_bed() {
        let ward = |staffed, occupied| Counts { staffed, occupied, extras: BTreeMap::new() };
        let mut sums = Sums::default();
        sums.add(&WardCounts::new(0, &ward(10, 14)));
        sums.add(&WardCounts::new(1, &ward(10, 7)));
        let figures = sums.figures();
        assert_eq!((figures.staffed, figures.occupied, figures.available), (Some(20), Some(21), Some(3)));
    }
}
