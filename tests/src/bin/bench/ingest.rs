//! Ingest beside bare signature verification: on one thread without history, and as the processor
//! time of a whole aggregator with its store on disk behind a real broker of its own process.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, QoS};
use vardpuls_aggregator::live::Live;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::verify::{Verified, verify};
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::topic::Topic;
use vardpuls_shared::wire::MAX_ENVELOPE;
use vardpuls_tests::process::{Process, Program};
use vardpuls_tests::waiting;

use crate::fixture::{Hospital, NOW, hospitals, median, registry};
use crate::table::{Bar, Row};

const HOSPITALS: usize = 500;
const ROUNDS: u64 = 9;

pub(crate) fn measure() -> Result<Vec<Row>, String> {
    let hospitals = hospitals(HOSPITALS);
    let (bare, ingest) = on_one_thread(&hospitals);
    let mut rows = vec![Row {
        what: "verify, merge, rollup of a report, one thread, no history".into(),
        value: format!("{ingest:.1} µs"),
        beside: format!("{bare:.1} µs bare verification"),
        ratio: Some(bare / ingest),
        bar: Some(Bar::AtLeast(0.90)),
    }];
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    for feed_gap in ["1h", "200ms"] {
        rows.push(runtime.block_on(whole_process(&hospitals, bare, feed_gap))?);
    }
    Ok(rows)
}

/// (bare verification, ingest) in µs a report: medians over rounds in turns.
fn on_one_thread(hospitals: &[Hospital]) -> (f64, f64) {
    let registry = registry(hospitals);
    let mut live = Live::new(Arc::new(Nation::sweden()), &registry, Duration::from_mins(1));
    for h in hospitals {
        if let Ok(Verified::Roster(roster)) = verify(&registry, NOW, &Topic::Roster(h.id.clone()), &h.signed_roster()) {
            live.apply_roster(&roster, NOW);
        }
    }
    let signer = SigningKey::from_seed(&[1; 32]);
    let (mut bare, mut ingest) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let reports: Vec<(Topic, Vec<u8>)> =
            hospitals.iter().map(|h| (Topic::Report(h.id.clone()), h.signed_report(round, NOW))).collect();
        let messages: Vec<(&[u8], [u8; 64])> = reports.iter().map(|(_, r)| (&r[..], signer.sign(r))).collect();
        let start = Instant::now();
        for (message, signature) in &messages {
            assert!(black_box(signer.public().verifies(message, signature)), "a fixture verifies");
        }
        bare.push(per_report(start.elapsed(), messages.len()));
        let start = Instant::now();
        for (topic, envelope) in &reports {
            match verify(&registry, NOW, topic, envelope) {
                Ok(Verified::Report(report)) => drop(black_box(live.apply(&report, NOW))),
                other => panic!("a fixture's report verifies, not {other:?}"),
            }
        }
        ingest.push(per_report(start.elapsed(), reports.len()));
        black_box(live.take_dirty());
    }
    (median(bare), median(ingest))
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
fn per_report(spent: Duration, reports: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / reports as f64
}

