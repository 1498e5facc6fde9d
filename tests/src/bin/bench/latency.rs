//! From a report's publication to the feed that shows it, through a real broker, at national load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};
use tokio::sync::mpsc;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::feed::Feed;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::{Scope, Topic};
use vardpuls_shared::wire::MAX_ENVELOPE;
use vardpuls_tests::centre::{Centre, Folder, Setup};
use vardpuls_tests::waiting;

use crate::fixture::{Hospital, NOW, hospitals};
use crate::table::{Bar, Row};

const HOSPITALS: usize = 72;
/// Every hospital reports about once in 0.7 s: a hundred times the rate of a calm country.
const PAUSE: Duration = Duration::from_millis(10);
const REPORTS: usize = 1_500;

pub(crate) fn measure() -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    ["0ms", "200ms"].into_iter().map(|gap| runtime.block_on(through_the_broker(gap))).collect()
}

async fn through_the_broker(feed_gap: &'static str) -> Result<Row, String> {
    let hospitals = hospitals(HOSPITALS);
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let any = "127.0.0.1:0".parse().map_err(|e: std::net::AddrParseError| e.to_string())?;
    let setup =
        Setup { http: any, mqtt: any, nation_file: None, feed_gap, sample_every: "5m", notice: "benchmark".into() };
    let files = Folder::create(folder.path(), &setup).map_err(|e| e.to_string())?;
    for h in &hospitals {
        files.enrol(&h.card()).map_err(|e| e.to_string())?;
    }
    let centre = files.start(Clock::System).await.map_err(|e| e.to_string())?;
    let mut delays = delays(&centre, &hospitals).await?;
    centre.stop().await.map_err(|e| e.to_string())?;
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let (p50, p95, p99) = (at(50), at(95), at(99));
    Ok(Row {
        what: format!("report to feed through the broker, 72 hospitals, 100 reports/s, min-gap {feed_gap}: p99"),
        value: format!("{p99:.1} ms"),
        beside: format!("p50 {p50:.1} ms, p95 {p95:.1} ms"),
        ratio: Some(p99 / 1e3),
        bar: Some(Bar::AtMost(1.0)),
    })
}

pub(crate) fn connect(centre: &Centre, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, centre.mqtt.ip().to_string(), centre.mqtt.port());
    options.set_max_packet_size(MAX_ENVELOPE * 2, MAX_ENVELOPE * 2);
    let (client, mut events) = AsyncClient::new(options, 5_000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    (client, events)
}

async fn delays(centre: &Centre, hospitals: &[Hospital]) -> Result<Vec<Duration>, String> {
    let fault = |e: rumqttc::ClientError| e.to_string();
    let (reader, mut feeds) = connect(centre, "bench-reader");
    reader.subscribe("vardpuls/v1/feed/hospital/+", QoS::AtLeastOnce).await.map_err(fault)?;
    let (seen, mut shown) = mpsc::channel::<(HospitalId, Time, Instant)>(8 * REPORTS);
    let reading = tokio::spawn(async move {
        while let Ok(event) = feeds.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else { continue };
            let arrived = Instant::now();
            let Some(Topic::Feed(Scope::Hospital(hospital))) = Topic::parse(&message.topic) else { continue };
            let Ok(envelope) = Envelope::open(Kind::Feed, &message.payload) else { continue };
            let feed = Feed::decode(envelope.unverified_payload()).ok();
            let observed = feed.and_then(|f| f.hospital).and_then(|h| h.observed_at);
            if let Some(observed) = observed
                && seen.try_send((hospital, observed, arrived)).is_err()
            {
                return;
            }
        }
    });
    let (writer, mut acknowledgements) = connect(centre, "bench-writer");
    let writing = tokio::spawn(async move { while acknowledgements.poll().await.is_ok() {} });
    let all_fresh = || centre.view().nation.coverage.fresh as usize == hospitals.len();
    // The broker keeps no report for a centre that has not subscribed yet: an agent sends it again.
    for _ in 0..10 {
        for h in hospitals {
            let roster = Topic::Roster(h.id.clone()).to_string();
            writer.publish(roster, QoS::AtLeastOnce, true, h.signed_roster()).await.map_err(fault)?;
            let (report, first) = (Topic::Report(h.id.clone()).to_string(), h.signed_report(1, NOW));
            writer.publish(report, QoS::AtLeastOnce, false, first).await.map_err(fault)?;
        }
        if waiting::until(Duration::from_secs(3), all_fresh).await {
            break;
        }
    }
    if !all_fresh() {
        return Err("not every hospital got fresh".into());
    }
    let mut sent: BTreeMap<HospitalId, Vec<(Time, Instant)>> = BTreeMap::new();
    for n in 0..REPORTS {
        let h = &hospitals[n % hospitals.len()];
        let observed = Clock::System.now();
        let report = h.signed_report(2 + (n / hospitals.len()) as u64, observed);
        sent.entry(h.id.clone()).or_default().push((observed, Instant::now()));
        writer
            .publish(Topic::Report(h.id.clone()).to_string(), QoS::AtLeastOnce, false, report)
            .await
            .map_err(fault)?;
        tokio::time::sleep(PAUSE).await;
    }
    // A report is shown by the first feed that holds it or a newer one.
    let mut delays = Vec::with_capacity(REPORTS);
    while delays.len() < REPORTS {
        let next = tokio::time::timeout(Duration::from_secs(10), shown.recv()).await;
        let (hospital, observed, arrived) =
            next.ok().flatten().ok_or_else(|| format!("only {} of {REPORTS} reports were shown", delays.len()))?;
        if let Some(waiting) = sent.get_mut(&hospital) {
            let shown = waiting.partition_point(|(at, _)| *at <= observed);
            delays.extend(waiting.drain(..shown).map(|(_, start)| arrived.duration_since(start)));
        }
    }
    reading.abort();
    writing.abort();
    Ok(delays)
}
