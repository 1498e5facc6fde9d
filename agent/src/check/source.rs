//! Each source, read once with the counts that it gives, and what they give together.

use std::time::Duration;

use tokio::time::timeout;
use vardpuls_shared::clock::{Clock, Time};

use crate::census::Snapshot;
use crate::config::{Config, SourceConfig};
use crate::grouping;
use crate::preview::Reading;
use crate::source;

use super::finding::{Finding, Level};

const MEND: &str = "have it mended in the exporting system, or correct the [[source]] in the config";
const REPORT: &str = "report";
/// A source that takes longer is of no use to a report a minute.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one source; the reading is for what they give together.
pub(super) async fn read(config: &SourceConfig, clock: &Clock) -> (Vec<Finding>, Option<Reading>) {
    let Ok(result) = timeout(PATIENCE, source::read_once(config, clock)).await else {
        let what = format!("not read within {} s", PATIENCE.as_secs());
        let remedy = "look at the file server or the service behind it: it hangs";
        return (vec![Finding::failed(&format!("source {}", config.name), what, remedy)], None);
    };
    let reading = Reading { source: config.name.clone(), result };
    (told(&reading), Some(reading))
}

fn told(reading: &Reading) -> Vec<Finding> {
    let step = format!("source {}", reading.source);
    let step = step.as_str();
    let seen = match &reading.result {
        Ok(seen) => seen,
        Err(e) => return vec![Finding::of(step, Level::Failed, e).or_remedy(MEND)],
    };
    let mut findings = Vec::new();
    if seen.wards.is_empty() {
        findings.push(Finding::warning(
            step,
            "gives counts for no ward",
            "see the other findings; else compare [source.rows] and [source.wards] with the file",
        ));
    } else {
        findings.push(Finding::ok(step, format!("{} wards, observed at {}", seen.wards.len(), seen.at)));
    }
    for (ward, fault) in &seen.spoiled {
        findings.push(Finding::of(step, Level::Warning, &format!("ward {ward} is absent: {fault}")).or_remedy(MEND));
    }
    if !seen.not_reported.is_empty() {
        let wards: Vec<_> = seen.not_reported.iter().map(ToString::to_string).collect();
        findings.push(Finding::ok(step, format!("says that these did not report: {}", wards.join(", "))));
    }
    if !seen.unknown.is_empty() {
        let names: Vec<_> = seen.unknown.iter().map(|name| format!("{name:?}")).collect();
        findings.push(Finding::warning(
            step,
            format!("rows about wards that are not in the config: {}", names.join(", ")),
            "name them in [source.wards], add the [[ward]], or leave them out with [source.rows]",
        ));
    }
    findings
}

/// What the sources give together.
pub(super) fn together(config: &Config, snapshot: &Snapshot, now: Time) -> Vec<Finding> {
    let mut findings = Vec::new();
    let absent: Vec<_> = grouping::published(&config.wards)
        .filter(|w| !snapshot.wards.contains_key(&w.ward.index))
        .map(|w| w.ward.id.to_string())
        .collect();
    let (have, all) = (snapshot.wards.len(), grouping::published(&config.wards).count());
    if absent.is_empty() {
        findings.push(Finding::ok(REPORT, format!("all {all} wards")));
    } else {
        findings.push(Finding::warning(
            REPORT,
            format!("{have} of {all} wards; without both staffed and occupied: {}", absent.join(", ")),
            "give staffed in [[ward]] or by a source; an absent ward is unknown to the centre, not empty",
        ));
    }
    let small: Vec<_> = grouping::published(&config.wards)
        .filter(|w| snapshot.wards.get(&w.ward.index).is_some_and(|counts| counts.staffed < config.privacy.min_beds))
        .map(|w| w.ward.id.to_string())
        .collect();
    if !small.is_empty() {
        findings.push(Finding::warning(
            REPORT,
            format!("fewer staffed beds now than privacy.min-beds: {}", small.join(", ")),
            "if that is to last, make them members of a [[ward]] with members",
        ));
    }
    let observed = snapshot.observed_at;
    let valid_for = config.report.valid_for;
    if now.since(observed) > valid_for {
        findings.push(Finding::warning(
            REPORT,
            format!(
                "observed at {observed}, longer ago than the {} s of valid-for; it would be stale",
                valid_for.as_secs()
            ),
            "have the file written more often, or make report.valid-for longer than its interval",
        ));
    }
    if observed > now.plus(valid_for) {
        findings.push(Finding::warning(
            REPORT,
            format!("observed at {observed}, which is in the future"),
            "correct zone or format in [source.time], or a clock",
        ));
    }
    findings
}
