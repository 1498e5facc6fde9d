//! The laws of a point, over random rules and sequences.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::alert::rules::Rules;
use crate::config::document::Document;

const STAFFED: f64 = 20.0;
const START: u64 = 1_700_000_000_000;

/// Thresholds and durations of a rule; `low` turns it upside down.
#[derive(Debug, Clone, Copy)]
struct Shape {
    low: bool,
    raise: u32,
    clear: u32,
    raise_for: u32,
    clear_for: u32,
    bridge: u32,
    min_beds: u16,
}

impl Shape {
    fn rule(&self) -> Rule {
        let measure = if self.low { "available-ratio" } else { "occupancy" };
        let text = format!(
            "[[rule]]\nname = \"r\"\ntitle = \"T\"\nscope = \"hospital\"\nmeasure = \"{measure}\"\n\
             raise = {{ at = {}, for = \"{}s\" }}\nclear = {{ at = {}, for = \"{}s\" }}\nbridge = \"{}s\"\n\
             min-beds = {}\nseverity = \"warning\"\nresponse = \"Call.\"\n",
            self.raise, self.raise_for, self.clear, self.clear_for, self.bridge, self.min_beds
        );
        let rules = Rules::parse(&Document::of(Path::new("rules.toml"), text)).expect("a good rule");
        rules.at(0).clone()
    }

    /// A value between the thresholds: neither an alarm nor good again. `part` is from 0 to 1.
    fn inside(&self, part: f64) -> f64 {
        let (raise, clear) = (f64::from(self.raise), f64::from(self.clear));
        // Just short of the raise threshold at 1, the clear threshold itself at 0.
        clear + (raise - clear) * part.min(0.999)
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let thresholds = (any::<bool>(), 30u32..70, 1u32..25);
    let times = (prop_oneof![Just(0), 1u32..600], prop_oneof![Just(0), 1u32..600]);
    (thresholds, times, prop_oneof![Just(0), 1u32..200], 0u16..4).prop_map(
        |((low, raise, band), (raise_for, clear_for), bridge, min_beds)| Shape {
            low,
            raise,
            clear: if low { raise + band } else { raise - band },
            raise_for,
            clear_for,
            bridge,
            min_beds,
        },
    )
}

/// Seconds since the observation before, and what is seen.
type Step = (u64, Observation);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![1 => Just(None), 8 => (0u32..=100).prop_map(|n| Some(f64::from(n)))];
    let missing = prop_oneof![6 => Just(0u64), 1 => 1u64..4];
    let step = (0u64..300, value, missing);
    // Values hang on, as they do in a hospital; or nothing would ever last long enough.
    let spell = (step, 1usize..12);
    proptest::collection::vec(spell, 0..30).prop_map(|spells| {
        let of = |((after, value, missing), times): ((u64, Option<f64>, u64), usize)| {
            let seen = Observation { value, staffed: STAFFED, missing };
            std::iter::repeat_n((after, seen), times)
        };
        spells.into_iter().flat_map(of).collect()
    })
}

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// Every observation with its time and what it changed.
fn run(rule: &Rule, point: &mut Point, steps: &[Step]) -> Vec<(Time, Observation, Option<Change>)> {
    let mut now = Time(START);
    let judge = |&(after, seen): &Step| {
        now = now.plus(Duration::from_secs(after));
        (now, seen, point.judge(rule, &seen, None, now))
    };
    steps.iter().map(judge).collect()
}

/// A point whose alarm has just been raised, with nothing missing.
fn raised() -> Point {
    Point { active: true, ..Point::default() }
}

