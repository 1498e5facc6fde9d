//! An idle agent's memory and processor time beside collectd's, where that is installed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vardpuls_shared::clock::Clock;
use vardpuls_tests::centre::{Folder, Setup};
use vardpuls_tests::hospital::{Hospital, Link, Pace};
use vardpuls_tests::process::{Process, Program};
use vardpuls_tests::waiting;

use crate::ingest::processor_time;
use crate::table::{Bar, Row};

pub(crate) fn measure(seconds: u64) -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(beside_collectd(seconds))
}

async fn beside_collectd(seconds: u64) -> Result<Vec<Row>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let any = "127.0.0.1:0".parse().map_err(|e: std::net::AddrParseError| e.to_string())?;
    let setup = Setup {
        http: any,
        mqtt: any,
        nation_file: None,
        feed_gap: "200ms",
        sample_every: "5m",
        notice: "benchmark".into(),
    };
    let files = Folder::create(&folder.path().join("centre"), &setup).map_err(|e| e.to_string())?;
    let (hospital, card, agent) = hospital(folder.path())?;
    files.enrol(&card).map_err(|e| e.to_string())?;
    let centre = files.start(Clock::System).await.map_err(|e| e.to_string())?;
    let link = Link { mqtt: centre.mqtt, centre_key: centre.public_key };
    hospital.configure(&agent, &link).map_err(|e| e.to_string())?;
    let process =
        Process::start(Program::Agent, &hospital.config_file, &folder.path().join("log")).map_err(|e| e.to_string())?;
    let pid = process.id().ok_or("the agent ended")?;
    let fresh = || centre.view().nation.coverage.fresh == 1;
    if !waiting::until(Duration::from_secs(30), fresh).await {
        return Err("the agent does not report".into());
    }
    let mut collectd = Collectd::start(folder.path())?;
    let other = collectd.as_ref().map(|c| c.0.id());
    // Both settle first; then both are watched over the same time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = (processor_time(pid)?, other.map(processor_time).transpose()?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = (processor_time(pid)?, other.map(processor_time).transpose()?);
    let a_second = |spent: Duration| spent.as_secs_f64() * 1e6 / Duration::from_secs(seconds).as_secs_f64();
    let cpu = a_second(after.0.saturating_sub(before.0));
    let other_cpu = after.1.zip(before.1).map(|(a, b)| a_second(a.saturating_sub(b)));
    let (memory, private) = (kilobytes(pid, "VmRSS")?, kilobytes(pid, "RssAnon")?);
    let other_memory = other.map(|pid| kilobytes(pid, "VmRSS")).transpose()?;
    let other_private = other.map(|pid| kilobytes(pid, "RssAnon")).transpose()?;
    process.terminate().await.map_err(|e| e.to_string())?;
    if let Some(collectd) = &mut collectd {
        collectd.stop();
    }
    centre.stop().await.map_err(|e| e.to_string())?;
    let missing = || "collectd is not installed".to_owned();
    Ok(vec![
        Row {
            what: "idle agent, 25 wards, a report a minute: resident memory".into(),
            value: format!("{memory:.0} kB"),
            beside: other_memory.map_or_else(missing, |m| format!("{m:.0} kB collectd")),
            ratio: other_memory.map(|m| memory / m),
            bar: Some(Bar::AtMost(1.5)),
        },
        Row {
            what: "idle agent: of it its own (RssAnon); the rest is the program file and libraries".into(),
            value: format!("{private:.0} kB"),
            beside: other_private.map_or_else(missing, |m| format!("{m:.0} kB collectd")),
            ratio: other_private.map(|m| private / m),
            bar: None,
        },
        Row {
            what: format!("idle agent: processor time a second, over {seconds} s, µs"),
            value: format!("{cpu:.0} µs"),
            beside: other_cpu.map_or_else(missing, |c| format!("{c:.0} µs collectd")),
            ratio: Some(cpu),
            bar: Some(Bar::AtMost(50.0)),
        },
    ])
}

fn hospital(folder: &Path) -> Result<(Hospital, vardpuls_shared::card::Card, vardpuls_tests::hospital::Setup), String> {
    let folder = folder.join("hospital");
    let drop = folder.join("drops/beds.csv");
    let wards = (1..=25i64).map(|index| {
        let mut ward = toml::Table::new();
        ward.insert("index".into(), index.into());
        ward.insert("id".into(), format!("w{index}").into());
        ward.insert("name".into(), format!("Ward {index}").into());
        ward.insert("care".into(), "general".into());
        ward
    });
    let source = format!(
        "name = \"beds\"\nkind = \"csv\"\npath = {:?}\n[columns]\nward = \"ward\"\nstaffed = \"staffed\"\noccupied = \"occupied\"\n",
        drop.display().to_string()
    );
    let setup = vardpuls_tests::hospital::Setup {
        hospital: "SE0000000000-IDLE".parse().map_err(|e: vardpuls_shared::hospital::InvalidId| e.to_string())?,
        name: "Idle".into(),
        region: "01".parse().map_err(|e: vardpuls_shared::hospital::InvalidId| e.to_string())?,
        pace: Pace {
            // As the packaged config has it.
            heartbeat: Duration::from_mins(1),
            min_gap: Duration::from_secs(2),
            jitter: Duration::from_secs(1),
            valid_for: Duration::from_mins(3),
        },
        wards: wards.collect(),
        sources: vec![source.parse().map_err(|e: toml::de::Error| e.to_string())?],
    };
    let (hospital, card) = Hospital::create(&folder, &setup).map_err(|e| e.to_string())?;
    let rows: Vec<String> = (1..=25).map(|n| format!("w{n},20,{}\n", 12 + n % 8)).collect();
    fs::write(&drop, format!("ward,staffed,occupied\n{}", rows.concat())).map_err(|e| e.to_string())?;
    Ok((hospital, card, setup))
}

/// A field of the process's status, in kB.
pub(crate) fn kilobytes(pid: u32, name: &str) -> Result<f64, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let field = line.ok_or_else(|| format!("no {name}"))?;
    field.trim().trim_end_matches("kB").trim().parse().map_err(|_| format!("{name} is {field:?}"))
}

/// A collectd with four readers and the network plugin, as hospitals run it.
struct Collectd(Child);

impl Collectd {
    fn start(folder: &Path) -> Result<Option<Collectd>, String> {
        let program = Path::new("/usr/sbin/collectd");
        if !program.exists() {
            return Ok(None);
        }
        let config = folder.join("collectd.conf");
        let base = folder.display();
        let text = format!(
            "BaseDir \"{base}\"\nPIDFile \"{base}/collectd.pid\"\nInterval 10\nLoadPlugin cpu\nLoadPlugin memory\n\
             LoadPlugin load\nLoadPlugin interface\nLoadPlugin network\n<Plugin network>\nServer \"127.0.0.1\" \"25826\"\n</Plugin>\n"
        );
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.arg("-f").arg("-C").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(|child| Some(Collectd(child))).map_err(|e| e.to_string())
    }

    fn stop(&mut self) {
        // It holds nothing that has to survive.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Collectd {
    fn drop(&mut self) {
        self.stop();
    }
}
