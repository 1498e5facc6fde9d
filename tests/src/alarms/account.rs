//! Whether the journal and those who were told tell the same story. Pure.
//!
//! The journal is the truth. Whoever hears every change (a webhook) must have heard each that was said, in order,
//! and none twice but the one over which the centre died. Whoever hears the newest word (MQTT) must have heard the
//! last word on every alarm, and never an older one after a newer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vardpuls_shared::alert::AlertId;

use super::hook::Post;
use super::listener::Word;

/// A change that was said: which entry, of which alarm.
type Said = (u64, AlertId);

/// What the journal's entries say to others, in their order.
pub fn said(entries: &[Value]) -> Vec<Said> {
    let said = entries.iter().filter_map(|entry| {
        let alert = entry.get("said")?.get("alert")?;
        Some((entry["number"].as_u64()?, alert["id"].as_str()?.parse().ok()?))
    });
    said.collect()
}

/// Whether the journal's numbers are 1, 2, 3 …
pub fn is_whole(entries: &[Value]) -> bool {
    entries.iter().zip(1..).all(|(entry, number)| entry["number"].as_u64() == Some(number))
}

/// What is wrong with what a webhook has heard; none where nothing is.
pub fn fault_of_posts(said: &[Said], posts: &[Post]) -> Option<String> {
    let mut told: Vec<&Post> = Vec::new();
    for post in posts {
        match told.last() {
            // The centre died before the place of this one was durable.
            Some(last) if last.id == post.id && last.life < post.life => {}
            Some(last) if last.number >= post.number => return Some(format!("{post:?} came after {last:?}")),
            _ => told.push(post),
        }
    }
    let told: BTreeSet<u64> = told.into_iter().map(|post| post.number).collect();
    let due: BTreeSet<u64> = said.iter().map(|(number, _)| *number).collect();
    (told != due).then(|| {
        let (unsaid, made_up): (Vec<_>, Vec<_>) = (due.difference(&told).collect(), told.difference(&due).collect());
        format!("unsaid: {unsaid:?}, not in the journal: {made_up:?}")
    })
}

/// What is wrong with what an MQTT reader has heard; none where nothing is.
pub fn fault_of_words(said: &[Said], words: &[Word]) -> Option<String> {
    let mut newest: BTreeMap<&AlertId, u64> = BTreeMap::new();
    for word in words {
        match word {
            Word::Said(alert) => {
                let last = newest.insert(&alert.id, alert.number);
                if last.is_some_and(|last| last > alert.number) {
                    return Some(format!("of {} {} came after {last:?}", alert.id, alert.number));
                }
            }
            Word::Forgotten(_) => {}
            Word::Foreign(topic) => return Some(format!("not the centre's: {topic}")),
        }
    }
    let last: BTreeMap<&AlertId, u64> = said.iter().map(|(number, alarm)| (alarm, *number)).collect();
    (newest != last).then(|| format!("the last words are {last:?}, heard were {newest:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(number: u64, life: u32) -> Post {
        Post { number, id: format!("{number}.a"), life }
    }

    fn due(numbers: &[u64]) -> Vec<Said> {
        numbers.iter().map(|&number| (number, "full.nation.1".parse().expect("valid"))).collect()
    }

    #[test]
    fn a_repetition_is_excused_by_a_death_and_by_nothing_else() {
        let heard = [post(2, 1), post(3, 1), post(3, 2), post(5, 2)];
        assert_eq!(fault_of_posts(&due(&[2, 3, 5]), &heard), None);
        assert!(fault_of_posts(&due(&[2, 3, 5]), &[post(2, 1), post(2, 1), post(3, 1), post(5, 1)]).is_some());
        assert!(fault_of_posts(&due(&[2, 3]), &[post(2, 1), post(3, 1), post(2, 2)]).is_some(), "out of order");
        assert!(fault_of_posts(&due(&[2, 3]), &[post(2, 1)]).is_some(), "unsaid");
        assert!(fault_of_posts(&due(&[2]), &[post(2, 1), post(3, 1)]).is_some(), "made up");
    }

    #[test]
    fn a_word_that_is_missing_or_late_is_found() {
        assert_eq!(fault_of_words(&[], &[]), None);
        assert!(fault_of_words(&due(&[2]), &[]).is_some());
        assert!(fault_of_words(&[], &[Word::Foreign("x".into())]).is_some());
    }
}
