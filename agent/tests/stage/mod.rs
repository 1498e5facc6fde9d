//! What the agent's tests play on: a folder with config, key and a CSV drop; an embedded broker; a
//! line to it that can be cut; and a centre that reads reports and signs receipts.

#![allow(dead_code, reason = "each test binary uses its own part of the stage")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) mod tls;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::{Coverage, Feed, Figures, Freshness, HospitalDetail, Level};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{PublicKey, SigningKey};
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::report::Report;
use vardpuls_shared::signed::{Envelope, Kind, sign};
use vardpuls_shared::topic::{Scope, Topic};

use vardpuls_agent::config::Config;
use vardpuls_agent::status::{self, Status};

/// The hospital of every test.
pub(crate) const HOSPITAL: &str = "SE2321000016-1003";

/// The centre's key.
pub(crate) fn centre_key() -> SigningKey {
    SigningKey::from_seed(&[200; 32])
}

/// Waits for a condition, however long a busy machine takes, but not for ever.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A hospital's folder.
pub(crate) struct Folder {
    dir: TempDir,
}

impl Folder {
    /// Config for a broker at `broker`, a key, and a drop with 5 occupied beds of 10.
    pub(crate) fn new(broker: SocketAddr) -> Folder {
        let folder = Folder { dir: TempDir::new().expect("a temporary folder") };
        folder.write_config(broker, "60s");
        folder.write_key();
        folder.drop_counts(5);
        folder
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the config.
    pub(crate) fn write_config(&self, broker: SocketAddr, heartbeat: &str) {
        let text = format!(
            r#"
hospital = "{HOSPITAL}"
name = "Test"
region = "01"
state-dir = "{state}"
key-file = "{key}"
centre-key = "{centre}"
[broker]
url = "mqtt://{broker}"
[report]
heartbeat = "{heartbeat}"
min-gap = "0s"
jitter = "0s"
valid-for = "180s"
[outbox]
max-age = "14d"
max-bytes = 2000000
backlog-rate = 1000
[[ward]]
index = 1
id = "iva-1"
name = "IVA 1"
care = "icu"
staffed = 10
[[source]]
name = "beds"
kind = "csv"
path = "{drop}"
scan = "100ms"
settle = "0s"
[source.columns]
ward = "ward"
occupied = "occupied"
"#,
            state = self.path("state").display(),
            key = self.path("agent.key").display(),
            centre = centre_key().public(),
            drop = self.path("beds.csv").display(),
        );
        fs::write(self.path("agent.toml"), text).expect("writable");
    }

    fn write_key(&self) {
        let pem = SigningKey::generate_pem().expect("random");
        fs::write(self.path("agent.key"), pem).expect("writable");
        fs::set_permissions(self.path("agent.key"), fs::Permissions::from_mode(0o600)).expect("ours");
    }

    /// Replaces the drop by rename, as careful hospitals do.
    pub(crate) fn drop_counts(&self, occupied: u16) {
        fs::write(self.path("beds.new"), format!("ward,occupied\niva-1,{occupied}\n")).expect("writable");
        fs::rename(self.path("beds.new"), self.path("beds.csv")).expect("renamed");
    }

    /// Changes the config's text.
    pub(crate) fn change_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("agent.toml")).expect("readable");
        assert!(text.contains(from), "no {from:?} in the config");
        fs::write(self.path("agent.toml"), text.replace(from, to)).expect("writable");
    }

    /// The config, read.
    pub(crate) fn config(&self) -> Config {
        Config::load(&self.path("agent.toml")).expect("a good config")
    }

    /// The agent's public key.
    pub(crate) fn public_key(&self) -> PublicKey {
        SigningKey::from_pem(&fs::read(self.path("agent.key")).expect("readable")).expect("ours").public()
    }

    /// What the running agent says, if one runs.
    pub(crate) async fn status(&self) -> Option<Status> {
        let path = self.path("state/status.sock");
        let asked = tokio::task::spawn_blocking(move || status::socket::ask(&path)).await.expect("no panic");
        asked.expect("answers or is absent")
    }

    /// Waits for something in the status.
    pub(crate) async fn until_status(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.status().await;
            if status.as_ref().is_some_and(&condition) {
                return;
            }
            assert!(Instant::now() < deadline, "never happened: {what}; the status is {status:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Starts an embedded broker for the life of the process.
pub(crate) fn broker() -> SocketAddr {
    broker_for(None)
}

/// The same, for those who have a login.
pub(crate) fn broker_for(logins: Option<HashMap<String, String>>) -> SocketAddr {
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: 100_000,
        max_inflight_count: 100,
        auth: logins,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        rumqttd::ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 0, connections };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 100,
            max_outgoing_packet_count: 1000,
            max_segment_size: 1 << 20,
            max_segment_count: 4,
            ..rumqttd::RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server)])),
        ..rumqttd::Config::default()
    };
    std::thread::spawn(move || rumqttd::Broker::new(config).start().expect("the port was free a moment ago"));
    listen
}

