//! The status as one line of a monitoring plugin: what Nagios, Icinga and their kin run.
//!
//! In: the document and thresholds. Out: a state, why, and performance data. Pure; the state is the
//! exit status (0 ok, 1 warning, 2 critical, 3 unknown). Every figure is in the performance data
//! also when it raises nothing.
//!
//! Critical: the hospital's counts do not reach the centre (no receipt for too long, reports that
//! cannot be kept, reports refused within the last hour, no agent). Warning: they will soon not, or
//! not all of them do.

use std::fmt::Write as _;
use std::time::Duration;

use super::Status;

/// For how long a refusal is an alarm.
const REFUSAL: Duration = Duration::from_hours(1);
/// The centre tolerates this much by default before it flags a hospital's clock.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// What a plugin says; the number is its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Everything is as it should be.
    Ok,
    /// Somebody should look.
    Warning,
    /// The hospital is not heard.
    Critical,
    /// Nobody can tell.
    Unknown,
}

impl State {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            State::Ok => 0,
            State::Warning => 1,
            State::Critical => 2,
            State::Unknown => 3,
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        }
    }
}

/// How old the newest receipt may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// From here on a warning.
    pub warning: Duration,
    /// From here on critical.
    pub critical: Duration,
}

impl Thresholds {
    /// Critical when the centre calls the hospital stale; a warning halfway between a heartbeat and that.
    pub fn of(status: &Status, warning: Option<Duration>, critical: Option<Duration>) -> Thresholds {
        let (heartbeat, valid_for) = (status.bounds.heartbeat, status.bounds.valid_for);
        Thresholds {
            warning: warning.unwrap_or(Duration::from_secs(u64::midpoint(heartbeat, valid_for))),
            critical: critical.unwrap_or(Duration::from_secs(valid_for)),
        }
    }
}

/// The line of an agent that answered.
pub fn judge(status: &Status, thresholds: Thresholds) -> (State, String) {
    let age = status.now.since(status.receipt.as_ref().map_or(status.started_at, |r| r.at));
    let mut faults: Vec<(State, String)> = Vec::new();
    hearing(status, thresholds, age, &mut faults);
    seeing(status, &mut faults);
    faults.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let state = faults.first().map_or(State::Ok, |(state, _)| *state);
    let said = if faults.is_empty() {
        let wards = status.report.as_ref().map_or(0, |r| r.wards);
        format!("receipted {} s ago, {wards} wards, {} sources", age.as_secs(), status.sources.len())
    } else {
        faults.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ")
    };
    (state, line(state, &format!("{}: {said}", status.hospital), &performance(status, thresholds, age)))
}

/// The line where there is no document to judge.
pub fn without(state: State, why: &str) -> String {
    line(state, why, "")
}

fn line(state: State, text: &str, performance: &str) -> String {
    // A bar would begin the performance data, a line break the long text.
    let text = text.replace('|', "/").replace(['\n', '\r'], " ");
    let bar = if performance.is_empty() { "" } else { " | " };
    format!("VARDPULS {} - {text}{bar}{performance}\n", state.word())
}

/// Whether the centre hears this hospital.
fn hearing(status: &Status, thresholds: Thresholds, age: Duration, faults: &mut Vec<(State, String)>) {
    let mut add = |state, text| faults.push((state, text));
    let lost = status.connection.last_error.as_ref().filter(|_| !status.connection.connected);
    let why = lost.map_or_else(String::new, |e| format!(" ({e})"));
    let silence = if age >= thresholds.critical {
        Some(State::Critical)
    } else if age >= thresholds.warning {
        Some(State::Warning)
    } else {
        None
    };
    match silence {
        Some(state) => add(state, format!("no receipt from the centre for {} s{why}", age.as_secs())),
        None if !status.connection.connected && !why.is_empty() => add(State::Warning, format!("not connected{why}")),
        None => {}
    }
    if let Some(e) = &status.report_error {
        add(State::Critical, format!("reports cannot be kept: {e}"));
    }
    if let Some(last) = status.refused.last().filter(|r| status.now.since(r.at) < REFUSAL) {
        add(State::Critical, format!("the centre refuses reports: {}: {}", last.reason, last.remedy));
    }
    if let Some(outbox) = &status.outbox {
        let waiting = outbox.oldest.map_or(0, |at| status.now.since(at).as_secs());
        let (bytes, most) = (outbox.bytes, status.bounds.max_bytes);
        if bytes > most / 5 * 4 || waiting > status.bounds.max_age / 5 * 4 {
            let text = format!("the outbox is nearly full: {} reports, {bytes} of {most} bytes", outbox.held);
            add(State::Warning, format!("{text}, the oldest {waiting} s old"));
        }
    }
}

/// Whether this hospital sees itself.
fn seeing(status: &Status, faults: &mut Vec<(State, String)>) {
    let mut add = |text| faults.push((State::Warning, text));
    for (name, source) in &status.sources {
        if let Some(e) = &source.error {
            add(format!("source {name}: {e}"));
        }
        if source.spoiled > 0 {
            add(format!("source {name}: {} wards spoiled", source.spoiled));
        }
        if !source.unmapped.is_empty() {
            add(format!("source {name}: {} names are no ward of the config", source.unmapped.len()));
        }
    }
    if let Some(report) = status.report.as_ref().filter(|r| r.wards < status.bounds.wards) {
        add(format!("{} of {} wards reported", report.wards, status.bounds.wards));
    }
    let off = |drift: &super::Drift| Duration::from_millis(drift.at_least().unsigned_abs()) > CLOCK_TOLERANCE;
    if let Some(drift) = status.clock.filter(off) {
        add(format!("the clock is {drift}"));
    }
}

