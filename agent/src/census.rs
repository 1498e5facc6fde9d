//! The census: what is known of each ward now, from all sources together.
//!
//! In: observations, each replacing its source's last one. Out: a [`Snapshot`]. Pure: the same last
//! observations give the same snapshot, in whichever order they came.
//!
//! # How sources are joined
//! By ward and by field. Where several sources give the same field of the same ward, the one that
//! was observed last wins; of two of the same time the one that stands first in the config.
//! `staffed` falls back to the ward's constant. A ward without both `staffed` and `occupied` is
//! absent: unknown is never zero. Observations that are older than their source's `max-age` are
//! not vouched for.
//!
//! Small wards that the config joins to a group are one in the snapshot: see [`crate::grouping`].
//!
//! A snapshot's time is the oldest among its patient counts; staffing files change once a day and
//! do not make it old.

use std::collections::BTreeMap;
use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Counts, Extra};
use vardpuls_shared::hospital::WardId;

use crate::config::{SourceConfig, WardConfig};
use crate::grouping::Grouping;
use crate::source::{Observation, WardObservation};

/// What can be reported: the counts of every ward that the sources vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The oldest time among the patient counts in it; where it has none, that of the newest observation.
    pub observed_at: Time,
    /// By roster index.
    pub wards: BTreeMap<u16, Counts>,
}

/// The census of one hospital.
#[derive(Debug, Clone)]
pub struct Census {
    wards: Vec<Ward>,
    sources: Vec<Source>,
    grouping: Grouping,
}

#[derive(Debug, Clone)]
struct Ward {
    index: u16,
    id: WardId,
    staffed: Option<u16>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    max_age: Option<Duration>,
    gives_occupied: bool,
    last: Option<Observation>,
}

impl Census {
    /// A census in which nothing was observed yet.
    pub fn new(wards: &[WardConfig], sources: &[SourceConfig]) -> Census {
        let ward = |w: &WardConfig| Ward { index: w.ward.index, id: w.ward.id.clone(), staffed: w.staffed };
        let source = |s: &SourceConfig| Source {
            name: s.name.clone(),
            max_age: s.max_age,
            gives_occupied: s.gives_occupied(),
            last: None,
        };
        Census {
            wards: wards.iter().filter(|w| !w.is_group()).map(ward).collect(),
            sources: sources.iter().map(source).collect(),
            grouping: Grouping::new(wards),
        }
    }

    /// Takes a source's observation in place of its last one. A source that the config does not name is ignored.
    pub fn update(&mut self, source: &str, observation: Observation) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.name == source) {
            source.last = Some(observation);
        }
    }

    /// What can be reported; none until a source that counts patients was read.
    pub fn counts(&self, now: Time) -> Option<Snapshot> {
        let newest =
            self.sources.iter().filter(|s| s.gives_occupied).filter_map(|s| s.last.as_ref()).map(|o| o.at).max()?;
        let mut oldest: Option<Time> = None;
        let mut wards = BTreeMap::new();
        for ward in &self.wards {
            let seen: Vec<&WardObservation> =
                self.sources.iter().filter_map(|source| source.vouches_for(&ward.id, now)).collect();
            let occupied = last(&seen, |w| w.occupied);
            let staffed = last(&seen, |w| w.staffed).map(|(_, n)| n).or(ward.staffed);
            if let (Some((at, occupied)), Some(staffed)) = (occupied, staffed) {
                oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
                wards.insert(ward.index, Counts { staffed, occupied, extras: extras(&seen) });
            }
        }
        Some(Snapshot { observed_at: oldest.unwrap_or(newest), wards: self.grouping.merge(&wards) })
    }
}

impl Source {
    fn vouches_for(&self, ward: &WardId, now: Time) -> Option<&WardObservation> {
        let seen = self.last.as_ref()?.wards.get(ward)?;
        let too_old = self.max_age.is_some_and(|most| now.since(seen.at) > most);
        (!too_old).then_some(seen)
    }
}

/// The field's value that was observed last, and when.
fn last(seen: &[&WardObservation], field: impl Fn(&WardObservation) -> Option<u16>) -> Option<(Time, u16)> {
    // Reversed, because `max_by_key` takes the last of equals and the config's first shall win.
    seen.iter().rev().filter_map(|w| Some((w.at, field(w)?))).max_by_key(|(at, _)| *at)
}

