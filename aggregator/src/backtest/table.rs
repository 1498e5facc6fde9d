//! A report as text: a line a rule, and under it the front that plain rules reach on the same data.
//!
//! In: a [`Report`]. Out: lines of about 120 characters, longer where many plain rules are named.

use std::fmt::{self, Display, Formatter};

use super::score::Score;
use super::verdict::{Baseline, Report, Verdict};

/// Wide enough for `plain: for 4 h, keep 6 h, band 15`.
const NAME: usize = 34;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let extent = &self.history;
        writeln!(
            f,
            "{} series, {} samples ({} unknown), {} to {}",
            extent.series, extent.samples, extent.unknown, extent.from, extent.to
        )?;
        writeln!(f, "counted: what began from {} to {}", self.from, self.to)?;
        if !self.rules.is_empty() {
            writeln!(f)?;
            writeln!(
                f,
                "{:NAME$} {:>8} {:>6}  {:>5} {:>5} {:>5}  {:>8} {:>6} {:>7} {:>7} {:>8} {:>8}",
                "", "", "", "delay", "in h", "", " alarms", "", "false", "", "alarms", "standing"
            )?;
            writeln!(
                f,
                "{:NAME$} {:>8} {:>6}  {:>5} {:>5} {:>5}  {:>8} {:>6} {:>7} {:>7} {:>8} {:>8}",
                "rule",
                "episodes",
                "found",
                "med",
                "mean",
                "p90",
                "/episode",
                "false",
                "/epis.",
                "chatter",
                "/hour",
                "/episode"
            )?;
        }
        self.rules.iter().try_for_each(|rule| one(f, rule))?;
        if !self.not_judged.is_empty() {
            writeln!(f, "\nnot judged:")?;
        }
        self.not_judged.iter().try_for_each(|rule| writeln!(f, "{:NAME$} needs {}", rule.name, rule.needs))
    }
}

fn one(f: &mut Formatter<'_>, rule: &Verdict) -> fmt::Result {
    line(f, &rule.name, &rule.score)?;
    let of_name = |name: &String| rule.baselines.iter().find(|baseline| baseline.name == *name);
    for baseline in rule.front.iter().filter_map(of_name) {
        line(f, &format!("  plain: {}", baseline.name), &baseline.score)?;
    }
    for (names, how) in [
        (&rule.beaten_by, "sooner (median) with fewer false alarms"),
        (&rule.dominated_by, "no later (mean) with no more false alarms"),
    ] {
        let said = |baseline: &Baseline| format!("{} (finds {})", baseline.name, share(baseline.score.found_share));
        let names: Vec<String> = names.iter().filter_map(of_name).map(said).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
        writeln!(f, "  of {} plain rules {how}: {names}", rule.baselines.len())?;
    }
    Ok(())
}

fn line(f: &mut Formatter<'_>, name: &str, score: &Score) -> fmt::Result {
    writeln!(
        f,
        "{name:NAME$} {:>8} {:>6}  {:>5} {:>5} {:>5}  {:>8} {:>6} {:>7} {:>7} {:>8} {:>8}",
        score.episodes,
        share(score.found_share),
        number(score.delay_median_hours, 2),
        number(score.delay_mean_hours, 2),
        number(score.delay_p90_hours, 2),
        number(score.alarms_per_episode, 2),
        score.false_alarms,
        number(score.false_per_episode, 3),
        score.chattering,
        number(score.alarms_per_hour, 4),
        number(score.standing_per_episode_time, 2),
    )
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn share(value: Option<f64>) -> String {
    // Rounded down: 100.0 % means all.
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.1}%", (value * 1000.0).floor() / 10.0))
}
