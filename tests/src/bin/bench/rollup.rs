//! What a report costs the live picture at 100 and at 10,000 hospitals.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vardpuls_aggregator::live::Live;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::verify::{Verified, VerifiedReport, verify};
use vardpuls_shared::topic::Topic;

use crate::fixture::{Hospital, NOW, hospitals, median, registry};
use crate::table::{Bar, Row};

const ROUNDS: u64 = 5;

pub(crate) fn measure() -> Vec<Row> {
    let [few, many] = [100, 10_000].map(cost);
    vec![Row {
        what: "merge and rollup of a report, 25 wards, 10,000 hospitals".into(),
        value: format!("{many:.0} ns"),
        beside: format!("{few:.0} ns at 100"),
        ratio: Some(many / few),
        bar: Some(Bar::AtMost(2.5)),
    }]
}

/// Nanoseconds a report: the median over rounds in which every hospital reports.
fn cost(n: usize) -> f64 {
    let hospitals = hospitals(n);
    let registry = registry(&hospitals);
    let mut live = Live::new(Arc::new(Nation::sweden()), &registry, Duration::from_mins(1));
    for h in &hospitals {
        let topic = Topic::Roster(h.id.clone());
        let Ok(Verified::Roster(roster)) = verify(&registry, NOW, &topic, &h.signed_roster()) else {
            panic!("a fixture's roster verifies")
        };
        live.apply_roster(&roster, NOW);
    }
    let report = |h: &Hospital, sequence| -> VerifiedReport {
        let topic = Topic::Report(h.id.clone());
        match verify(&registry, NOW, &topic, &h.signed_report(sequence, NOW)) {
            Ok(Verified::Report(report)) => report,
            other => panic!("a fixture's report verifies, not {other:?}"),
        }
    };
    // Few hospitals report as often as many, so that both sides are timed over as many reports.
    let each = (10_000 / n) as u64;
    let mut costs = Vec::new();
    for round in 0..=ROUNDS {
        let mut spent = Duration::ZERO;
        for step in 0..each {
            let reports: Vec<_> = hospitals.iter().map(|h| report(h, 1 + round * each + step)).collect();
            let start = Instant::now();
            for report in &reports {
                black_box(live.apply(report, NOW));
            }
            spent += start.elapsed();
            black_box(live.take_dirty());
        }
        // The first round fills the picture and the caches.
        if round > 0 {
            costs.push(spent.as_secs_f64() * 1e9 / 10_000.0);
        }
    }
    median(costs)
}
