//! The centre end to end: a real store, the embedded broker, and a plain MQTT client that plays the
//! agents. What a test waits for is a condition; time is a clock that stands.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::config::Config;
use vardpuls_aggregator::metrics::Metrics;
use vardpuls_aggregator::store::Store;
use vardpuls_aggregator::view::View;
use vardpuls_aggregator::{Centre, RunError, bind};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Counts;
use vardpuls_shared::feed::{Feed, Freshness};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{PublicKey, SigningKey};
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Envelope, Kind, sign};
use vardpuls_shared::topic::{Scope, Topic};
use vardpuls_shared::wire::MAX_ENVELOPE;

const NOW: Time = Time(1_700_000_000_000);

fn id(text: &str) -> HospitalId {
    text.parse().expect("valid")
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A centre's files: hospital `a` with key 1 and the revoked key 2, `b` with key 3, `s` suspended with key 4.
fn files() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writes");
    std::fs::create_dir(dir.path().join("hospitals.d")).expect("makes");
    write("centre.key", &SigningKey::generate_pem().expect("random"));
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(dir.path().join("centre.key"), private).expect("sets the mode");
    write(
        "aggregator.toml",
        "key-file = \"centre.key\"\nhospitals-dir = \"hospitals.d\"\n\
         [broker]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n[feed]\nmin-gap = \"20ms\"\n",
    );
    enrol(dir.path(), "a", "enrolled", &[(1, ""), (2, "revoked = \"2020-01-01T00:00:00Z\"")]);
    enrol(dir.path(), "b", "enrolled", &[(3, "")]);
    enrol(dir.path(), "s", "suspended", &[(4, "")]);
    dir
}

fn enrol(dir: &Path, hospital: &str, state: &str, keys: &[(u8, &str)]) {
    let mut text =
        format!("hospital = \"{hospital}\"\nname = \"Hospital {hospital}\"\nregion = \"01\"\nstate = \"{state}\"\n");
    for (seed, more) in keys {
        let public = key(*seed).public();
        writeln!(text, "[[key]]\npublic-key = \"{public}\"\nfingerprint = \"{}\"\n{more}", public.fingerprint())
            .expect("writes to a String");
    }
    std::fs::write(dir.join(format!("hospitals.d/{hospital}.toml")), text).expect("writes");
}

/// Topic and payload.
type Heard = (String, Vec<u8>);

/// A centre that runs, and an MQTT client beside it.
struct Rig {
    clock: Clock,
    public_key: PublicKey,
    view: Arc<arc_swap::ArcSwap<View>>,
    store: Store,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    client: AsyncClient,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Rig {
    async fn start(dir: &TempDir) -> Rig {
        let clock = Clock::standing_at(NOW);
        let config = Config::load(&dir.path().join("aggregator.toml")).expect("a good config");
        let centre = bind(config, clock.clone()).await.expect("binds");
        let Centre { public_key, mqtt_addr, .. } = &centre;
        let (public_key, address) = (*public_key, mqtt_addr.expect("embedded"));
        let (view, store, metrics) = (centre.view.clone(), centre.store.clone(), centre.metrics.clone());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(centre.run(shutdown.clone()));

        let mut options = MqttOptions::new("agents", "127.0.0.1", address.port());
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 100);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (sink, stop) = (heard.clone(), shutdown.clone());
        let subscribed = Arc::new(tokio::sync::Notify::new());
        let told = subscribed.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        sink.lock().expect("not poisoned").push((p.topic, p.payload.to_vec()));
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => told.notify_one(),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        client.subscribe("vardpuls/v1/receipt/+", QoS::AtLeastOnce).await.expect("asks");
        subscribed.notified().await;
        client.subscribe("vardpuls/v1/feed/#", QoS::AtLeastOnce).await.expect("asks");
        subscribed.notified().await;
        client.subscribe("vardpuls/v1/json/feed/#", QoS::AtLeastOnce).await.expect("asks");
        subscribed.notified().await;
        let rig = Rig { clock, public_key, view, store, metrics, shutdown, running, client, heard };
        // The first feed says that the centre is connected; its subscription went out before it.
        rig.until("a feed", |r| r.newest_feed(&Scope::Nation)).await;
        rig
    }

    async fn send(&self, topic: Topic, envelope: Vec<u8>) {
        self.client.publish(topic.to_string(), QoS::AtLeastOnce, false, envelope).await.expect("sends");
    }

    async fn report(&self, report: &Report, seed: u8) {
        self.send(Topic::Report(report.hospital.clone()), sign(Kind::Report, &report.encode(), &key(seed))).await;
    }

