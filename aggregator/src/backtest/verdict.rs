//! A rule and its baselines: who lies on the front of the plain ones, and who beats whom.
//!
//! In: rules, a history, the judged span. Out: a [`Report`]. Series are taken one by one: what is kept of
//! each is its part of the sums.

use serde::Serialize;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;

use super::baseline::{Plain, grid};
use super::episode::{Span, episodes};
use super::history::{History, Series};
use super::replay::{Run, needs, replay};
use super::score::{Score, Tally};
use crate::alert::measure::{Measure, Reach};
use crate::alert::rule::Rule;
use crate::alert::rules::Rules;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was looked at.
    pub history: Extent,
    /// Alarms and episodes that began in this span are counted.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// The rules that could be judged, in their order.
    pub rules: Vec<Verdict>,
    /// The others.
    pub not_judged: Vec<NotJudged>,
}

/// How much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// Series.
    pub series: usize,
    /// Samples.
    pub samples: usize,
    /// Of them, those at which nothing was known.
    pub unknown: usize,
    /// The first one.
    pub from: Time,
    /// The end of the last one.
    pub to: Time,
}

/// A rule that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotJudged {
    /// Its name.
    pub name: String,
    /// What it needs that the history does not have.
    pub needs: String,
}

/// How a rule did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// What is the matter when it is raised.
    pub title: String,
    /// Which targets it applies to.
    pub scope: Reach,
    /// Of which beds.
    pub care: Vec<CareType>,
    /// What it measures.
    pub measure: Measure,
    /// In what.
    pub unit: &'static str,
    /// The threshold, and so the level of its episodes.
    pub raise_at: f64,
    /// Over how many series.
    pub series: usize,
    /// The rule's.
    pub score: Score,
    /// Plain rules on the same threshold and data.
    pub baselines: Vec<Baseline>,
    /// Of them, by name, those of which no other has less mean delay and no more false alarms an episode,
    /// or fewer and no more delay; by delay.
    pub front: Vec<String>,
    /// Those with less median delay than the rule, and fewer false alarms.
    pub beaten_by: Vec<String>,
    /// Those with no more mean delay than the rule and no more false alarms, and less of one of them.
    pub dominated_by: Vec<String>,
}

/// How a plain rule did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline {
    /// What the lists call it.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub plain: Plain,
    /// How it did.
    pub score: Score,
}

/// Judges every rule that can be. `judged`: which beginnings count.
pub fn judge(rules: &Rules, history: &History, judged: Span) -> Report {
    let all = || history.series.iter().flat_map(|series| &series.samples);
    let (from, to) = history.span();
    let extent = Extent {
        series: history.series.len(),
        samples: all().count(),
        unknown: all().filter(|sample| sample.beds.is_none()).count(),
        from,
        to,
    };
    let mut report =
        Report { history: extent, from: judged.from, to: judged.to, rules: Vec::new(), not_judged: Vec::new() };
    for rule in rules.iter() {
        match applicable(rule, history) {
            Ok(series) => report.rules.push(verdict(rule, rules, &series, judged)),
            Err(needs) => report.not_judged.push(NotJudged { name: rule.name.clone(), needs }),
        }
    }
    report
}

/// The series that a rule applies to, or what it needs.
pub fn applicable<'a>(rule: &Rule, history: &'a History) -> Result<Vec<&'a Series>, String> {
    if let Some(needs) = needs(rule.measure) {
        return Err(needs.to_owned());
    }
    if rule.above_usual {
        return Err("a fixed level: what is above the usual has no episodes that are the same for every rule".into());
    }
    let applies = |series: &Series| reaches(rule.scope, &series.scope) && is_of(rule, series, history.by_care);
    let series: Vec<&Series> = history.series.iter().filter(|series| applies(series)).collect();
    if series.is_empty() { Err(wanted(rule, history.by_care)) } else { Ok(series) }
}

fn reaches(reach: Reach, scope: &str) -> bool {
    match scope.split_once('/') {
        None if scope == "nation" => reach == Reach::Nation,
        Some(("region", _)) => reach == Reach::Region,
        Some(("hospital", _)) => reach == Reach::Hospital,
        // A name of the record's own: whatever it is, it is not a ward of ours.
        _ => reach != Reach::Ward,
    }
}

/// Whether a series is about the rule's beds. Several types taken together are not in a record by one.
fn is_of(rule: &Rule, series: &Series, by_care: bool) -> bool {
    !by_care || rule.care.as_slice() == series.care.as_slice()
}

