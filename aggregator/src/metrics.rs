//! What the centre counts about itself, for `/metrics`.
//!
//! Counters are written by the part that does the work and encoded on request. Every named refusal
//! stands there from the start with 0, so that an alarm on it need not wait for the first one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use vardpuls_shared::feed::Coverage;
use vardpuls_shared::refusal::Refusal;

use crate::broker::front::counts::FrontCounts;
use crate::receivers::counts::ReceiverMetrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Why an HTTP request is denied: it has no token, nobody has its token, its token's time is over, or its
/// holder's role does not suffice.
pub const DENIED: [&str; 4] = ["token_missing", "token_unknown", "token_expired", "role_insufficient"];

/// All of the centre's metrics. Cheap to write from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    messages: Family<Kind, Counter>,
    refused: Family<Reason, Counter>,
    denied: Family<Reason, Counter>,
    hospitals: Family<State, Gauge>,
    /// Messages dropped from the full ingest queue, each older than one kept or of no hospital with room.
    pub shed: Counter,
    /// Messages on topics that are not ours.
    pub foreign: Counter,
    /// Reports newly stored.
    pub stored: Counter,
    /// Reports that were stored already.
    pub duplicates: Counter,
    /// Verified reports dropped unstored because the store did not keep up; agents send them again.
    pub unstored: Counter,
    /// Counts dropped because their ward stands in no roster of that version.
    pub unknown_wards: Counter,
    /// Seconds a commit took.
    pub commit_seconds: Histogram,
    /// Commits that failed and were tried again.
    pub commit_failures: Counter,
    /// Receipts handed to the broker.
    pub receipts: Counter,
    /// Receipts dropped because the broker did not keep up; agents send their reports again.
    pub receipts_dropped: Counter,
    /// Feed messages handed to the broker, signed and JSON counted once together.
    pub feed_published: Counter,
    /// Feed messages too large to be signed and read by anybody.
    pub feed_oversize: Counter,
    /// Alerts handed to the broker, signed and JSON counted once together.
    pub alert_published: Counter,
    /// Alerts too large to be signed and read by anybody.
    pub alert_oversize: Counter,
    /// Hospitals whose clock is off by more than the tolerance.
    pub clock_flagged: Gauge,
    /// Whether the broker answers.
    pub broker_connected: Gauge,
    /// The embedded broker's clients.
    pub front: FrontCounts,
    /// What the receivers of alarms took, refused, and have still to be told.
    pub receivers: ReceiverMetrics,
    /// Messages waiting for verification.
    pub ingest_waiting: Gauge<i64>,
    /// Verified messages waiting for a commit.
    pub commit_waiting: Gauge<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Metrics {
        let metrics = Metrics {
            registry: Registry::default(),
            messages: Family::default(),
            refused: Family::default(),
            denied: Family::default(),
            hospitals: Family::default(),
            shed: Counter::default(),
            foreign: Counter::default(),
            stored: Counter::default(),
            duplicates: Counter::default(),
            unstored: Counter::default(),
            unknown_wards: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            commit_failures: Counter::default(),
            receipts: Counter::default(),
            receipts_dropped: Counter::default(),
            feed_published: Counter::default(),
            feed_oversize: Counter::default(),
            alert_published: Counter::default(),
            alert_oversize: Counter::default(),
            clock_flagged: Gauge::default(),
            broker_connected: Gauge::default(),
            front: FrontCounts::default(),
            receivers: ReceiverMetrics::default(),
            ingest_waiting: Gauge::default(),
            commit_waiting: Gauge::default(),
        };
        metrics.with_everything_registered()
    }

    fn with_everything_registered(mut self) -> Metrics {
        for &refusal in Refusal::REGISTERED {
            drop(self.refused.get_or_create(&Reason { reason: refusal.name() }));
        }
        for reason in DENIED {
            drop(self.denied.get_or_create(&Reason { reason }));
        }
        for kind in ["report", "roster"] {
            drop(self.messages.get_or_create(&Kind { kind }));
        }
        let r = &mut self.registry;
        r.register("vardpuls_messages", "Messages taken from the broker", self.messages.clone());
        r.register("vardpuls_refused", "Messages refused, by reason", self.refused.clone());
        r.register("vardpuls_http_denied", "HTTP requests denied, by reason", self.denied.clone());
        r.register("vardpuls_hospitals", "Enrolled hospitals, by state", self.hospitals.clone());
        r.register("vardpuls_shed", "Messages dropped from the full ingest queue", self.shed.clone());
        r.register("vardpuls_foreign", "Messages on topics that are not ours", self.foreign.clone());
        r.register("vardpuls_stored", "Reports newly stored", self.stored.clone());
        r.register("vardpuls_duplicates", "Reports that were stored already", self.duplicates.clone());
        r.register("vardpuls_unstored", "Verified messages dropped because the store lags", self.unstored.clone());
        r.register(
            "vardpuls_unknown_wards",
            "Counts of wards that the roster does not have",
            self.unknown_wards.clone(),
        );
        r.register("vardpuls_commit_seconds", "Duration of commits", self.commit_seconds.clone());
        r.register("vardpuls_commit_failures", "Commits that failed", self.commit_failures.clone());
        r.register("vardpuls_receipts", "Receipts handed to the broker", self.receipts.clone());
        r.register(
            "vardpuls_receipts_dropped",
            "Receipts dropped because the broker lags",
            self.receipts_dropped.clone(),
        );
        r.register("vardpuls_feed_published", "Feed messages handed to the broker", self.feed_published.clone());
        r.register("vardpuls_feed_oversize", "Feed messages too large to be read", self.feed_oversize.clone());
        r.register("vardpuls_alert_published", "Alerts handed to the broker", self.alert_published.clone());
        r.register("vardpuls_alert_oversize", "Alerts too large to be read", self.alert_oversize.clone());
        r.register("vardpuls_clock_flagged", "Hospitals whose clock is off", self.clock_flagged.clone());
        r.register("vardpuls_broker_connected", "1 while the broker answers", self.broker_connected.clone());
        self.front.register(r);
        self.receivers.register(r);
        r.register("vardpuls_ingest_waiting", "Messages waiting for verification", self.ingest_waiting.clone());
        r.register("vardpuls_commit_waiting", "Verified messages waiting for a commit", self.commit_waiting.clone());
        self
    }

    /// Counts one message of a kind (`report`, `roster`).
    pub fn count_message(&self, kind: &'static str) {
        self.messages.get_or_create(&Kind { kind }).inc();
    }

    /// Counts one refusal.
    pub fn count_refusal(&self, refusal: Refusal) {
        self.refused.get_or_create(&Reason { reason: refusal.name() }).inc();
    }

    /// How often a refusal was counted.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get_or_create(&Reason { reason: refusal.name() }).get()
    }

    /// Counts one HTTP request that was denied for one of [`DENIED`].
    pub fn count_denied(&self, reason: &'static str) {
        self.denied.get_or_create(&Reason { reason }).inc();
    }

    /// Sets the hospitals by state.
    pub fn set_hospitals(&self, coverage: &Coverage) {
        let states = [("fresh", coverage.fresh), ("stale", coverage.stale), ("unknown", coverage.unknown)];
        for (state, n) in states {
            self.hospitals.get_or_create(&State { state }).set(n.into());
        }
    }

    /// The text that `/metrics` answers, in the open metrics format.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(4096);
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_stands_there_from_the_start() {
        let metrics = Metrics::new();
        let text = metrics.encode();
        for refusal in Refusal::REGISTERED {
            assert!(text.contains(&format!("vardpuls_refused_total{{reason=\"{refusal}\"}} 0")), "{refusal}");
        }
        metrics.count_refusal(Refusal::BadSignature);
        assert!(metrics.encode().contains("vardpuls_refused_total{reason=\"bad_signature\"} 1"));
        assert_eq!(metrics.refused(Refusal::BadSignature), 1);
    }
}