/// The processor time of an aggregator for each report, receipts, feed and commits included.
async fn whole_process(hospitals: &[Hospital], bare: f64, feed_gap: &str) -> Result<Row, String> {
    const EACH: u64 = 60;
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let folder = tempfile::tempdir().map_err(|e| text(&e))?;
    let broker = Mosquitto::start(folder.path())?;
    let http = free_port()?;
    let config = folder.path().join("aggregator.toml");
    fs::create_dir_all(folder.path().join("hospitals.d")).map_err(|e| text(&e))?;
    fs::write(
        &config,
        format!(
            "key-file = \"centre.key\"\nhospitals-dir = \"hospitals.d\"\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n\
             [store]\npath = \"vardpuls.db\"\n[ingest]\nqueue = 100000\n[feed]\nmin-gap = \"{feed_gap}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n",
            broker.port
        ),
    )
    .map_err(|e| text(&e))?;
    let status = std::process::Command::new(Program::Aggregator.path().map_err(|e| text(&e))?)
        .args(["keygen", "--config"])
        .arg(&config)
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|e| text(&e))?;
    if !status.success() {
        return Err(format!("keygen: {status}"));
    }
    let nation = Nation::sweden();
    for h in hospitals {
        vardpuls_aggregator::enrolment::enrol(&folder.path().join("hospitals.d"), &h.card(), NOW, &nation)
            .map_err(|e| text(&e))?;
    }
    let mut centre = Process::start(Program::Aggregator, &config, &folder.path().join("log")).map_err(|e| text(&e))?;
    let ready = format!("http://127.0.0.1:{http}/readyz");
    if !waiting::until(Duration::from_secs(30), || ureq::get(&ready).call().is_ok()).await {
        return Err("the aggregator does not get ready".into());
    }
    let pid = centre.id().ok_or("the aggregator ended")?;
    let metrics = format!("http://127.0.0.1:{http}/metrics");
    let total = EACH * hospitals.len() as u64;
    let messages: Vec<(String, Vec<u8>)> = (0..=EACH)
        .flat_map(|sequence| {
            hospitals.iter().map(move |h| match sequence {
                0 => (Topic::Roster(h.id.clone()).to_string(), h.signed_roster()),
                n => (Topic::Report(h.id.clone()).to_string(), h.signed_report(n, NOW)),
            })
        })
        .collect();
    let before = processor_time(pid)?;
    let start = Instant::now();
    let publisher = tokio::spawn(publish(broker.port, messages));
    let stored = || counter(&metrics, "vardpuls_stored_total").unwrap_or(0) >= total;
    if !waiting::until(Duration::from_mins(2), stored).await {
        return Err(format!("only {:?} of {total} reports were stored", counter(&metrics, "vardpuls_stored_total")));
    }
    let (spent, wall) = (processor_time(pid)?.saturating_sub(before), start.elapsed());
    publisher.await.map_err(|e| text(&e))??;
    if centre.is_running().map_err(|e| text(&e))? {
        centre.terminate().await.map_err(|e| text(&e))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let each = spent.as_secs_f64() * 1e6 / total as f64;
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let rate = total as f64 / wall.as_secs_f64();
    Ok(Row {
        what: format!("aggregator's processor time for a report, broker to store and receipt, feed every {feed_gap}"),
        value: format!("{each:.1} µs ({rate:.0} reports/s beside the load)"),
        beside: format!("{bare:.1} µs bare verification"),
        ratio: Some(bare / each),
        // The design's bar is for the way from the broker to the rules, without the feed's signatures.
        bar: (feed_gap == "1h").then_some(Bar::AtLeast(0.75)),
    })
}

async fn publish(port: u16, messages: Vec<(String, Vec<u8>)>) -> Result<(), String> {
    let mut options = MqttOptions::new("bench-load", "127.0.0.1", port);
    options.set_max_packet_size(MAX_ENVELOPE * 2, MAX_ENVELOPE * 2).set_inflight(200);
    let (client, mut events) = AsyncClient::new(options, 1000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let count = messages.len();
    tokio::spawn(async move {
        for (topic, payload) in messages {
            if client.publish(topic, QoS::AtLeastOnce, false, payload).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut acknowledged = 0;
    while acknowledged < count {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(())
}

/// User and system time of a process, all threads.
pub(crate) fn processor_time(pid: u32) -> Result<Duration, String> {
    let mut nanoseconds = 0;
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| e.to_string())?;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).map_err(|e| e.to_string())?;
        nanoseconds += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).ok_or("no schedstat")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn counter(url: &str, name: &str) -> Option<u64> {
    let text = ureq::get(url).call().ok()?.body_mut().read_to_string().ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener.local_addr().map(|a| a.port()).map_err(|e| e.to_string())
}

/// A Mosquitto of our own: the broker's time must not count as the aggregator's.
struct Mosquitto {
    child: std::process::Child,
    port: u16,
}

impl Mosquitto {
    fn start(folder: &Path) -> Result<Mosquitto, String> {
        let port = free_port()?;
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n\
             max_inflight_messages 0\npersistence false\n"
        );
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
        let program = program.into_iter().find(|p| Path::new(p).exists());
        let child =
            std::process::Command::new(program.ok_or("Mosquitto is not installed; install the package mosquitto")?)
                .arg("-c")
                .arg(&config)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .map_err(|e| e.to_string())?;
        Ok(Mosquitto { child, port })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It holds nothing that has to survive.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