fn wanted(rule: &Rule, by_care: bool) -> String {
    let scope = match rule.scope {
        Reach::Ward => return "rows of wards, which no history has".into(),
        Reach::Nation => "nation",
        Reach::Region => "region/…",
        Reach::Hospital => "hospital/…",
    };
    let care: Vec<&str> = rule.care.iter().map(|care| care.name()).collect();
    match (by_care, &care[..]) {
        (false, _) => format!("rows of scope {scope}"),
        (true, []) => format!("rows of scope {scope} of all care types together"),
        (true, care) => format!("rows of scope {scope} and care {}", care.join(" and ")),
    }
}

fn verdict(rule: &Rule, rules: &Rules, series: &[&Series], judged: Span) -> Verdict {
    let plains = grid(series.iter().map(|series| series.step).min().unwrap_or_default());
    let mut own = Tally::default();
    let mut tallies = vec![Tally::default(); plains.len()];
    for series in series {
        let Run { values, alarms } = replay(rule, rules, series);
        let episodes = episodes(rule, series, &values);
        own.add(&alarms, &episodes, judged);
        for (plain, tally) in plains.iter().zip(&mut tallies) {
            tally.add(&plain.alarms(rule, series, &values), &episodes, judged);
        }
    }
    let baseline =
        |(plain, tally): (Plain, Tally)| Baseline { name: plain.to_string(), plain, score: tally.score(judged) };
    let baselines: Vec<Baseline> = plains.into_iter().zip(tallies).map(baseline).collect();
    let score = own.score(judged);
    let named = |is: &dyn Fn(&Score) -> bool| -> Vec<String> {
        baselines.iter().filter(|baseline| is(&baseline.score)).map(|baseline| baseline.name.clone()).collect()
    };
    Verdict {
        name: rule.name.clone(),
        title: rule.title.clone(),
        scope: rule.scope,
        care: rule.care.clone(),
        measure: rule.measure,
        unit: rule.measure.unit(),
        raise_at: rule.raise.at,
        series: series.len(),
        front: front(&baselines),
        beaten_by: named(&|other| beats(other, &score)),
        dominated_by: named(&|other| dominates(other, &score)),
        score,
        baselines,
    }
}

/// Whether it is sooner and has fewer false alarms. Who found nothing beats nobody.
fn beats(one: &Score, other: &Score) -> bool {
    let sooner = match (one.delay_median_hours, other.delay_median_hours) {
        (Some(one), Some(other)) => one < other,
        (found, None) => found.is_some(),
        (None, _) => false,
    };
    sooner && one.false_alarms < other.false_alarms
}

/// Whether it is no worse in mean delay and false alarms, and better in one of them.
fn dominates(one: &Score, other: &Score) -> bool {
    let Some(delay) = one.delay_mean_hours else { return false };
    let than = other.delay_mean_hours.unwrap_or(f64::INFINITY);
    let better = delay < than || one.false_alarms < other.false_alarms;
    delay <= than && one.false_alarms <= other.false_alarms && better
}

/// The names of those that no other dominates, by delay; of equal ones the first.
fn front(baselines: &[Baseline]) -> Vec<String> {
    let delay = |baseline: &Baseline| baseline.score.delay_mean_hours;
    let mut by_delay: Vec<&Baseline> = baselines.iter().filter(|baseline| delay(baseline).is_some()).collect();
    by_delay.sort_by(|a, b| {
        let falls = |baseline: &Baseline| baseline.score.false_alarms;
        let standing = |baseline: &Baseline| baseline.score.standing_hours;
        let order = delay(a).unwrap_or_default().total_cmp(&delay(b).unwrap_or_default());
        order.then(falls(a).cmp(&falls(b))).then(standing(a).total_cmp(&standing(b)))
    });
    let mut fewest = u32::MAX;
    by_delay.retain(|baseline| {
        let fewer = baseline.score.false_alarms < fewest;
        fewest = fewest.min(baseline.score.false_alarms);
        fewer
    });
    by_delay.into_iter().map(|baseline| baseline.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_choose_rules_by_their_reach() {
        assert!(reaches(Reach::Nation, "nation") && !reaches(Reach::Region, "nation"));
        assert!(reaches(Reach::Region, "region/01") && !reaches(Reach::Hospital, "region/01"));
        assert!(reaches(Reach::Hospital, "hospital/x") && !reaches(Reach::Nation, "hospital/x"));
        let of_its_own = [Reach::Nation, Reach::Region, Reach::Hospital].map(|reach| reaches(reach, "Bayern"));
        assert_eq!(of_its_own, [true; 3]);
        assert!(!reaches(Reach::Ward, "Bayern"));
    }
}
