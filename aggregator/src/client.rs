//! The connection to the broker: a plain MQTT 3.1.1 client, the same for every broker.
//!
//! In: packets. Out: messages into the ingest queue, which never makes the connection wait. After
//! each CONNACK it subscribes and lets every feed and alert be published again, because neither a
//! session nor retained messages can be relied on. Lost connections are made again, with growing pauses.
//!
//! Of alert topics it looks at what the broker has retained, so that a broker that slept through the end
//! of an alarm does not keep its ghost; and at ends of alarms, which come back on them once the broker has them.
//!
//! A PUBACK to an agent proves nothing, and is left to the client library: the agent waits for a
//! receipt.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rumqttc::{
    AsyncClient, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS, Request, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_service::vitals::Pulse;
use vardpuls_shared::alert::Alert;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::{CENTRE_SUBSCRIPTIONS, Topic};

use crate::ingest::{IngestQueue, Message};
use crate::metrics::Metrics;
use crate::publish::Outgoing;
use crate::readiness::Readiness;
use crate::view::View;

/// Publications that may wait inside the client library.
const CHANNEL: usize = 200;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The task that keeps the connection.
pub struct Connection {
    events: EventLoop,
    address: String,
    parts: Parts,
}

/// What the connection works with.
pub struct Parts {
    /// Dates arrivals.
    pub clock: Clock,
    /// Where messages go.
    pub queue: Arc<IngestQueue>,
    /// Where feeds and alerts are put again after a connection.
    pub outgoing: Arc<Outgoing>,
    /// Which feeds.
    pub view: Arc<ArcSwap<View>>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the JSON twin is published.
    pub json: bool,
    /// Told whether the broker answers.
    pub readiness: Arc<Readiness>,
    /// Shows that it moves.
    pub pulse: Pulse,
}

impl Connection {
    /// A connection that is not made yet, and the handle to publish through.
    pub fn new(options: MqttOptions, parts: Parts) -> (AsyncClient, Connection) {
        let (host, port) = options.broker_address();
        let (client, mut events) = AsyncClient::new(options, CHANNEL);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        (client, Connection { events, address: format!("{host}:{port}"), parts })
    }

    /// Keeps the connection until `shutdown`, and then until the publisher has said goodbye.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.parts.pulse.beat();
            match self.events.poll().await {
                Ok(rumqttc::Event::Incoming(Packet::ConnAck(_))) => {
                    pause = FIRST_PAUSE;
                    self.connected();
                }
                Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) => {
                    if !shutdown.is_cancelled() {
                        self.take(publish);
                    }
                }
                Ok(rumqttc::Event::Incoming(Packet::SubAck(ack))) => {
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        tracing::error!(
                            name: Event::BrokerRefuses.name(),
                            broker = self.address,
                            "the broker refuses our subscriptions; let this login read {CENTRE_SUBSCRIPTIONS:?} in its ACL"
                        );
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.tell(false);
                    if shutdown.is_cancelled() {
                        return;
                    }
                    tracing::warn!(name: Event::BrokerLost.name(), broker = self.address, reason = %error,
                        "no connection to the broker; trying again in {pause:?}");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shutdown.cancelled() => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn connected(&mut self) {
        let filters = CENTRE_SUBSCRIPTIONS.map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
        // Not through the channel, which may be full and is emptied by this very task.
        self.events.pending.push_front(Request::Subscribe(Subscribe::new_many(filters)));
        tracing::info!(name: Event::BrokerConnected.name(), broker = self.address, "connected to the broker");
        self.tell(true);
        self.parts.outgoing.seed(&self.parts.view.load());
    }

    fn tell(&self, connected: bool) {
        self.parts.readiness.set_broker_connected(connected);
        self.parts.metrics.broker_connected.set(i64::from(connected));
    }

    fn take(&self, publish: Publish) {
        let Some(topic) = Topic::parse(&publish.topic) else {
            self.parts.metrics.foreign.inc();
            return;
        };
        match topic {
            Topic::Report(_) => self.parts.metrics.count_message("report"),
            Topic::Roster(_) if publish.payload.is_empty() => return, // a cleared retained roster
            Topic::Roster(_) => self.parts.metrics.count_message("roster"),
            Topic::Alert(_) | Topic::JsonAlert(_) => {
                if publish.payload.is_empty() {
                    // A cleared one.
                } else if publish.retain {
                    self.parts.outgoing.found(topic);
                } else {
                    self.came_back(&topic, &publish.payload);
                }
                return;
            }
            _ => {}
        }
        let message = Message { topic, received_at: self.parts.clock.now(), envelope: publish.payload };
        let shed = self.parts.queue.put(message);
        if shed > 0 {
            self.parts.metrics.shed.inc_by(shed as u64);
            tracing::warn!(
                name: Event::MessagesShed.name(),
                shed,
                "the ingest queue was full; each hospital's newest report is kept, the others come again"
            );
        }
    }
    /// Our own words about an alarm, as everybody hears them. Of the two forms the last one counts.
    fn came_back(&self, topic: &Topic, payload: &[u8]) {
        let number = match topic {
            Topic::JsonAlert(alarm) if self.parts.json && self.parts.outgoing.awaits(alarm) => {
                serde_json::from_slice::<Alert>(payload).ok().map(|alert| (alarm, alert.number))
            }
            Topic::Alert(alarm) if !self.parts.json && self.parts.outgoing.awaits(alarm) => {
                let alert = Envelope::open(Kind::Alert, payload).ok();
                let alert = alert.and_then(|envelope| Alert::decode(envelope.unverified_payload()).ok());
                alert.map(|alert| (alarm, alert.number))
            }
            _ => None,
        };
        if let Some((alarm, number)) = number {
            self.parts.outgoing.come_back(alarm, number);
        }
    }
}
