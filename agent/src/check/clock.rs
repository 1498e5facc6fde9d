//! How far this machine's clock is from the centre's, by what the centre signed. Pure.
//!
//! In: the running agent's [`Drift`], or the feed's times. Out: a finding that says how exact it is.
//! The receipt of a live report bounds it from both sides. A feed message only says that the centre's
//! clock had come to `as_of`: one that came live is as old as its way; one that the broker remembered
//! is at most as old as the centre's silence, which is short while the centre lives.

use std::time::Duration;

use vardpuls_shared::clock::Time;

use crate::status::Drift;
use crate::status::nagios::CLOCK_TOLERANCE;
use crate::word::{Said, Word};

use super::finding::Finding;

const STEP: &str = "clock";
/// A living centre publishes the nation at least every fifteen seconds.
pub(super) const PULSE: Duration = Duration::from_secs(16);
/// How long a live message may be under way, at most, from its figures to here.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// From here on reports look stale or from the future, and certificates are misjudged.
const FAR: Duration = Duration::from_mins(5);

/// Whether what was heard cannot tell, and a live message could.
pub(super) fn wants_live(word: &Word) -> bool {
    word.nation.is_some_and(|said| !said.live && ahead_at_most(&said) > millis(PULSE + CLOCK_TOLERANCE))
}

/// What both sources of evidence say; the better one counts.
pub(super) fn check(drift: Option<Drift>, word: Option<&Word>) -> Finding {
    let said = word.and_then(|word| word.nation);
    match (drift, said) {
        (Some(drift), _) => judge(drift, "the newest receipt"),
        (None, Some(said)) if said.live => judge(bounds(&said, ON_THE_WAY), "the centre's feed"),
        (None, Some(said)) if ahead_at_most(&said) <= millis(PULSE + CLOCK_TOLERANCE) => {
            judge(bounds(&said, PULSE), "the centre's feed")
        }
        (None, Some(said)) => {
            let seconds = ahead_at_most(&said) / 1000;
            let what = format!("the newest word of the centre is {seconds} s old by this clock");
            let remedy =
                "either this clock is ahead (compare with: timedatectl), or the centre is silent: ask its operator";
            Finding::warning(STEP, what, remedy)
        }
        (None, None) => Finding::not_tried(STEP, "nothing that the centre signed was heard"),
    }
}

/// What the centre itself thinks of this hospital's clock, where it complains.
pub(super) fn complaint(word: Option<&Word>) -> Option<Finding> {
    let listed = word?.hospital?;
    let offset = listed.clock_offset_ms?;
    let side = if offset < 0 { "behind" } else { "ahead of" };
    let when = listed.received_at.map_or_else(String::new, |at| format!(" (its newest report came at {at})"));
    let what =
        format!("the centre finds this hospital's clock {} s {side} its own{when}", offset.unsigned_abs() / 1000);
    Some(Finding::warning(STEP, what, "set the clock; if it is right, the source may always be this late"))
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// However long the message was under way, this clock is not further ahead than this.
fn ahead_at_most(said: &Said) -> i64 {
    said.heard_at.offset_from(said.as_of)
}

fn bounds(said: &Said, age: Duration) -> Drift {
    Drift::of(
        Time(said.heard_at.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(0))),
        said.as_of,
        said.heard_at,
    )
}

fn judge(drift: Drift, by: &str) -> Finding {
    let off = Duration::from_millis(drift.at_least().unsigned_abs());
    let what = format!("{drift}, by {by}");
    let remedy = "set this machine's clock and keep it set: timedatectl set-ntp true, or chrony; then check again";
    if off > FAR {
        Finding::failed(STEP, format!("{what}: reports look stale or from the future"), remedy)
    } else if off > CLOCK_TOLERANCE {
        Finding::warning(STEP, format!("{what}; the centre tolerates {} s", CLOCK_TOLERANCE.as_secs()), remedy)
    } else {
        Finding::ok(STEP, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Level;

    fn word(ahead_s: i64, live: bool) -> Word {
        let as_of = Time(1_700_000_000_000);
        let heard_at = Time(as_of.0.saturating_add_signed(ahead_s * 1000));
        Word { nation: Some(Said { as_of, heard_at, live }), hospital: None }
    }

    fn level(ahead_s: i64, live: bool) -> Level {
        check(None, Some(&word(ahead_s, live))).level
    }

    #[test]
    fn a_live_word_tells_both_ways() {
        assert_eq!([0, 30, -59, 65].map(|s| level(s, true)), [Level::Ok; 4]);
        assert_eq!([-61, 66, -300].map(|s| level(s, true)), [Level::Warning; 3]);
        assert_eq!([-600, 600].map(|s| level(s, true)), [Level::Failed; 2]);
        assert!(!wants_live(&word(600, true)));
    }

    #[test]
    fn a_remembered_word_tells_a_clock_behind_and_doubts_one_ahead() {
        assert_eq!(
            (level(5, false), level(-61, false), level(-600, false)),
            (Level::Ok, Level::Warning, Level::Failed)
        );
        assert!(wants_live(&word(600, false)) && !wants_live(&word(15, false)));
        let doubt = check(None, Some(&word(600, false)));
        assert!(doubt.level == Level::Warning && doubt.remedy.contains("or the centre is silent"), "{doubt:?}");
    }

    #[test]
    fn a_receipt_counts_for_more_than_the_feed() {
        let drift = Drift { least_ms: 600_000, most_ms: 600_050 };
        let found = check(Some(drift), Some(&word(0, true)));
        assert_eq!(found.level, Level::Failed);
        assert!(found.what.contains("600 s ahead of the centre's"), "{}", found.what);
        assert_eq!(check(None, None).level, Level::NotTried);
    }
}
