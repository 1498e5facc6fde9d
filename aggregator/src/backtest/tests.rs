//! Made-up days, judged.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Figures};
use vardpuls_shared::topic::Scope;

use super::baseline::{Plain, grid};
use super::episode::{Span, episodes};
use super::history::{Beds, History, Sample, Series};
use super::picture::course::course;
use super::picture::scatter::scatter;
use super::replay::{Run, replay};
use super::score::Tally;
use super::verdict::judge;
use crate::alert::rules::Rules;
use crate::config::StoreConfig;
use crate::config::document::Document;
use crate::store::{self, Batch, Store};

const RULES: &str = r#"
[[rule]]
name = "full"
title = "Full <nearly>"
scope = "region"
measure = "occupancy"
raise = { at = 90, for = "90m" }
clear = { at = 85, for = "90m" }
severity = "notice"
response = "Look."

[[rule]]
name = "free"
title = "Few are free"
scope = "region"
measure = "available"
raise = { at = 1, for = "0s" }
clear = { at = 2, for = "0s" }
min-staffed = 50
severity = "notice"
response = "Look."

[[rule]]
name = "boarders"
title = "Many wait"
scope = "region"
measure = "boarders"
raise = { at = 5, for = "0s" }
clear = { at = 2, for = "0s" }
severity = "notice"
response = "Look."
"#;

fn rules() -> Rules {
    Rules::parse(&Document::of(Path::new("rules.toml"), RULES)).expect("rules")
}

fn at(minutes: u64) -> Time {
    Time(1_700_000_000_000 + minutes * 60_000)
}

fn span(from: u64, to: u64) -> Span {
    Span { from: at(from), to: at(to) }
}

/// A region of 100 beds, by (minute, occupied).
fn series(samples: &[(u64, Option<u32>)]) -> Series {
    let sample = |&(minute, occupied): &(u64, Option<u32>)| Sample {
        time: at(minute),
        beds: occupied.and_then(|occupied| Beds::of(100.0, occupied.into())),
    };
    Series::new("region/01".into(), None, samples.iter().map(sample).collect())
}

/// The same by hour.
fn hours(occupied: &[u32]) -> Series {
    series(&occupied.iter().zip(0..).map(|(&occupied, hour)| (hour * 60, Some(occupied))).collect::<Vec<_>>())
}

fn run(rule: &str, series: &Series) -> Run {
    let rules = rules();
    replay(rules.at(rules.place(rule).expect("a rule")), &rules, series)
}

fn found(series: &Series) -> Vec<Span> {
    episodes(rules().at(0), series, &run("full", series).values)
}

#[test]
fn a_store_is_read_while_it_is_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig { path: folder.path().join("v.db"), ..StoreConfig::default() };
    let sample = |minute, occupied| {
        let total = Figures { staffed: Some(10), occupied: Some(occupied), available: Some(3), ..Figures::default() };
        let care = BTreeMap::from([(CareType::Icu, Figures::default())]);
        store::Sample { scope: Scope::Nation, time: at(minute), total, care, coverage: Coverage::default() }
    };
    let batch = Batch { samples: vec![sample(5, 9), sample(0, 8)], ..Batch::default() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let open = runtime.block_on(Store::open(&config)).expect("opens");
    runtime.block_on(open.commit(&batch)).expect("stores");

    let load = |care| History::load(&config.path, &TimeZone::UTC, care).expect("reads");
    let [all, icu] = &load(None).series[..] else { panic!("all beds, and those of intensive care") };
    assert_eq!((all.care, icu.care, all.step), (None, Some(CareType::Icu), Duration::from_mins(5)));
    let beds = Beds { staffed: 10.0, occupied: 8.0, available: 3.0 };
    assert_eq!(all.samples[0], Sample { time: at(0), beds: Some(beds) }, "available as recorded");
    assert_eq!(icu.samples[1].beds, None);
    assert_eq!(load(Some(CareType::Icu)).series.len(), 1);
    let none = History::load(&config.path, &TimeZone::UTC, Some(CareType::Burn)).expect_err("no such beds");
    assert!(none.to_string().ends_with("has no samples of burn"), "{none}");
}

#[test]
fn gaps_are_closed_before_short_runs_are_dropped() {
    let (high, low) = (95, 50);
    let three_and_three = [&[low][..], &[high; 3], &[low; 5], &[high; 3], &[low; 6], &[high; 5], &[low]].concat();
    assert_eq!(found(&hours(&three_and_three)), [span(60, 12 * 60)], "the last five hours are too short");
    let apart = [&[high; 6][..], &[low; 6], &[high; 6]].concat();
    assert_eq!(found(&hours(&apart)), [span(0, 6 * 60), span(12 * 60, 18 * 60)], "six hours are no gap to close");
}

#[test]
fn recorded_hours_may_jitter() {
    // Six samples, 59 minutes apart but for one.
    let minutes = [0, 59, 118, 177, 236, 295, 354];
    let jitter: Vec<_> = minutes.iter().map(|&minute| (minute, Some(if minute < 354 { 95 } else { 50 }))).collect();
    assert_eq!(found(&series(&jitter)), [span(0, 354)]);
}

#[test]
fn a_sample_holds_for_three_steps_where_none_follows() {
    let samples: Vec<_> = [0, 60, 120, 180, 1000, 1060].map(|minute| (minute, Some(95))).to_vec();
    assert_eq!(found(&series(&samples)), [span(0, 180 + 180)], "and the last one for a step");
    let unknown: Vec<_> = (0..8).map(|hour| (hour * 60, (hour != 4).then_some(95))).collect();
    assert_eq!(found(&series(&unknown)), [span(0, 8 * 60)], "an hour of which nothing is known is a gap");
}

