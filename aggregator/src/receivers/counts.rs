//! What `/metrics` shows of the receivers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    receiver: String,
}

/// What is counted of all receivers. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ReceiverMetrics {
    sent: Family<Name, Counter>,
    failed: Family<Name, Counter>,
    refused: Family<Name, Counter>,
    behind: Family<Name, Gauge>,
}

/// What is counted of one receiver.
#[derive(Debug, Clone)]
pub struct ReceiverCounts {
    /// Posts that it took.
    pub sent: Counter,
    /// Posts that it did not take and that are tried again.
    pub failed: Counter,
    /// Posts that it refused for good.
    pub refused: Counter,
    /// Journal entries that it has not been led past.
    pub behind: Gauge,
}

impl ReceiverMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("vardpuls_receiver_sent", "Posts that a receiver took", self.sent.clone());
        registry.register("vardpuls_receiver_failed", "Posts to a receiver that are tried again", self.failed.clone());
        registry.register("vardpuls_receiver_refused", "Posts that a receiver refused", self.refused.clone());
        registry.register("vardpuls_receiver_behind", "Journal entries before a receiver", self.behind.clone());
    }

    /// Those of one receiver, which from then on stand there with 0.
    pub fn of(&self, receiver: &str) -> ReceiverCounts {
        let name = Name { receiver: receiver.to_owned() };
        ReceiverCounts {
            sent: self.sent.get_or_create_owned(&name),
            failed: self.failed.get_or_create_owned(&name),
            refused: self.refused.get_or_create_owned(&name),
            behind: self.behind.get_or_create_owned(&name),
        }
    }
}