fn performance(status: &Status, thresholds: Thresholds, age: Duration) -> String {
    let (warning, critical) = (thresholds.warning.as_secs(), thresholds.critical.as_secs());
    let mut out = format!("receipt_age={}s;{warning};{critical};0", age.as_secs());
    let mut add = |text: String| {
        // Writing to a String cannot fail.
        let _ = write!(out, " {text}");
    };
    if let Some(outbox) = &status.outbox {
        add(format!("waiting={};;;0 waiting_bytes={}B;;;0;{}", outbox.held, outbox.bytes, status.bounds.max_bytes));
        let oldest = outbox.oldest.map_or(0, |at| status.now.since(at).as_secs());
        add(format!("oldest_waiting={oldest}s;;;0;{}", status.bounds.max_age));
        add(format!("receipted={}c refused={}c dropped={}c", outbox.released, outbox.refused, outbox.dropped));
    }
    let wards = status.report.as_ref().map_or(0, |r| r.wards);
    add(format!("wards={wards};;;0;{}", status.bounds.wards));
    let failing = status.sources.values().filter(|s| s.error.is_some()).count();
    add(format!("sources_failing={failing};;;0;{}", status.sources.len()));
    if let Some(drift) = status.clock {
        let ms = drift.about().0;
        let sign = if ms < 0 { "-" } else { "" };
        let ms = ms.unsigned_abs();
        add(format!("clock_ahead={sign}{}.{:03}s", ms / 1000, ms % 1000));
    }
    out
}

#[cfg(test)]
mod tests {
    use vardpuls_shared::clock::Time;
    use vardpuls_shared::refusal::Refusal;

    use super::super::tests::healthy;
    use super::super::{Drift, LastReceipt};
    use super::*;
    use crate::outbox::Refused;

    fn judged(change: impl FnOnce(&mut Status)) -> (State, String) {
        let mut status = healthy();
        change(&mut status);
        judge(&status, Thresholds::of(&status, None, None))
    }

    #[test]
    fn a_healthy_agent_is_ok_with_its_figures() {
        let (state, line) = judged(|_| {});
        assert_eq!(state, State::Ok);
        assert_eq!(
            line,
            "VARDPULS OK - h: receipted 9 s ago, 1 wards, 1 sources | receipt_age=9s;120;180;0 waiting=0;;;0 \
             waiting_bytes=0B;;;0;67108864 oldest_waiting=0s;;;0;1209600 receipted=3c refused=0c dropped=0c \
             wards=1;;;0;1 sources_failing=0;;;0;1 clock_ahead=0.000s\n"
        );
    }

    #[test]
    fn silence_warns_and_then_is_critical_at_the_thresholds_exactly() {
        let silent = |seconds: u64| {
            judged(|s| s.receipt = Some(LastReceipt { at: Time(s.now.0 - seconds * 1000), issued_at: Time(0) })).0
        };
        assert_eq!([119, 120, 179, 180].map(silent), [State::Ok, State::Warning, State::Warning, State::Critical]);
        let (state, line) = judged(|s| {
            (s.receipt, s.now) = (None, Time(9_000_000));
            s.connection.connected = false;
            s.connection.last_error = Some("refused: a|b\nc".into());
        });
        assert_eq!(state, State::Critical);
        assert!(line.contains("no receipt from the centre for 8000 s (refused: a/b c)"), "{line}");
        assert_eq!((line.matches('|').count(), line.lines().count()), (1, 1));
    }

    #[test]
    fn each_fault_is_named_and_the_worst_comes_first() {
        let (state, line) = judged(|s| {
            s.refused.push(Refused::new(1, Refusal::RevokedKey, s.now));
            s.clock = Some(Drift { least_ms: 600_000, most_ms: 600_100 });
            s.sources.get_mut("beds").expect("there").error = Some("gone".into());
        });
        assert_eq!(state, State::Critical);
        assert!(line.starts_with("VARDPULS CRITICAL - h: the centre refuses reports: revoked_key: make a new key"));
        assert!(line.contains("source beds: gone") && line.contains("the clock is 600 s ahead"), "{line}");
        let long_ago = judged(|s| {
            s.refused.push(Refused::new(1, Refusal::RevokedKey, s.now));
            s.now = s.now.plus(REFUSAL);
            s.receipt = Some(LastReceipt { at: s.now, issued_at: s.now });
        });
        assert_eq!(long_ago.0, State::Ok);
        assert_eq!(judged(|s| s.report_error = Some("no space".into())).0, State::Critical);
        assert_eq!(judged(|s| s.bounds.wards = 2).0, State::Warning);
        assert_eq!(judged(|s| s.outbox.as_mut().expect("there").bytes = 60 << 20).0, State::Warning);
        assert_eq!(judged(|s| s.sources.get_mut("beds").expect("there").spoiled = 1).0, State::Warning);
    }
}