proptest! {
    #[test]
    fn inside_the_deadband_nothing_changes(
        shape in shapes(),
        parts in proptest::collection::vec((0u64..2000, 0.0..1.0f64, 0u64..3), 0..60),
    ) {
        let rule = shape.rule();
        let inside = |&(after, part, missing): &(u64, f64, u64)| {
            (after, Observation { value: Some(shape.inside(part)), staffed: STAFFED, missing })
        };
        let steps: Vec<Step> = parts.iter().map(inside).collect();
        for (mut point, stands) in [(raised(), true), (Point::default(), false)] {
            prop_assert!(run(&rule, &mut point, &steps).iter().all(|(.., change)| change.is_none()));
            prop_assert_eq!(point.active, stands);
        }
    }

    #[test]
    fn it_clears_only_where_good_has_lasted_and_nothing_more_is_missing(shape in shapes(), steps in steps()) {
        let rule = shape.rule();
        let mut point = Point::default();
        let seen = run(&rule, &mut point, &steps);
        let mut raised_at = None;
        for (i, (now, observation, change)) in seen.iter().enumerate() {
            match change {
                Some(Change::Raised) => {
                    prop_assert_eq!(raised_at.replace(i), None, "raised twice");
                }
                Some(Change::Cleared) => {
                    let from: usize = raised_at.take().expect("only what was raised clears");
                    // The good spell that ends here has to be long enough.
                    let missing = seen[from].1.missing;
                    let good = |o: &Observation| {
                        o.value.is_some_and(|v| rule.clears(v, o.staffed)) && (o.missing == 0 || o.missing == missing)
                    };
                    prop_assert!(good(observation));
                    let spell = seen[from + 1..=i].iter().rev().take_while(|(_, o, _)| good(o)).last();
                    let (since, ..) = spell.expect("the last one is good");
                    prop_assert!(now.since(*since) >= secs(shape.clear_for));
                }
                None => {}
            }
        }
        prop_assert_eq!(point.active, raised_at.is_some());
    }

    #[test]
    fn what_was_missing_and_came_back_may_not_go_missing_again(shape in shapes(), missing in 1u64..9, after in 700u64..5000) {
        let rule = shape.rule();
        let good = if shape.low { 100.0 } else { 0.0 };
        let worst = if shape.low { 0.0 } else { 100.0 };
        let see = |value, missing| Observation { value: Some(value), staffed: STAFFED, missing };
        let mut point = Point { active: true, missing, ..Point::default() };
        let mut steps = vec![(0, see(worst, 0))];
        steps.extend([(after, see(good, missing)); 20]);
        prop_assert!(run(&rule, &mut point, &steps).iter().all(|(.., change)| change.is_none()));
        // What was missing from the start may stay so.
        let mut point = Point { active: true, missing, ..Point::default() };
        let cleared = run(&rule, &mut point, &steps[1..]).iter().any(|(.., change)| *change == Some(Change::Cleared));
        prop_assert!(cleared);
    }

    #[test]
    fn it_raises_only_at_what_raises_and_has_lasted(shape in shapes(), steps in steps(), bridged in any::<bool>()) {
        let shape = Shape { bridge: if bridged { shape.bridge } else { 0 }, ..shape };
        let rule = shape.rule();
        let mut point = Point::default();
        let seen = run(&rule, &mut point, &steps);
        let mut idle_from = 0;
        for (i, (now, observation, change)) in seen.iter().enumerate() {
            match change {
                Some(Change::Cleared) => idle_from = i + 1,
                Some(Change::Raised) => {
                    let raises = |o: &Observation| o.value.is_none_or(|v| rule.raises(v));
                    prop_assert!(observation.value.is_some_and(|v| rule.raises(v)));
                    if shape.bridge == 0 {
                        let spell = seen[idle_from..=i].iter().rev().take_while(|(_, o, _)| raises(o));
                        let since = spell.filter(|(_, o, _)| o.value.is_some()).last().expect("itself").0;
                        prop_assert!(now.since(since) >= secs(shape.raise_for));
                    }
                }
                None => {}
            }
        }
    }

    #[test]
    fn what_raises_for_long_enough_does_raise_and_what_is_good_does_clear(shape in shapes(), n in 1u64..20) {
        let rule = shape.rule();
        let (worst, good) = if shape.low { (0.0, 100.0) } else { (100.0, 0.0) };
        let mut point = Point::default();
        for (value, hold, change) in [(worst, shape.raise_for, Change::Raised), (good, shape.clear_for, Change::Cleared)] {
            let see = Observation { value: Some(value), staffed: STAFFED, missing: 0 };
            let step = u64::from(hold).div_ceil(n).max(1);
            let steps: Vec<Step> = (0..=n).map(|_| (step, see)).collect();
            let changes: Vec<Change> = run(&rule, &mut point, &steps).iter().filter_map(|(.., change)| *change).collect();
            prop_assert_eq!(changes, vec![change]);
        }
    }

    #[test]
    fn what_is_unknown_changes_nothing(shape in shapes(), before in steps(), gaps in proptest::collection::vec((0u64..9000, 0u64..3), 1..40)) {
        let rule = shape.rule();
        let mut point = Point::default();
        let stands = run(&rule, &mut point, &before).last().map_or(Time(START), |(now, ..)| *now);
        let (active, mut now) = (point.active, stands);
        for (after, missing) in gaps {
            now = now.plus(Duration::from_secs(after));
            let seen = Observation { value: None, staffed: STAFFED, missing };
            prop_assert_eq!(point.judge(&rule, &seen, None, now), None);
            prop_assert_eq!(point.active, active);
        }
    }

    #[test]
    fn clearing_needs_the_distance_of_so_many_beds(shape in shapes(), staffed in 1u32..60, beds in 0u32..60) {
        let rule = shape.rule();
        let value = (100.0 * f64::from(beds) / f64::from(staffed)).min(100.0);
        let seen = Observation { value: Some(value), staffed: f64::from(staffed), missing: 0 };
        let mut point = raised();
        let steps = [(0, seen), (1000, seen)];
        let cleared = run(&rule, &mut point, &steps).iter().any(|(.., change)| *change == Some(Change::Cleared));
        let (past, points) = if shape.low {
            (value > f64::from(shape.clear), value - f64::from(shape.raise))
        } else {
            (value < f64::from(shape.clear), f64::from(shape.raise) - value)
        };
        let distance = points * f64::from(staffed) / 100.0;
        prop_assert_eq!(cleared, past && distance >= f64::from(shape.min_beds) - 1e-6);
    }

    #[test]
    fn what_is_told_to_leave_a_point_unmoved_does(shape in shapes(), steps in steps()) {
        let rule = shape.rule();
        let (mut point, mut now) = (Point::default(), Time(START));
        for (after, seen) in steps {
            now = now.plus(Duration::from_secs(after));
            let (before, unmoved) = (point, point.is_unmoved_by(&rule, &seen));
            let change = point.judge(&rule, &seen, None, now);
            prop_assert!(!unmoved || (change.is_none() && point == before), "{before:?} by {seen:?}");
            if before.is_at_rest() && seen.value.is_none_or(|value| !rule.raises(value)) {
                prop_assert!(unmoved, "a point at rest need not be read");
            }
        }
    }

    #[test]
    fn a_point_that_is_remembered_goes_on_as_if_nothing_had_been(shape in shapes(), steps in steps(), cut in 0usize..300) {
        let rule = shape.rule();
        let (mut whole, mut broken) = (Point::default(), Point::default());
        let mut now = Time(START);
        for (i, &(after, seen)) in steps.iter().enumerate() {
            if i == cut {
                let text = serde_json::to_string(&broken).expect("numbers");
                let read: Point = serde_json::from_str(&text).expect("its own form");
                broken = read.standing(broken.active);
            }
            now = now.plus(Duration::from_secs(after));
            prop_assert_eq!(whole.judge(&rule, &seen, None, now), broken.judge(&rule, &seen, None, now));
            prop_assert_eq!(whole, broken);
        }
    }
}