#[test]
fn a_point_is_judged_when_it_is_due_between_two_samples() {
    let run = run("full", &hours(&[50, 95, 95, 95, 50, 50, 50]));
    assert_eq!(run.values[1], Some(95.0));
    assert_eq!(run.alarms, [span(60 + 90, 4 * 60 + 90)]);
}

#[test]
fn missing_data_never_clears_and_never_raises() {
    let gap = |before: u32, after: u32| {
        let samples = [(0, before), (60, before), (120, before), (1000, after), (1060, after), (1120, after)];
        run("full", &series(&samples.map(|(minute, occupied)| (minute, Some(occupied))))).alarms
    };
    assert_eq!(gap(95, 95), [span(90, 1180)], "it stands through the gap");
    // Clear since 1000, not since before.
    assert_eq!(gap(95, 50), [span(90, 1090)]);
    let one = series(&[(0, Some(50)), (60, Some(50)), (120, Some(50)), (180, Some(95)), (200, None), (260, Some(50))]);
    assert_eq!(run("full", &one).alarms, [], "what was high for twenty minutes is not high for ninety");
}

#[test]
fn less_is_worse_where_beds_are_counted_and_small_places_are_not_judged() {
    let few = hours(&[99, 100, 97, 97]);
    assert_eq!(run("free", &few).alarms, [span(0, 120)]);
    let mut small = few.clone();
    small.samples.iter_mut().for_each(|sample| sample.beds = Beds::of(40.0, 40.0));
    let Run { values, alarms } = run("free", &small);
    assert!(values.iter().all(Option::is_none) && alarms.is_empty());
}

#[test]
fn plain_rules_wait_keep_and_clear_as_prometheus_does() {
    let rules = rules();
    let series = hours(&[95, 50, 95, 95, 95, 88, 88, 80, 95, 80, 80, 80]);
    let plain = |for_hours, keep_firing_for_hours, clear_band| {
        let plain = Plain { for_hours, keep_firing_for_hours, clear_band };
        plain.alarms(rules.at(0), &series, &run("full", &series).values)
    };
    assert_eq!(plain(0, 0, 0), [span(0, 60), span(120, 300), span(480, 540)]);
    assert_eq!(plain(2, 0, 0), [span(240, 300)]);
    assert_eq!(plain(2, 2, 0), [span(240, 420)], "two clear hours");
    assert_eq!(plain(2, 0, 5), [span(240, 420)], "88 lies in the band");
    assert_eq!(plain(2, 2, 5), [span(240, 660)]);
    assert_eq!((grid(Duration::from_hours(1)).len(), grid(Duration::from_hours(24)).len()), (100, 150));
}

#[test]
fn alarms_are_held_against_episodes() {
    let episodes = [span(0, 600), span(1200, 1800), span(4000, 4600)];
    // Two in the first, one that is false, one that chatters, one over the second that came before it.
    let alarms = [span(60, 120), span(180, 240), span(700, 800), span(900, 2000)];
    let all = span(0, 6000);
    let mut tally = Tally::default();
    tally.add(&alarms, &episodes, all);
    let score = tally.score(all);
    assert_eq!((score.episodes, score.found, score.alarms, score.false_alarms), (3, 2, 4, 1));
    assert_eq!(score.alarms_per_episode, Some(1.0), "three pairs by three episodes");
    assert_eq!((score.delay_median_hours, score.delay_mean_hours), (Some(0.5), Some(0.5)), "0 and 1 h");
    assert_eq!(score.raised_again_within_6_hours, 2, "after 1 h and 100 min, and not after 460");
    assert_eq!((score.raised_thrice_within_24_hours, score.chattering), (2, 4));
    assert_eq!((score.standing_hours, score.episode_hours), (1320.0 / 60.0, 30.0));
    let mut later = Tally::default();
    later.add(&alarms, &episodes, span(1000, 6000));
    let later = later.score(span(1000, 6000));
    assert_eq!((later.episodes, later.found, later.alarms), (2, 1, 0), "by their beginnings");
}

#[test]
fn a_report_says_who_beats_whom_and_what_was_not_judged() {
    // Half of the rises last: only who waits has no false alarm, only who does not is in time.
    let day = [&[50; 3][..], &[95; 8], &[50; 8], &[95; 1], &[50; 4]].concat();
    let history = History { series: vec![hours(&day.repeat(3))], by_care: false };
    let (from, to) = history.span();
    let report = judge(&rules(), &history, Span { from, to });
    assert_eq!(report.not_judged.len(), 1);
    let full = &report.rules[0];
    assert_eq!((full.score.episodes, full.score.found, full.score.false_alarms), (3, 3, 0));
    assert_eq!(full.front, ["for 0 h, keep 0 h, band 0", "for 1 h, keep 0 h, band 0"]);
    assert!(full.beaten_by.is_empty());
    assert!(full.dominated_by.contains(&"for 1 h, keep 0 h, band 0".to_owned()), "an hour is enough here");
    let text = report.to_string();
    for expected in ["1 series, 72 samples (0 unknown)", "\nfull ", "  plain: for 1 h, keep 0 h", "boarders "] {
        assert!(text.contains(expected), "{expected} in {text}");
    }

    let picture = scatter(full).expect("a delay");
    assert_eq!(picture.matches("<circle").count(), 1 + 100);
    let picture = course(rules().at(0), &rules(), &history.series[0], Span { from, to });
    assert!(picture.contains("<desc id=\"description\">occupancy of region/01 from 2023-11-14T22:13:20.000Z"));
    assert!(picture.contains("3 episodes and 3 alarms of the rule full, raised at 90 or more."), "{picture}");
}
