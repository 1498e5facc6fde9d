//! Whether the centre knows this hospital and its key, as far as an honest agent can see. Pure.
//!
//! In: receipts and refusals of the running agent or of a stopped one's outbox, and the centre's
//! signed feed, in which every enrolled hospital stands and no other. Out: one finding.

use std::time::Duration;

use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Freshness;

use crate::outbox::{Contents, Refused};
use crate::status::Status;
use crate::word::Word;

use super::finding::Finding;

const STEP: &str = "enrolment";
/// A connected agent has its receipt long before this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of receipts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The refusal of the newest report that the centre spoke of.
    pub(super) refused: Option<Refused>,
    /// The newest receipt of a running agent.
    pub(super) receipted_at: Option<Time>,
    /// Reports that were receipted in all.
    pub(super) receipted: u64,
    /// For how long an agent has been connected and got no receipt for what it sent.
    pub(super) waiting: Option<Duration>,
}

impl Evidence {
    /// From a running agent.
    pub(super) fn of_running(status: &Status) -> Evidence {
        let receipted_at = status.receipt.as_ref().map(|r| r.at);
        let held = status.outbox.as_ref().map_or(0, |o| o.held);
        let since = receipted_at.max(status.connection.since);
        Evidence {
            // A receipt that refuses is a receipt: a later one says that it is over.
            refused: status.refused.last().filter(|r| Some(r.at) >= receipted_at).cloned(),
            receipted_at,
            receipted: status.outbox.as_ref().map_or(0, |o| o.released),
            waiting: since.filter(|_| status.connection.connected && held > 0).map(|at| status.now.since(at)),
        }
    }

    /// From what a stopped agent left.
    pub(super) fn of_stopped(contents: Option<&Contents>) -> Evidence {
        let Some(contents) = contents else { return Evidence::default() };
        // After the newest settled report nothing can have been receipted; one that still waits says nothing.
        let newest = (1..contents.next).rev().find(|s| contents.held.binary_search(s).is_err());
        Evidence {
            refused: contents.refused.last().filter(|r| Some(r.sequence) == newest).cloned(),
            receipted: contents.released,
            ..Evidence::default()
        }
    }
}

