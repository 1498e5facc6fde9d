//! What the listener tells about itself, for `status`: numbers, and the names of places that nobody has mapped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;

use super::reason::{Answer, Reason};

/// Since the start, where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Tally {
    /// Where it listens.
    pub listens: String,
    /// Connections now.
    pub lines: usize,
    /// Connections that were turned away: too many in all or from one address, or no TLS.
    pub turned_away: u64,
    /// Messages.
    pub messages: u64,
    /// Of them answered AA, AE and AR.
    pub accepted: u64,
    /// See `accepted`.
    pub errors: u64,
    /// See `accepted`.
    pub rejected: u64,
    /// By what became of them.
    pub reasons: BTreeMap<Reason, u64>,
    /// Runs of bytes between messages.
    pub garbage: u64,
    /// Messages that did not end before the next began, or before the connection ended.
    pub unfinished: u64,
    /// When the last message came.
    pub last_message: Option<Time>,
    /// Patients in counted places and classes, now.
    pub patients: i64,
    /// Visits that are kept, closed ones among them, now.
    pub visits: usize,
    /// The oldest snapshot that a ward is counted from.
    pub reconciled_at: Option<Time>,
    /// Patients by which the census differed from the last snapshot, over all wards.
    pub drift: u32,
    /// Places with patients that no key of the config names, now; the fullest.
    pub unmapped: BTreeMap<String, i64>,
}

/// The tally as connections share it.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    pub(super) fn update(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How it stands.
    pub fn read(&self) -> Tally {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tally {
    /// Counts a message.
    pub(super) fn count(&mut self, reason: Reason, at: Time) {
        self.messages += 1;
        match reason.answer() {
            Answer::Accept => self.accepted += 1,
            Answer::Error => self.errors += 1,
            Answer::Reject => self.rejected += 1,
        }
        *self.reasons.entry(reason).or_default() += 1;
        self.last_message = Some(at);
    }

    /// The tally as lines for people.
    pub fn lines(&self) -> Vec<String> {
        let away = if self.turned_away > 0 { format!(", {} turned away", self.turned_away) } else { String::new() };
        let last = self.last_message.map_or("none yet".to_owned(), |t| format!("last {t}"));
        let mut lines = vec![
            format!("listens on {}, {} connections{away}", self.listens, self.lines),
            format!(
                "{} messages, {last}: AA {}, AE {}, AR {}; unfinished {}, between messages {}",
                self.messages, self.accepted, self.errors, self.rejected, self.unfinished, self.garbage
            ),
        ];
        if !self.reasons.is_empty() {
            let reasons: Vec<String> = self.reasons.iter().map(|(r, n)| format!("{} {n}", r.name())).collect();
            lines.push(reasons.join(", "));
        }
        let reconciled = match self.reconciled_at {
            Some(at) => format!("counted from the snapshot of {at}, drift {}", self.drift),
            None => "no snapshot yet".to_owned(),
        };
        lines.push(format!("{} patients, {} visits kept; {reconciled}", self.patients, self.visits));
        if !self.unmapped.is_empty() {
            let places: Vec<String> = self.unmapped.iter().map(|(place, n)| format!("{place:?} {n}")).collect();
            lines.push(format!(
                "patients in places that are no ward: {}; name these in places or no-wards",
                places.join(", ")
            ));
        }
        lines
    }
}
