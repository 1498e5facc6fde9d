//! What the agent tells about itself: one JSON document, kept up to date by every part.
//!
//! In: what each part did. Out: the document, over a socket ([`socket`]), and in the forms that
//! people and monitoring read: a [`table`], a [`nagios`] line, a [`textfile`] of metrics. [`command`]
//! is `vardpuls-agent status`. No patient content: counts, names of wards and sources, faults.

pub mod command;
pub mod nagios;
pub mod socket;
pub mod table;
pub mod textfile;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::HospitalId;

use crate::config::Config;
use crate::outbox::{Refused, Summary};
use crate::source::adt::tally::Tally;
use crate::word::Word;

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Who reports.
    pub hospital: HospitalId,
    /// The signing key's fingerprint.
    pub fingerprint: String,
    /// The version of the agent.
    pub agent: String,
    /// The agent's clock when this was asked for.
    pub now: Time,
    /// When it started.
    pub started_at: Time,
    /// What the config promises.
    pub bounds: Bounds,
    /// The way to the broker.
    pub connection: Connection,
    /// Each source, by name.
    pub sources: BTreeMap<String, Source>,
    /// The newest report.
    pub report: Option<LastReport>,
    /// Why the last report could not be kept or sent, while that lasts.
    pub report_error: Option<String>,
    /// The newest receipt that was believed.
    pub receipt: Option<LastReceipt>,
    /// How far this clock is from the centre's, by the newest receipt of a live report.
    pub clock: Option<Drift>,
    /// What the centre's feed says of this hospital; asked for only while receipts are missing.
    pub word: Option<Word>,
    /// How many messages on the receipt topic were not believed.
    pub receipts_not_believed: u64,
    /// Why the last of them was not.
    pub last_not_believed: Option<String>,
    /// What the outbox holds and what became of the rest.
    pub outbox: Option<Summary>,
    /// Reports that the centre will not take, since the start; the newest hundred.
    pub refused: Vec<Refused>,
    /// The version of the roster that reports refer to.
    pub roster: String,
}

/// What the config promises, for those who judge by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bounds {
    /// Seconds between two reports, at most.
    pub heartbeat: u64,
    /// Seconds that a report's counts may be relied on; after them the centre calls the hospital stale.
    pub valid_for: u64,
    /// Seconds that a report may wait for its receipt.
    pub max_age: u64,
    /// Bytes that may wait.
    pub max_bytes: u64,
    /// Wards in the roster.
    pub wards: usize,
}

/// The way to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connection {
    /// Its address.
    pub broker: String,
    /// Whether it stands.
    pub connected: bool,
    /// When it last came or went.
    pub since: Option<Time>,
    /// Why the last one ended, or did not come about.
    pub last_error: Option<String>,
    /// How often it was lost or could not be made, since the start.
    pub failures: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// When it last said something new.
    pub read_at: Option<Time>,
    /// For how many wards it then gave counts.
    pub wards: usize,
    /// How many wards it then spoiled by a cell that cannot be read; the log names them.
    pub spoiled: usize,
    /// How many wards it then said did not report.
    pub not_reported: usize,
    /// Names in it that are no ward of the config, shortened.
    pub unmapped: BTreeSet<String>,
    /// What is wrong with it now.
    pub error: Option<String>,
    /// How many readings failed, since the start.
    pub errors: u64,
    /// What a listener for ADT messages tells about itself.
    #[serde(default)]
    pub adt: Option<Tally>,
}

/// The newest report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastReport {
    /// Its outbox's epoch.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// When it was made.
    pub at: Time,
    /// When its counts held.
    pub observed_at: Time,
    /// How many wards it vouches for.
    pub wards: usize,
}

/// The newest receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastReceipt {
    /// When it came, by this clock.
    pub at: Time,
    /// When the centre gave it, by its own.
    pub issued_at: Time,
}

/// How far this clock is ahead of the centre's, in ms: between these two. The centre's moment lies
/// between the making of a report and the coming of its receipt, so that no delay can blur it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drift {
    /// Not less than this.
    pub least_ms: i64,
    /// Not more than this.
    pub most_ms: i64,
}

impl Drift {
    /// From a report made at `made`, receipted by the centre at `issued`, its receipt here at `came`.
    pub fn of(made: Time, issued: Time, came: Time) -> Drift {
        let (a, b) = (made.offset_from(issued), came.offset_from(issued));
        // A clock that was set back in between gives them in the wrong order.
        Drift { least_ms: a.min(b), most_ms: a.max(b) }
    }

    /// The middle, and how far the truth may be from it.
    pub fn about(self) -> (i64, u64) {
        let half = self.most_ms.abs_diff(self.least_ms) / 2;
        (self.least_ms.saturating_add_unsigned(half), self.most_ms.abs_diff(self.least_ms).div_ceil(2))
    }

    /// By how much it is certainly off: the end of the interval that is nearer to zero.
    pub fn at_least(self) -> i64 {
        if self.least_ms > 0 { self.least_ms } else { self.most_ms.min(0) }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (about, give) = self.about();
        let side = if about < 0 { "behind" } else { "ahead of" };
        write!(f, "{} s {side} the centre's, give or take {} s", seconds(about.unsigned_abs()), seconds(give))
    }
}

/// Milliseconds as seconds, with as many decimals as matter.
fn seconds(ms: u64) -> String {
    if ms >= 10_000 { (ms / 1000).to_string() } else { format!("{}.{:02}", ms / 1000, ms % 1000 / 10) }
}

/// The status as the agent's parts share it.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<Status>>);

impl Board {
    /// A board on which nothing has happened yet.
    pub fn new(config: &Config, fingerprint: String, roster_version: u32, started_at: Time) -> Board {
        Board(Arc::new(Mutex::new(Status {
            hospital: config.hospital.clone(),
            fingerprint,
            agent: env!("CARGO_PKG_VERSION").into(),
            now: started_at,
            started_at,
            bounds: Bounds::of(config),
            connection: Connection { broker: config.broker.to_string(), ..Connection::default() },
            sources: BTreeMap::new(),
            report: None,
            report_error: None,
            receipt: None,
            clock: None,
            word: None,
            receipts_not_believed: 0,
            last_not_believed: None,
            outbox: None,
            refused: Vec::new(),
            roster: format!("{roster_version:08x}"),
        })))
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As it stands.
    pub fn read(&self, now: Time) -> Status {
        let status = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { now, ..status }
    }
}

impl Bounds {
    /// Those of a config.
    pub fn of(config: &Config) -> Bounds {
        Bounds {
            heartbeat: config.report.heartbeat.as_secs(),
            valid_for: config.report.valid_for.as_secs(),
            max_age: config.outbox.max_age.as_secs(),
            max_bytes: config.outbox.max_bytes,
            wards: config.wards.len(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
