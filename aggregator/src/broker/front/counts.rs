//! What the front counts for `/metrics`, and how often it says why it turned somebody away.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::denial::Denial;

/// Between two lines of the log about the same reason.
const SAID_EVERY: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What is counted of the embedded broker's clients. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FrontCounts {
    connected: Family<Listener, Gauge>,
    logins: Family<Listener, Counter>,
    denied: Family<Reason, Counter>,
    /// Rounds through the broker that the watchdog did not see come back.
    pub(super) missed: Counter,
    said: Arc<Mutex<HashMap<Denial, Said>>>,
}

/// When a reason was in the log last, and how often it came since.
#[derive(Debug, Clone, Copy)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl FrontCounts {
    /// Registers them; every reason stands there from the start.
    pub fn register(&self, registry: &mut Registry) {
        for denial in Denial::ALL {
            drop(self.denied.get_or_create(&Reason { reason: denial.name() }));
        }
        registry.register("vardpuls_front_connected", "Clients of the embedded broker", self.connected.clone());
        registry.register("vardpuls_front_logins", "Logins at the embedded broker", self.logins.clone());
        registry.register(
            "vardpuls_front_denied",
            "Clients of the embedded broker turned away or cut off, by reason",
            self.denied.clone(),
        );
        registry.register(
            "vardpuls_front_watchdog_missed",
            "Rounds through the embedded broker that did not come back",
            self.missed.clone(),
        );
    }

    /// How often a reason was counted.
    pub fn denied(&self, denial: Denial) -> u64 {
        self.denied.get_or_create(&Reason { reason: denial.name() }).get()
    }

    /// Counts somebody in, until the returned value is dropped.
    pub(super) fn enter(&self, listener: &'static str) -> Connected {
        let listener = Listener { listener };
        self.logins.get_or_create(&listener).inc();
        let connected = self.connected.get_or_create_owned(&listener);
        connected.inc();
        Connected(connected)
    }

    /// Counts a denial, and says so unless it was said just now.
    pub(super) fn deny(&self, denial: Denial, listener: &'static str, from: SocketAddr) {
        self.denied.get_or_create(&Reason { reason: denial.name() }).inc();
        if let Some(unsaid) = self.due(denial, Instant::now()) {
            let remedy = denial.remedy();
            tracing::warn!(reason = %denial, listener, %from, unsaid, "a client of the broker was turned away: {remedy}");
        }
    }

    /// Whether it is time to say it again, and then how often it was not said since.
    fn due(&self, denial: Denial, now: Instant) -> Option<u64> {
        // Every state is a good one, also after a panic elsewhere.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(&denial) {
            Some(said) if now.duration_since(said.at) < SAID_EVERY => {
                said.unsaid += 1;
                None
            }
            earlier => {
                let unsaid = earlier.map_or(0, |said| said.unsaid);
                said.insert(denial, Said { at: now, unsaid: 0 });
                Some(unsaid)
            }
        }
    }
}

/// Somebody who is counted in.
#[derive(Debug)]
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_reason_is_a_line_a_minute() {
        let (counts, start) = (FrontCounts::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(counts.due(Denial::Tls, start), Some(0));
        assert!((0..1000).all(|_| counts.due(Denial::Tls, after(59)).is_none()));
        assert_eq!(counts.due(Denial::Full, after(59)), Some(0), "another reason");
        assert_eq!(counts.due(Denial::Tls, after(60)), Some(1000));
        assert_eq!(counts.due(Denial::Tls, after(120)), Some(0));
    }

    #[test]
    fn every_reason_stands_in_the_metrics_from_the_start_and_has_a_name_of_its_own() {
        let (counts, mut registry, mut text) = (FrontCounts::default(), Registry::default(), String::new());
        counts.register(&mut registry);
        counts.deny(Denial::Topic, "network", SocketAddr::from(([127, 0, 0, 1], 1)));
        drop(counts.enter("network"));
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        for denial in Denial::ALL {
            let count = u8::from(denial == Denial::Topic);
            let line = format!("vardpuls_front_denied_total{{reason=\"{denial}\"}} {count}\n");
            assert_eq!(text.matches(&line).count(), 1, "{line}");
        }
        assert!(text.contains("vardpuls_front_connected{listener=\"network\"} 0"), "{text}");
    }
}