/// A line to the broker that can be cut.
pub(crate) struct Wire {
    /// Its near end.
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Wire {
    /// A whole line to `far`.
    pub(crate) async fn to(far: SocketAddr) -> Wire {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (whole, state) = watch::channel(true);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                let mut state = state.clone();
                connections.spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(far).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Wire { address, whole, _task: task }
    }

    /// Ends what runs over it and lets nothing new pass.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Makes it whole again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// What was published, in its order of arrival.
type Seen = Arc<Mutex<Vec<(Topic, Vec<u8>)>>>;

/// A centre that sees everything and acknowledges what the test says.
pub(crate) struct Centre {
    client: AsyncClient,
    seen: Seen,
    agent: PublicKey,
    _driver: JoinSet<()>,
}

impl Centre {
    /// Connects and listens to everything of ours.
    pub(crate) async fn on(broker: SocketAddr, agent: PublicKey) -> Centre {
        let mut options = MqttOptions::new("centre", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(100_000, 100_000);
        let (client, mut events) = AsyncClient::new(options, 100);
        let seen: Seen = Arc::default();
        let ready = Arc::new(Mutex::new(false));
        let mut driver = JoinSet::new();
        let (all, up, subscriber) = (Arc::clone(&seen), Arc::clone(&ready), client.clone());
        driver.spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        subscriber.try_subscribe("vardpuls/v1/#", QoS::AtLeastOnce).expect("room");
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => *up.lock().expect("whole") = true,
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let topic = Topic::parse(&p.topic).expect("one of ours");
                        if matches!(topic, Topic::Feed(_)) {
                            continue; // its own words
                        }
                        all.lock().expect("whole").push((topic, p.payload.to_vec()));
                    }
                    Ok(_) => {}
                    // The broker may still be starting.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        until("the centre listens", || *ready.lock().expect("whole")).await;
        Centre { client, seen, agent, _driver: driver }
    }

    fn payloads(&self, of: impl Fn(&Topic) -> bool) -> Vec<Vec<u8>> {
        self.seen.lock().expect("whole").iter().filter(|(t, _)| of(t)).map(|(_, p)| p.clone()).collect()
    }

    /// The reports seen, verified, in their order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let payloads = self.payloads(|t| matches!(t, Topic::Report(_)));
        let read = |bytes: Vec<u8>| {
            let envelope = Envelope::open(Kind::Report, &bytes).expect("an envelope");
            Report::decode(envelope.verify(&self.agent).expect("signed by the agent")).expect("a report")
        };
        payloads.into_iter().map(read).collect()
    }

    /// The sequences seen, in their order of arrival.
    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.reports().iter().map(|r| r.position.sequence).collect()
    }

    /// How many rosters were seen.
    pub(crate) fn rosters(&self) -> usize {
        self.payloads(|t| matches!(t, Topic::Roster(_))).len()
    }

    /// The last presence seen.
    pub(crate) fn presence(&self) -> Option<String> {
        let last = self.payloads(|t| matches!(t, Topic::Presence(_))).pop()?;
        Some(String::from_utf8(last).expect("text"))
    }

    /// Forgets what was seen.
    pub(crate) fn forget(&self) {
        self.seen.lock().expect("whole").clear();
    }

    /// Says in the feed, retained, that it is there, and that it knows the hospital where it does.
    pub(crate) async fn feed(&self, as_of: Time, knows: bool) {
        let hospital: HospitalId = HOSPITAL.parse().expect("valid");
        let detail = HospitalDetail {
            region: "01".into(),
            state: Freshness::Unknown,
            observed_at: None,
            received_at: None,
            clock_offset_ms: None,
            wards: Vec::new(),
        };
        let nation = (Scope::Nation, Level::Nation, "SE", None);
        let own = (Scope::Hospital(hospital), Level::Hospital, HOSPITAL, Some(detail));
        for (scope, level, code, hospital) in [nation].into_iter().chain(knows.then_some(own)) {
            let (total, coverage) = (Figures::default(), Coverage::default());
            let (code, name, care) = (code.to_owned(), code.to_owned(), BTreeMap::new());
            let feed = Feed { version: 1, number: 1, as_of, level, code, name, total, care, coverage, hospital };
            let bytes = sign(Kind::Feed, &feed.encode(), &centre_key());
            self.client.publish(Topic::Feed(scope).to_string(), QoS::AtLeastOnce, true, bytes).await.expect("sent");
        }
    }

    /// Sends a receipt signed by `key`, with changes to an empty one.
    pub(crate) async fn receipt(&self, epoch: u64, key: &SigningKey, change: impl FnOnce(&mut Receipt)) {
        let hospital = HOSPITAL.parse().expect("valid");
        let mut receipt = Receipt {
            hospital,
            issued_at: Time(1_700_000_000_000),
            epoch,
            stored: Vec::new(),
            refused: Vec::new(),
            wanted: Vec::new(),
        };
        change(&mut receipt);
        let topic = Topic::Receipt(receipt.hospital.clone()).to_string();
        let bytes = sign(Kind::Receipt, &receipt.encode(), key);
        self.client.publish(topic, QoS::AtLeastOnce, false, bytes).await.expect("sent");
    }
}
