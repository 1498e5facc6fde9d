//! From a report's publication to the alarm that it raises, on MQTT, through the broker.
//!
//! An alarm is said after its journal entry is durable. With the store in memory the figure is that of
//! everything but the disk, and carries the bar; beside it stands the same with the store on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, Packet, QoS};
use tokio::sync::mpsc;
use vardpuls_shared::alert::{Alert, State, Target};
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Counts;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::{Scope, Topic};
use vardpuls_tests::centre::{Folder, Setup};
use vardpuls_tests::waiting;

use crate::fixture::{Hospital, WARDS, hospitals, median};
use crate::latency::connect;
use crate::table::{Bar, Row};

const HOSPITALS: usize = 40;
/// Every hospital fills and empties so often.
const TIMES: usize = 15;
/// Between two reports.
const PAUSE: Duration = Duration::from_millis(10);
/// A folder in memory.
const MEMORY: &str = "/dev/shm";

const RULES: &str = r#"
[[rule]]
name = "full"
title = "Hospital full"
scope = "hospital"
measure = "occupancy"
raise = { at = 95, for = "0s" }
clear = { at = 90, for = "0s" }
severity = "severe"
response = "Call."
"#;

pub(crate) fn measure() -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    if !Path::new(MEMORY).is_dir() {
        return Err(format!("{MEMORY} is not there: the figure without the disk needs a folder in memory"));
    }
    let disk = std::env::temp_dir();
    Ok(vec![
        runtime.block_on(through_the_broker("in memory", Path::new(MEMORY), Some(Bar::AtMost(5.0))))?,
        runtime.block_on(through_the_broker("on disk", &disk, None))?,
    ])
}

async fn through_the_broker(place: &str, store: &Path, bar: Option<Bar>) -> Result<Row, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let hospitals = hospitals(HOSPITALS);
    let folder = tempfile::tempdir_in(store).map_err(|e| text(&e))?;
    let any = "127.0.0.1:0".parse().map_err(|e: std::net::AddrParseError| text(&e))?;
    let setup = Setup {
        http: any,
        mqtt: any,
        nation_file: None,
        feed_gap: "200ms",
        sample_every: "5m",
        notice: "benchmark".into(),
    };
    let files = Folder::create(folder.path(), &setup).map_err(|e| text(&e))?;
    fs::write(folder.path().join("rules.toml"), RULES).map_err(|e| text(&e))?;
    files.amend("alerts", [("rules-file", "rules.toml")]).map_err(|e| text(&e))?;
    for h in &hospitals {
        files.enrol(&h.card()).map_err(|e| text(&e))?;
    }
    let centre = files.start(Clock::System).await.map_err(|e| text(&e))?;
    let mut delays = delays(&centre, &hospitals).await?;
    centre.stop().await.map_err(|e| text(&e))?;
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let (p50, p95, p99) = (at(50), at(95), at(99));
    Ok(Row {
        what: format!("report to alarm through the broker, store {place}: p95"),
        value: format!("{p95:.1} ms"),
        beside: format!("p50 {p50:.1} ms, p99 {p99:.1} ms; a write and sync there {:.2} ms", sync_time(store)?),
        ratio: Some(p95),
        bar,
    })
}

/// What a small write takes to be durable in a folder: the median in ms.
fn sync_time(folder: &Path) -> Result<f64, String> {
    let mut file = tempfile::tempfile_in(folder).map_err(|e| e.to_string())?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(|e| e.to_string())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

/// A report in which every ward has so many of its 20 beds occupied.
fn report(hospital: &Hospital, sequence: u64, observed: Time, occupied: u16) -> Vec<u8> {
    let wards = (1..=WARDS).map(|index| (index, Counts { staffed: 20, occupied, ..Counts::default() }));
    hospital.signed_counts(sequence, observed, wards.collect())
}

async fn delays(centre: &vardpuls_tests::centre::Centre, hospitals: &[Hospital]) -> Result<Vec<Duration>, String> {
    let fault = |e: rumqttc::ClientError| e.to_string();
    let (reader, mut alerts) = connect(centre, "bench-reader");
    reader.subscribe("vardpuls/v1/alert/+", QoS::AtLeastOnce).await.map_err(fault)?;
    let (seen, mut raised) = mpsc::channel::<(HospitalId, Instant)>(2 * HOSPITALS * TIMES);
    let reading = tokio::spawn(async move {
        while let Ok(event) = alerts.poll().await {
            let Event::Incoming(Packet::Publish(message)) = event else { continue };
            let arrived = Instant::now();
            let Ok(envelope) = Envelope::open(Kind::Alert, &message.payload) else { continue };
            let Ok(alert) = Alert::decode(envelope.unverified_payload()) else { continue };
            if let (State::ActiveUnacknowledged, Target::Scope(Scope::Hospital(hospital))) = (alert.state, alert.target)
                && seen.try_send((hospital, arrived)).is_err()
            {
                return;
            }
        }
    });
    let (writer, mut acknowledgements) = connect(centre, "bench-writer");
    let writing = tokio::spawn(async move { while acknowledgements.poll().await.is_ok() {} });
    let report_to = async |writer: &AsyncClient, h: &Hospital, envelope: Vec<u8>| {
        writer.publish(Topic::Report(h.id.clone()).to_string(), QoS::AtLeastOnce, false, envelope).await.map_err(fault)
    };
    let all_fresh = || centre.view().nation.coverage.fresh as usize == hospitals.len();
    // The broker keeps no report for a centre that has not subscribed yet: an agent sends it again.
    for _ in 0..10 {
        for h in hospitals {
            let roster = Topic::Roster(h.id.clone()).to_string();
            writer.publish(roster, QoS::AtLeastOnce, true, h.signed_roster()).await.map_err(fault)?;
            report_to(&writer, h, report(h, 1, Clock::System.now(), 10)).await?;
        }
        if waiting::until(Duration::from_secs(3), all_fresh).await {
            break;
        }
    }
    if !all_fresh() {
        return Err("not every hospital got fresh".into());
    }
    let mut sequence = 1;
    let mut delays = Vec::with_capacity(HOSPITALS * TIMES);
    for round in 1..=TIMES {
        let mut sent: BTreeMap<HospitalId, Instant> = BTreeMap::new();
        for occupied in [20, 10] {
            sequence += 1;
            for h in hospitals {
                let envelope = report(h, sequence, Clock::System.now(), occupied);
                if occupied == 20 {
                    sent.insert(h.id.clone(), Instant::now());
                }
                report_to(&writer, h, envelope).await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        while !sent.is_empty() {
            let next = tokio::time::timeout(Duration::from_secs(10), raised.recv()).await;
            let (hospital, arrived) =
                next.ok().flatten().ok_or_else(|| format!("in round {round} {} alarms were not said", sent.len()))?;
            if let Some(start) = sent.remove(&hospital) {
                delays.push(arrived.duration_since(start));
            }
        }
    }
    reading.abort();
    writing.abort();
    Ok(delays)
}