    async fn roster(&self, roster: &Roster, seed: u8) {
        self.send(Topic::Roster(roster.hospital.clone()), sign(Kind::Roster, &roster.encode(), &key(seed))).await;
    }

    /// Waits until the condition gives something.
    async fn until<T>(&self, what: &str, mut condition: impl FnMut(&Rig) -> Option<T>) -> T {
        within(what, async {
            loop {
                if let Some(found) = condition(self) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    async fn refused(&self, refusal: Refusal) {
        self.until(refusal.name(), |r| (r.metrics.refused(refusal) > 0).then_some(())).await;
    }

    /// The receipts for a hospital, each verified with the centre's key.
    fn receipts(&self, hospital: &str) -> Vec<Receipt> {
        let topic = Topic::Receipt(id(hospital)).to_string();
        let heard = self.heard.lock().expect("not poisoned");
        let of_hospital = heard.iter().filter(|(t, _)| *t == topic);
        of_hospital
            .map(|(_, bytes)| {
                let envelope = Envelope::open(Kind::Receipt, bytes).expect("a receipt");
                Receipt::decode(envelope.verify(&self.public_key).expect("the centre's")).expect("reads")
            })
            .collect()
    }

    async fn receipted(&self, hospital: &str, sequence: u64) -> Receipt {
        self.until("a receipt", |r| r.receipts(hospital).into_iter().find(|r| r.is_stored(sequence))).await
    }

    /// The newest feed on MQTT, verified with the centre's key.
    fn newest_feed(&self, scope: &Scope) -> Option<Feed> {
        let topic = Topic::Feed(scope.clone()).to_string();
        let heard = self.heard.lock().expect("not poisoned");
        let (_, bytes) = heard.iter().rev().find(|(t, _)| *t == topic)?;
        let envelope = Envelope::open(Kind::Feed, bytes).expect("a feed");
        Some(Feed::decode(envelope.verify(&self.public_key).expect("the centre's")).expect("reads"))
    }

    /// Every feed of the view, without when it was published.
    fn picture(&self) -> BTreeMap<Scope, Feed> {
        let view = self.view.load();
        view.feeds().map(|(scope, feed)| (scope, Feed { number: 0, as_of: Time(0), ..Feed::clone(feed) })).collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within("the end", self.running).await.expect("no panic").expect("no error");
    }
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn roster_of(hospital: &str) -> Roster {
    let ward = |index, name: &str, care| Ward {
        index,
        id: name.parse().expect("valid"),
        name: name.to_owned(),
        care,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    };
    Roster::new(id(hospital), vec![ward(1, "iva", CareType::Icu), ward(2, "medicin", CareType::General)])
}

fn report_of(hospital: &str, sequence: u64, occupied: u16) -> Report {
    let counts = |staffed, occupied| Counts { staffed, occupied, ..Counts::default() };
    Report {
        hospital: id(hospital),
        position: Position { epoch: 5, sequence },
        observed_at: NOW,
        valid_for: 180,
        roster_version: roster_of(hospital).version,
        wards: BTreeMap::from([(1, counts(10, occupied)), (2, counts(20, 25))]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_stored_receipted_and_stands_in_the_feed() {
    let dir = files();
    let rig = Rig::start(&dir).await;
    let before = rig.newest_feed(&Scope::Nation).expect("there from the start");
    assert_eq!((before.coverage.hospitals, before.coverage.unknown, before.total.staffed), (2, 2, None));

    rig.roster(&roster_of("a"), 1).await;
    rig.report(&report_of("a", 1, 7), 1).await;
    rig.receipted("a", 1).await;
    // A receipt is sent only after the commit.
    let stored = rig.store.stored_positions(&id("a")).await.expect("reads");
    assert_eq!(stored.iter().map(|s| s.0.sequence).collect::<Vec<_>>(), [1]);

    let fresh = |r: &Rig| r.newest_feed(&Scope::Nation).filter(|f| f.coverage.fresh == 1);
    let feed = rig.until("a fresh hospital", fresh).await;
    assert!(feed.number > before.number);
    assert_eq!((feed.total.staffed, feed.total.occupied, feed.total.available), (Some(30), Some(32), Some(3)));
    assert_eq!(feed.care[&CareType::Icu].available, Some(3));
    let json: Feed = rig
        .until("the JSON twin", |r| {
            let heard = r.heard.lock().expect("not poisoned");
            let twins = heard.iter().filter(|(t, _)| t == "vardpuls/v1/json/feed/nation");
            twins.map(|(_, text)| serde_json::from_slice::<Feed>(text).expect("JSON")).find(|f| f.number == feed.number)
        })
        .await;
    assert_eq!(json, feed);

    // The same again is acknowledged again, and counted once.
    let said = rig.receipts("a").len();
    rig.report(&report_of("a", 1, 7), 1).await;
    rig.until("another receipt", |r| (r.receipts("a").len() > said).then_some(())).await;
    assert_eq!((rig.metrics.stored.get(), rig.metrics.duplicates.get()), (1, 1));

    // Time passes: nothing is heard, and unknown is not zero.
    rig.clock.set(NOW.plus(Duration::from_secs(181)));
    let stale = |r: &Rig| r.newest_feed(&Scope::Nation).filter(|f| f.coverage.stale == 1);
    let feed = rig.until("a stale hospital", stale).await;
    assert_eq!((feed.total.staffed, feed.care[&CareType::Icu].staffed), (None, None));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_has_its_name_and_only_signed_faults_a_receipt() {
    let dir = files();
    // A hospital whose only key is revoked: nothing good can be refused away.
    enrol(dir.path(), "r", "enrolled", &[(5, "revoked = \"2020-01-01T00:00:00Z\"")]);
    let rig = Rig::start(&dir).await;
    rig.roster(&roster_of("a"), 1).await;
    let signed = |payload: &[u8], seed| sign(Kind::Report, payload, &key(seed));
    let on = |hospital: &str| Topic::Report(id(hospital));
    let good = |sequence| report_of("a", sequence, 1).encode();

    // What anybody could send: refused by name, never receipted.
    rig.send(on("nobody"), signed(&good(10), 1)).await;
    rig.refused(Refusal::UnknownHospital).await;
    rig.send(on("a"), signed(&good(11), 9)).await;
    rig.refused(Refusal::UnknownKey).await;
    rig.send(on("b"), signed(&good(12), 3)).await;
    rig.refused(Refusal::WrongTopic).await;
    let mut forged = signed(&good(13), 1);
    *forged.last_mut().expect("not empty") ^= 1;
    rig.send(on("a"), forged).await;
    rig.refused(Refusal::BadSignature).await;
    rig.send(on("a"), sign(Kind::Roster, &good(14), &key(1))).await;
    rig.refused(Refusal::WrongContentType).await;
    rig.send(on("a"), vec![0; MAX_ENVELOPE + 1]).await;
    rig.refused(Refusal::Oversize).await;
    rig.send(on("a"), b"\xd2\x84".to_vec()).await;
    rig.refused(Refusal::Truncated).await;
    rig.send(on("a"), signed(b"\x01", 1)).await;
    rig.refused(Refusal::Malformed).await;
    rig.send(on("a"), signed(&[&[0x88, 2][..], &good(15)[2..]].concat(), 1)).await;
    rig.refused(Refusal::UnsupportedVersion).await;
    let mut mismatched = roster_of("a");
    mismatched.version ^= 1;
    rig.roster(&mismatched, 1).await;
    rig.refused(Refusal::RosterMismatch).await;

    rig.send(on("a"), signed(&good(16), 2)).await;
    rig.refused(Refusal::RevokedKey).await;

    // What the hospital itself signed: refused by name, and the agent is told.
    let told = async |hospital: &str, sequence, refusal: Refusal| {
        let refused =
            |r: &Rig| r.receipts(hospital).iter().any(|r| r.refused.contains(&(sequence, refusal))).then_some(());
        rig.until(refusal.name(), refused).await;
    };
    let mut absurd = report_of("a", 20, 1);
    absurd.wards.insert(1, Counts { staffed: 10_000, ..Counts::default() });
    rig.report(&absurd, 1).await;
    told("a", 20, Refusal::AbsurdCount).await;
    rig.send(on("a"), signed(&[&good(21)[..], &[0]].concat(), 1)).await;
    told("a", 21, Refusal::TrailingBytes).await;
    rig.report(&report_of("r", 22, 1), 5).await;
    told("r", 22, Refusal::RevokedKey).await;
    rig.report(&report_of("s", 23, 1), 4).await;
    told("s", 23, Refusal::Suspended).await;
    rig.report(&report_of("a", 24, 1), 1).await;
    rig.receipted("a", 24).await;
    rig.report(&report_of("a", 24, 2), 1).await;
    told("a", 24, Refusal::Equivocation).await;

    let named: Vec<u64> = ["a", "b", "r", "s", "nobody"]
        .iter()
        .flat_map(|h| rig.receipts(h))
        .flat_map(|r| r.refused.into_iter().map(|(s, _)| s).chain(r.stored.into_iter().map(|(s, _)| s)))
        .collect();
    assert!(named.iter().all(|s| *s >= 20), "receipted what nobody vouched for: {named:?}");
    let both = rig.store.stored_positions(&id("a")).await.expect("reads");
    assert_eq!(both.len(), 2, "both reports of an equivocation are kept as evidence");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_waits_for_its_roster_which_the_receipt_asks_for() {
    let dir = files();
    let rig = Rig::start(&dir).await;
    rig.report(&report_of("a", 1, 7), 1).await;
    let receipt = rig.receipted("a", 1).await;
    assert_eq!(receipt.wanted, [roster_of("a").version]);
    assert_eq!(rig.metrics.refused(Refusal::RosterMissing), 1);
    assert_eq!(rig.view.load().nation.coverage.unknown, 2);

    rig.roster(&roster_of("a"), 1).await;
    let scope = Scope::Hospital(id("a"));
    let feed = rig.until("the hospital", |r| r.newest_feed(&scope).filter(|f| f.coverage.fresh == 1)).await;
    let detail = feed.hospital.expect("a hospital");
    assert_eq!((detail.state, detail.wards.len(), detail.wards[0].figures.occupied), (Freshness::Fresh, 2, Some(7)));
    rig.report(&report_of("a", 2, 8), 1).await;
    assert!(rig.receipted("a", 2).await.wanted.is_empty());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_picture_is_the_same_after_a_restart() {
    let dir = files();
    let rig = Rig::start(&dir).await;
    rig.roster(&roster_of("a"), 1).await;
    rig.roster(&roster_of("b"), 3).await;
    // Newest first, as after a reconnect; more than are kept; one ahead of time; one equivocation.
    for sequence in (1..=20).rev() {
        let mut report = report_of("a", sequence, u16::try_from(sequence).expect("small"));
        report.observed_at = NOW.minus(Duration::from_secs(5 * (20 - sequence)));
        rig.report(&report, 1).await;
    }
    let mut ahead = report_of("b", 1, 3);
    ahead.observed_at = NOW.plus(Duration::from_hours(2));
    rig.report(&ahead, 3).await;
    rig.report(&report_of("b", 1, 4), 3).await;
    rig.receipted("a", 1).await;
    rig.receipted("b", 1).await;
    rig.refused(Refusal::Equivocation).await;
    let before = rig.until("both fresh", |r| Some(r.picture()).filter(|p| p[&Scope::Nation].coverage.fresh == 2)).await;
    let number = rig.view.load().number;
    rig.stop().await;

    let rig = Rig::start(&dir).await;
    assert_eq!(rig.picture(), before);
    assert_eq!(rig.newest_feed(&Scope::Nation).map(|f| f.total), Some(before[&Scope::Nation].total));
    assert!(number > 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_locked_nothing_is_acknowledged_and_then_everything() {
    let dir = files();
    let rig = Rig::start(&dir).await;
    rig.roster(&roster_of("a"), 1).await;
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("vardpuls.db"));
    let mut other = sqlx::ConnectOptions::connect(&file).await.expect("opens");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("locks");

    rig.report(&report_of("a", 1, 7), 1).await;
    rig.until("a failed commit", |r| (r.metrics.commit_failures.get() > 0).then_some(())).await;
    assert!(rig.receipts("a").is_empty());
    // The live picture does not wait for the store.
    rig.until("a fresh hospital", |r| (r.view.load().nation.coverage.fresh == 1).then_some(())).await;

    sqlx::query("ROLLBACK").execute(&mut other).await.expect("unlocks");
    rig.receipted("a", 1).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enrolment_changes_take_effect_while_running() {
    let dir = files();
    let rig = Rig::start(&dir).await;
    rig.roster(&roster_of("a"), 1).await;
    rig.report(&report_of("a", 1, 7), 1).await;
    rig.until("fresh", |r| (r.view.load().nation.coverage.fresh == 1).then_some(())).await;

    enrol(dir.path(), "a", "suspended", &[(1, "")]);
    rig.until("suspended", |r| (r.view.load().nation.coverage.hospitals == 1).then_some(())).await;
    assert_eq!(rig.view.load().nation.total.staffed, None);
    assert!(!rig.view.load().hospitals.contains_key(&id("a")));

    enrol(dir.path(), "c", "enrolled", &[(6, "")]);
    rig.until("enrolled", |r| r.view.load().hospitals.contains_key(&id("c")).then_some(())).await;
    rig.roster(&roster_of("c"), 6).await;
    rig.report(&report_of("c", 1, 7), 6).await;
    rig.receipted("c", 1).await;
    rig.stop().await;
}