/// Every extra that is not zero.
fn extras(seen: &[&WardObservation]) -> BTreeMap<Extra, u16> {
    let mut extras = BTreeMap::new();
    for extra in seen.iter().flat_map(|w| w.extras.keys()) {
        if let Some((_, count @ 1..)) = last(seen, |w| w.extras.get(extra).copied()) {
            extras.insert(*extra, count);
        }
    }
    extras
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    /// Two wards; `beds` and `more` count patients, `staff` counts staffed beds only.
    fn config() -> Config {
        let text = r#"
            hospital = "h"
            name = "H"
            region = "01"
            state-dir = "s"
            key-file = "k"
            centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
            broker = { url = "mqtt://localhost" }
            ward = [
                { index = 4, id = "a", name = "A", care = "icu", staffed = 10 },
                { index = 7, id = "b", name = "B", care = "general" },
            ]
            source = [
                { name = "beds", kind = "csv", path = "b", columns = { ward = "w", occupied = "o" }, max-age = "10m" },
                { name = "more", kind = "csv", path = "m", columns = { ward = "w", occupied = "o", blocked = "b" } },
                { name = "staff", kind = "csv", path = "t", columns = { ward = "w", staffed = "s" } },
            ]
        "#;
        Config::parse(Path::new("agent.toml"), text).expect("right")
    }

    fn census() -> Census {
        let config = config();
        Census::new(&config.wards, &config.sources)
    }

    fn ward(at: u64, staffed: Option<u16>, occupied: Option<u16>) -> WardObservation {
        WardObservation { at: Time(at), staffed, occupied, extras: BTreeMap::new() }
    }

    fn observation<const N: usize>(at: u64, wards: [(&str, WardObservation); N]) -> Observation {
        let wards = wards.into_iter().map(|(id, ward)| (id.parse().expect("an id"), ward)).collect();
        Observation { at: Time(at), wards, ..Observation::default() }
    }

    const NOW: Time = Time(1_000_000);

    #[test]
    fn staffed_comes_from_a_source_else_from_the_config_and_a_ward_without_it_is_absent() {
        let mut c = census();
        assert_eq!(c.counts(NOW), None);
        c.update("staff", observation(1, [("b", ward(1, Some(20), None))]));
        assert_eq!(c.counts(NOW), None, "no patients were counted yet");
        c.update(
            "beds",
            observation(NOW.0, [("a", ward(NOW.0, None, Some(9))), ("b", ward(NOW.0 - 5, None, Some(21)))]),
        );
        let snapshot = c.counts(NOW).expect("beds was read");
        assert_eq!((snapshot.wards[&4].staffed, snapshot.wards[&4].occupied), (10, 9));
        assert_eq!((snapshot.wards[&7].staffed, snapshot.wards[&7].occupied), (20, 21));
        assert_eq!(snapshot.observed_at, Time(NOW.0 - 5), "the oldest patient count; the staffing file is no matter");
        c.update("staff", observation(2, []));
        assert_eq!(c.counts(NOW).expect("still").wards.keys().collect::<Vec<_>>(), [&4]);
    }

    #[test]
    fn a_read_replaces_a_source_as_a_whole() {
        let mut c = census();
        c.update("beds", observation(NOW.0, [("a", ward(NOW.0, None, Some(9)))]));
        c.update("beds", observation(NOW.0 + 1, []));
        assert_eq!(c.counts(NOW), Some(Snapshot { observed_at: Time(NOW.0 + 1), wards: BTreeMap::new() }));
    }

    #[test]
    fn what_is_too_old_is_not_vouched_for() {
        let mut c = census();
        c.update("beds", observation(NOW.0, [("a", ward(NOW.0, None, Some(9)))]));
        let last = NOW.plus(Duration::from_mins(10));
        assert_eq!(c.counts(last).expect("read").wards.len(), 1);
        assert_eq!(c.counts(last.plus(Duration::from_millis(1))).expect("read").wards.len(), 0);
    }

    #[test]
    fn the_later_of_two_wins_by_field_and_of_equals_the_first_in_the_config() {
        let mut c = census();
        let mut more = ward(50, None, Some(3));
        more.extras = [(Extra::BLOCKED, 2), (Extra::ECMO, 0)].into();
        c.update("more", observation(50, [("a", more)]));
        c.update("beds", observation(60, [("a", ward(60, None, Some(4)))]));
        let extras: BTreeMap<Extra, u16> = [(Extra::BLOCKED, 2)].into();
        assert_eq!(
            c.counts(NOW.minus(Duration::from_mins(15))).expect("read").wards[&4],
            Counts { staffed: 10, occupied: 4, extras }
        );
        c.update("more", observation(60, [("a", ward(60, None, Some(5)))]));
        assert_eq!(c.counts(Time(60)).expect("read").wards[&4].occupied, 4);
        c.update("more", observation(61, [("a", ward(61, None, Some(5)))]));
        assert_eq!(c.counts(Time(60)).expect("read").wards[&4].occupied, 5);
    }

    prop_compose! {
        fn any_ward()(at in 0u64..1_000_000, staffed: Option<u8>, occupied: Option<u8>,
            extras in prop::collection::btree_map((1u16..4).prop_map(Extra), 0u16..9, 0..3)) -> WardObservation {
            WardObservation { at: Time(at), staffed: staffed.map(u16::from), occupied: occupied.map(u16::from), extras }
        }
    }

    prop_compose! {
        fn any_observation()(at in 0u64..1_000_000,
            wards in prop::collection::btree_map(prop::sample::select(vec!["a", "b", "x"]), any_ward(), 0..3)) -> Observation {
            let wards = wards.into_iter().map(|(id, ward)| (id.parse().expect("an id"), ward)).collect();
            Observation { at: Time(at), wards, ..Observation::default() }
        }
    }

    proptest! {
        #[test]
        fn the_order_of_sources_updates_does_not_matter(
            rounds in prop::collection::vec((0usize..3, any_observation()), 0..12), now in 0u64..2_000_000, seed: u64) {
            let names = ["beds", "more", "staff"];
            let mut one = census();
            for (source, observation) in &rounds {
                one.update(names[*source], observation.clone());
            }
            // The same rounds, sources interleaved in another way; each source keeps its own order.
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut queues: Vec<Vec<&Observation>> =
                (0..3).map(|n| rounds.iter().rev().filter(|(s, _)| *s == n).map(|(_, o)| o).collect()).collect();
            let mut other = census();
            while let Some(source) = rng.choice((0..3).filter(|&n| !queues[n].is_empty()).collect::<Vec<_>>()) {
                let next = queues[source].pop().expect("not empty");
                other.update(names[source], next.clone());
            }
            let now = Time(now);
            prop_assert_eq!(one.counts(now), other.counts(now));
            // And nothing is made up: every ward reported has a patient count that some source gives.
            for (index, counts) in one.counts(now).map(|s| s.wards).unwrap_or_default() {
                let id = if index == 4 { "a" } else { "b" };
                let given = rounds.iter().any(|(_, o)| o.wards.iter().any(|(w, seen)|
                    w.as_str() == id && seen.occupied == Some(counts.occupied)));
                prop_assert!(given);
            }
        }
    }
}