/// The finding. `card` tells how the hospital's card is printed again.
pub(super) fn check(evidence: &Evidence, word: Option<&Word>, fingerprint: &str, card: &str) -> Finding {
    let (nation, listed) = (word.and_then(|w| w.nation), word.and_then(|w| w.hospital));
    let send = format!(
        "print the card with: {card}; send it to the centre, which enrols it with: vardpuls-aggregator enrol CARD"
    );
    if let Some(refused) = &evidence.refused {
        let what = match refused.reason.as_str() {
            "revoked_key" => format!("the centre has revoked this key (fingerprint {fingerprint})"),
            "suspended" => "the centre has suspended this hospital".to_owned(),
            reason => format!("the centre refuses the newest reports: {reason}"),
        };
        return Finding::failed(STEP, format!("{what}; said at {}", refused.at), refused.remedy.clone());
    }
    let waits = evidence.waiting.is_some_and(|waited| waited > PATIENCE);
    match (nation, listed) {
        (Some(_), None) if evidence.receipted > 0 => Finding::failed(
            STEP,
            "the centre no longer lists this hospital: its enrolment was suspended or removed",
            "ask the centre why; if by mistake, have it enrolled again",
        ),
        (Some(_), None) => Finding::failed(STEP, "the centre does not know this hospital: it was never enrolled", send),
        (_, Some(_)) if waits => Finding::failed(
            STEP,
            format!(
                "the centre lists this hospital, but gives no receipt: it does not know this key, or has revoked it (fingerprint {fingerprint})"
            ),
            send,
        ),
        (None, None) if waits => Finding::failed(
            STEP,
            "no receipt comes, and nothing that the centre signed is heard: it is away, or this broker is not its own",
            "ask the centre's operator whether it runs, and for its broker's address and its public key (centre-key)",
        ),
        _ if evidence.receipted_at.is_some() || evidence.receipted > 0 => {
            let newest = evidence.receipted_at.map_or_else(String::new, |at| format!(", the newest at {at}"));
            Finding::ok(STEP, format!("{} reports are receipted{newest}", evidence.receipted))
        }
        (_, Some(listed)) if listed.state == Freshness::Unknown && listed.received_at.is_none() => Finding::ok(
            STEP,
            "the centre knows this hospital, and has no report of it yet; that it knows this key shows with the first receipt",
        ),
        (_, Some(_)) => Finding::ok(STEP, "the centre knows this hospital"),
        (None, None) => Finding::warning(
            STEP,
            "no receipt yet, and nothing that the centre signed was heard",
            format!("if the hospital is not enrolled, {send}; else start the agent and check again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::refusal::Refusal;

    use super::*;
    use crate::check::finding::Level;
    use crate::word::{Listed, Said};

    fn word(listed: bool) -> Word {
        let said = Said { as_of: Time(1), heard_at: Time(1), live: false };
        let hospital = Listed { said, state: Freshness::Unknown, received_at: None, clock_offset_ms: None };
        Word { nation: Some(said), hospital: listed.then_some(hospital) }
    }

    fn found(evidence: &Evidence, word: Option<&Word>) -> (Level, String) {
        let finding = check(evidence, word, "ab:cd", "vardpuls-agent keygen --card-only");
        assert!(finding.level == Level::Ok || !finding.remedy.is_empty(), "{finding:?}");
        (finding.level, finding.what + " → " + &finding.remedy)
    }

    #[track_caller]
    fn assert_found(evidence: &Evidence, word: Option<&Word>, level: Level, text: &str) {
        let found = found(evidence, word);
        assert!(found.0 == level && found.1.contains(text), "{found:?}");
    }

    #[test]
    fn each_state_of_an_enrolment_is_told_apart() {
        let nothing = Evidence::default();
        let refused = |reason| Evidence { refused: Some(Refused::new(1, reason, Time(9))), ..nothing.clone() };
        assert_found(&refused(Refusal::RevokedKey), Some(&word(true)), Level::Failed, "revoked this key");
        assert_found(&refused(Refusal::Suspended), Some(&word(false)), Level::Failed, "suspended this hospital");
        assert_found(&nothing, Some(&word(false)), Level::Failed, "never enrolled");
        let once = Evidence { receipted: 5, ..nothing.clone() };
        assert_found(&once, Some(&word(false)), Level::Failed, "suspended or removed");
        assert_found(&nothing, Some(&word(true)), Level::Ok, "no report of it yet");
        assert_found(&once, None, Level::Ok, "5 reports");
        assert_found(&nothing, None, Level::Warning, "no receipt yet");
        let waits = Evidence { waiting: Some(PATIENCE * 2), ..nothing };
        assert_found(&waits, Some(&word(true)), Level::Failed, "does not know this key");
        assert_found(&waits, None, Level::Failed, "centre-key");
    }

    #[test]
    fn a_refusal_counts_until_a_later_receipt() {
        let mut status = crate::status::tests::healthy();
        let at = status.receipt.as_ref().expect("there").at;
        status.refused.push(Refused::new(2, Refusal::Suspended, at));
        assert!(Evidence::of_running(&status).refused.is_some());
        status.receipt.as_mut().expect("there").at = at.plus(Duration::from_secs(1));
        assert_eq!(Evidence::of_running(&status).refused, None);
    }

    #[test]
    fn a_stopped_agents_newest_settled_report_counts() {
        let contents = |next, held: &[u64]| Contents {
            epoch: 1,
            next,
            held: held.to_vec(),
            bytes: 0,
            oldest: None,
            released: 1,
            refused_count: 1,
            refused: vec![Refused::new(3, Refusal::RevokedKey, Time(9))],
            dropped_count: 0,
            dropped: Vec::new(),
        };
        assert!(Evidence::of_stopped(Some(&contents(6, &[4, 5]))).refused.is_some());
        assert_eq!(Evidence::of_stopped(Some(&contents(6, &[5]))).refused, None, "4 was receipted after it");
    }
}
