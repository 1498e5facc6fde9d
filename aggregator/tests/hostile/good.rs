//! The hospital that means well: it reports all the time with a certificate, and looks at every receipt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, QoS, TlsConfiguration, Transport};
use tokio::task::JoinSet;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::count::Counts;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Envelope, Kind, sign};
use vardpuls_shared::topic::Topic;

use crate::rig::{Rig, id, until};

const EPOCH: u64 = 5;

/// What it has seen.
#[derive(Debug, Default)]
struct Seen {
    /// When each report was sent first.
    sent: BTreeMap<u64, Instant>,
    /// How long each waited for its receipt.
    receipted: BTreeMap<u64, Duration>,
    connections: u32,
}

/// The hospital, reporting until it is dropped.
pub(crate) struct Good {
    seen: Arc<Mutex<Seen>>,
    mark: usize,
    _tasks: JoinSet<()>,
}

impl Good {
    /// Begins; waits for the first receipts.
    pub(crate) async fn start(rig: &Rig) -> Good {
        let mut options = MqttOptions::new("good", "127.0.0.1", rig.port);
        options.set_keep_alive(Duration::from_secs(5));
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(rig.tls(Some("good")))));
        let (client, mut events) = AsyncClient::new(options, 100);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let (sink, asking, centre) = (seen.clone(), client.clone(), rig.public_key);
        tasks.spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        sink.lock().expect("not poisoned").connections += 1;
                        let topic = Topic::Receipt(id("good")).to_string();
                        asking.try_subscribe(topic, QoS::AtLeastOnce).expect("room");
                        let roster = sign(Kind::Roster, &roster().encode(), &SigningKey::from_seed(&[1; 32]));
                        let topic = Topic::Roster(id("good")).to_string();
                        asking.try_publish(topic, QoS::AtLeastOnce, true, roster).expect("room");
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let envelope = Envelope::open(Kind::Receipt, &message.payload).expect("a receipt");
                        let receipt = Receipt::decode(envelope.verify(&centre).expect("the centre's")).expect("reads");
                        sink.lock().expect("not poisoned").take(&receipt);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let report = seen.clone();
        tasks.spawn(async move {
            for sequence in 1.. {
                let envelope = report_of(sequence);
                report.lock().expect("not poisoned").sent.insert(sequence, Instant::now());
                // Sent again until there is a receipt, as an agent does.
                for again in 0u32.. {
                    if again.is_multiple_of(200) {
                        let topic = Topic::Report(id("good")).to_string();
                        let _full_is_tried_again = client.try_publish(topic, QoS::AtLeastOnce, false, envelope.clone());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if report.lock().expect("not poisoned").receipted.contains_key(&sequence) {
                        break;
                    }
                }
            }
        });
        let mut good = Good { seen, mark: 0, _tasks: tasks };
        good.goes_on("before").await;
        good
    }

    fn receipted(&self) -> usize {
        self.seen.lock().expect("not poisoned").receipted.len()
    }

    /// Waits for thirty more receipts, and prints how long those since the last call took.
    pub(crate) async fn goes_on(&mut self, phase: &str) {
        let wanted = self.receipted() + 30;
        until("the good hospital's receipts", || self.receipted() >= wanted).await;
        let seen = self.seen.lock().expect("not poisoned");
        let mut took: Vec<_> = seen.receipted.values().skip(self.mark).copied().collect();
        self.mark = seen.receipted.len();
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let (count, p50, p99) = (took.len(), at(50), at(99));
        println!("report to receipt, {phase}: {count} reports, p50 {p50:.1} ms, p99 {p99:.1} ms");
    }

    /// How often it had to connect.
    pub(crate) fn connections(&self) -> u32 {
        self.seen.lock().expect("not poisoned").connections
    }

    /// Ends, and holds what was receipted against what is stored.
    pub(crate) async fn ends_with_every_receipt_right(self, rig: &Rig) {
        // First what was receipted: all of it must be in the store by now.
        let receipted: Vec<_> = self.seen.lock().expect("not poisoned").receipted.keys().copied().collect();
        let stored = rig.store.stored_positions(&id("good")).await.expect("reads");
        let stored: BTreeSet<_> = stored.iter().map(|(position, ..)| position.sequence).collect();
        assert!(receipted.iter().all(|sequence| stored.contains(sequence)), "receipted and not stored");
    }
}

impl Seen {
    fn take(&mut self, receipt: &Receipt) {
        assert_eq!((&receipt.hospital, receipt.epoch), (&id("good"), EPOCH), "not ours");
        assert!(receipt.refused.is_empty(), "{receipt:?}");
        let newest = self.sent.keys().next_back().copied().unwrap_or(0);
        for &(first, last) in &receipt.stored {
            assert!(last <= newest, "a receipt for what was never sent: {receipt:?}");
            for sequence in first..=last {
                let waited = self.sent[&sequence].elapsed();
                self.receipted.entry(sequence).or_insert(waited);
            }
        }
    }
}

fn roster() -> Roster {
    let ward = Ward {
        index: 1,
        id: "iva".parse().expect("valid"),
        name: "iva".to_owned(),
        care: CareType::Icu,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    };
    Roster::new(id("good"), vec![ward])
}

fn report_of(sequence: u64) -> Vec<u8> {
    let report = Report {
        hospital: id("good"),
        position: Position { epoch: EPOCH, sequence },
        observed_at: Clock::System.now(),
        valid_for: 180,
        roster_version: roster().version,
        wards: BTreeMap::from([(1, Counts { staffed: 10, occupied: 7, ..Counts::default() })]),
    };
    sign(Kind::Report, &report.encode(), &SigningKey::from_seed(&[1; 32]))
}
