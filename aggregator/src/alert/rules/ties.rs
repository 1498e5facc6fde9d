//! How rules hang together: which counts the alarms of which, which silences which.
//!
//! In: the rules of a set. Out: what is wrong between them, or their ties by their places in the set, so
//! that nothing is looked up by name while alarms are judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::alert::rule::Rule;

/// How rules hang together, by their places in the set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ties {
    pub(super) places: HashMap<String, usize>,
    /// The rule whose alarms a rule counts.
    pub(super) of: Vec<Option<usize>>,
    /// The rules that count a rule's alarms.
    pub(super) counting: Vec<Vec<usize>>,
    /// The rules that silence a rule, as it names them.
    pub(super) silencers: Vec<Vec<usize>>,
    /// Whether a rule silences any.
    pub(super) may_silence: Vec<bool>,
    /// A rule's turn where several raise at once: whatever silences it comes before it.
    pub(super) turn: Vec<usize>,
}

impl Ties {
    /// Of rules whose names are all among them, and none of which silences itself.
    pub(super) fn of(rules: &[Rule]) -> Ties {
        let places: HashMap<String, usize> = rules.iter().zip(0..).map(|(rule, n)| (rule.name.clone(), n)).collect();
        let of: Vec<_> = rules.iter().map(|rule| places.get(rule.of.as_deref()?).copied()).collect();
        let silencers: Vec<Vec<usize>> =
            rules.iter().map(|rule| rule.inhibited_by.iter().map(|by| places[by]).collect()).collect();
        let mut ties = Ties {
            counting: vec![Vec::new(); rules.len()],
            may_silence: vec![false; rules.len()],
            turn: vec![0; rules.len()],
            places,
            of,
            silencers,
        };
        for (n, of) in ties.of.iter().enumerate() {
            if let Some(of) = *of {
                ties.counting[of].push(n);
            }
        }
        ties.silencers.iter().flatten().for_each(|&by| ties.may_silence[by] = true);
        // Longest way down from a rule that nothing silences; chains are as short as rules are few.
        for _ in 0..rules.len() {
            for n in 0..rules.len() {
                ties.turn[n] = ties.silencers[n].iter().map(|&by| ties.turn[by] + 1).max().unwrap_or(0);
            }
        }
        ties
    }
}

/// What is wrong between rules: which one, the key, the problem.
pub(super) fn fault(rules: &[Rule]) -> Option<(usize, &'static str, String)> {
    let place: BTreeMap<&str, usize> = rules.iter().zip(0..).map(|(rule, n)| (rule.name.as_str(), n)).collect();
    for (n, rule) in rules.iter().enumerate() {
        for other in &rule.inhibited_by {
            match place.get(other.as_str()) {
                None => {
                    return Some((n, "inhibited-by", format!("rule {:?}: there is no rule {other:?}", rule.name)));
                }
                Some(&by) if rules[by].scope < rule.scope => {
                    let problem = format!(
                        "rule {:?}: {other:?} is about a {} and says nothing about a whole {}",
                        rule.name, rules[by].scope, rule.scope
                    );
                    return Some((n, "inhibited-by", problem));
                }
                Some(_) => {}
            }
        }
        if let Some(of) = &rule.of {
            match place.get(of.as_str()) {
                None => return Some((n, "of", format!("rule {:?}: there is no rule {of:?}", rule.name))),
                Some(&of) if rules[of].scope >= rule.scope => {
                    let problem = format!(
                        "rule {:?}: it counts alarms below a {}, and {:?} is about a {}",
                        rule.name, rule.scope, rules[of].name, rules[of].scope
                    );
                    return Some((n, "of", problem));
                }
                Some(_) => {}
            }
        }
    }
    inhibition_circle(rules, &place)
}

/// Two alarms that silence each other would both be silent.
fn inhibition_circle(rules: &[Rule], place: &BTreeMap<&str, usize>) -> Option<(usize, &'static str, String)> {
    for (start, rule) in rules.iter().enumerate() {
        let (mut seen, mut ahead) = (BTreeSet::new(), vec![start]);
        while let Some(n) = ahead.pop() {
            for by in &rules[n].inhibited_by {
                let by = place[by.as_str()];
                if by == start {
                    return Some((
                        start,
                        "inhibited-by",
                        format!("rule {:?} silences itself by way of others", rule.name),
                    ));
                }
                if seen.insert(by) {
                    ahead.push(by);
                }
            }
        }
    }
    None
}
