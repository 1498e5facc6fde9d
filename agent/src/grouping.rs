//! Which wards the centre sees, and how small wards become one: so that no change of a count tells of one patient.
//!
//! In: counts by ward. Out: counts by published ward. Pure. A group is a ward that is made of others: its counts are
//! their sums, and the wards that it is made of are not published at all. Nothing is ever hidden that could be
//! worked out from a total, because there is no total that a hidden ward is part of. A member that nobody vouches
//! for makes its group unknown: a sum without it would look whole.
//!
//! The price: inside a group an overfull ward eats its neighbour's free beds, as staffed and occupied are all that is left.

use std::collections::BTreeMap;

use vardpuls_shared::count::{Counts, MAX_COUNT, MAX_EXTRAS};
use vardpuls_shared::hospital::WardId;

use crate::config::WardConfig;

/// Which wards are published, and what each is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Roster indices: a published ward, and the wards it is made of; itself where it is no group.
    published: BTreeMap<u16, Vec<u16>>,
}

impl Grouping {
    /// The grouping of a hospital's wards.
    pub fn new(wards: &[WardConfig]) -> Grouping {
        let index = |id: &WardId| wards.iter().find(|w| w.ward.id == *id).map(|w| w.ward.index);
        let parts = |w: &WardConfig| match w.members.as_slice() {
            [] => vec![w.ward.index],
            members => members.iter().filter_map(index).collect(),
        };
        let published = published(wards).map(|w| (w.ward.index, parts(w))).collect();
        Grouping { published }
    }

    /// Counts of the published wards, out of counts of all.
    pub fn merge(&self, counts: &BTreeMap<u16, Counts>) -> BTreeMap<u16, Counts> {
        let of = |parts: &[u16]| parts.iter().map(|part| counts.get(part)).collect::<Option<Vec<_>>>();
        let published = self.published.iter();
        published.filter_map(|(&ward, parts)| Some((ward, sum(&of(parts)?)?))).collect()
    }
}

/// The wards that the centre sees: those that are no part of a group.
pub fn published(wards: &[WardConfig]) -> impl Iterator<Item = &WardConfig> {
    wards.iter().filter(|w| !wards.iter().any(|group| group.members.contains(&w.ward.id)))
}

/// None where a sum is more than a ward can have.
fn sum(parts: &[&Counts]) -> Option<Counts> {
    let fits = |sum: u64| u16::try_from(sum).ok().filter(|&sum| sum <= MAX_COUNT);
    let add = |of: &dyn Fn(&Counts) -> u16| fits(parts.iter().map(|counts| u64::from(of(counts))).sum());
    let mut extras = BTreeMap::new();
    for extra in parts.iter().flat_map(|counts| counts.extras.keys()) {
        extras.insert(*extra, add(&|counts| counts.extra(*extra))?);
    }
    let counts = Counts { staffed: add(&|counts| counts.staffed)?, occupied: add(&|counts| counts.occupied)?, extras };
    (counts.extras.len() <= MAX_EXTRAS).then_some(counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vardpuls_shared::care::CareType;
    use vardpuls_shared::count::Extra;
    use vardpuls_shared::roster::Ward;

    use super::*;

    fn ward(index: u16, members: &[u16]) -> WardConfig {
        let id = |index: &u16| format!("w{index}").parse().expect("an id");
        let ward = Ward {
            index,
            id: id(&index),
            name: "W".into(),
            care: CareType::General,
            place: None,
            capabilities: Vec::new(),
            contact: None,
        };
        WardConfig { ward, staffed: None, members: members.iter().map(id).collect() }
    }

    fn counts(staffed: u16, occupied: u16, blocked: u16) -> Counts {
        Counts { staffed, occupied, extras: [(Extra::BLOCKED, blocked)].into() }
    }

    #[test]
    fn a_group_has_the_sums_of_its_members_and_they_are_not_published() {
        let wards = [ward(1, &[]), ward(2, &[]), ward(3, &[]), ward(9, &[1, 3])];
        let grouping = Grouping::new(&wards);
        let mut all: BTreeMap<u16, Counts> =
            [(1, counts(4, 3, 1)), (2, counts(20, 18, 0)), (3, counts(6, 6, 0))].into();
        assert_eq!(grouping.merge(&all), [(2, counts(20, 18, 0)), (9, counts(10, 9, 1))].into());
        all.remove(&3);
        assert_eq!(grouping.merge(&all), [(2, counts(20, 18, 0))].into(), "an unknown member makes the group unknown");
        all.insert(3, counts(MAX_COUNT, 0, 0));
        assert_eq!(grouping.merge(&all).keys().collect::<Vec<_>>(), [&2], "more than a ward can have is unknown");
    }

    proptest! {
        /// However wards are grouped and whatever is known: nothing is published but sums of whole groups, and where
        /// all is known nothing is lost.
        #[test]
        fn groups_are_sums_of_known_members(
            groups in prop::collection::vec(0u16..4, 1..12),
            known in prop::collection::btree_map(0u16..12, (0u16..200, 0u16..200, 0u16..9), 0..12),
        ) {
            // Group 0 means: published by itself.
            let members = |group: u16| -> Vec<u16> {
                (0u16..).zip(&groups).filter(|(_, of)| **of == group).map(|(ward, _)| ward).collect()
            };
            let mut wards: Vec<WardConfig> = (0u16..).zip(&groups).map(|(index, _)| ward(index, &[])).collect();
            wards.extend((1..4).map(|group| (100 + group, members(group))).filter(|(_, m)| !m.is_empty()).map(|(i, m)| ward(i, &m)));
            let all: BTreeMap<u16, Counts> =
                known.iter().map(|(&ward, &(staffed, occupied, blocked))| (ward, counts(staffed, occupied, blocked))).collect();
            let merged = Grouping::new(&wards).merge(&all);
            for (&index, sums) in &merged {
                let parts = if index < 100 { vec![index] } else { members(index - 100) };
                prop_assert!(index >= 100 || groups[usize::from(index)] == 0, "no member is published");
                let total = |of: fn(&Counts) -> u16| parts.iter().map(|part| of(&all[part])).sum::<u16>();
                prop_assert_eq!(sums.staffed, total(|c| c.staffed));
                prop_assert_eq!(sums.occupied, total(|c| c.occupied));
                prop_assert_eq!(sums.extra(Extra::BLOCKED), total(|c| c.extra(Extra::BLOCKED)));
            }
            let whole = (0u16..).zip(&groups).all(|(ward, _)| all.contains_key(&ward));
            if whole {
                let within = |ward: &u16| usize::from(*ward) < groups.len();
                let before: u32 = all.iter().filter(|(ward, _)| within(ward)).map(|(_, c)| u32::from(c.occupied)).sum();
                prop_assert_eq!(merged.values().map(|c| u32::from(c.occupied)).sum::<u32>(), before);
            }
        }
    }
}
