//! An idle agent's memory and processor time beside collectd's, where that is installed.
//!
//! Both are started several times, each time from the disk, as after a boot: how much of a file Linux maps depends on
//! how it came into memory and on where the address space was put. Memory is the median of the starts; processor time
//! is that of the last.
//!
//! The agent speaks over TLS, as hospitals have it. It stands beside a collectd that encrypts what it sends, too, and
//! beside one that does not.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use vardpuls_shared::clock::Time;
use vardpuls_tests::hospital::Pace;
use vardpuls_tests::idle::Idle;
use vardpuls_tests::process::{Process, Program};

use crate::ingest::processor_time;
use crate::table::{Bar, Row};

/// How often both are started.
const STARTS: usize = 9;

/// How long each settles before it is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// How hospitals start the agent.
const UNIT: &str = include_str!("../../../../packaging/agent/vardpuls-agent.service");

pub(crate) fn measure(seconds: u64) -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(beside_collectd(Duration::from_secs(seconds)))
}

async fn beside_collectd(watched: Duration) -> Result<Vec<Row>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let pace = Pace {
        // As the packaged config has it.
        heartbeat: Duration::from_mins(1),
        min_gap: Duration::from_secs(2),
        jitter: Duration::from_secs(1),
        valid_for: Duration::from_mins(3),
    };
    let idle = Idle::start(folder.path(), pace).await.map_err(|e| e.to_string())?;
    let (mut agents, mut collectds, mut in_clear) = (Vec::new(), Vec::new(), Vec::new());
    let (mut spent, mut others) = (Duration::ZERO, None);
    let mut heard: Option<Time> = None;
    for start in 1..=STARTS {
        // Other counts than before, so that the centre has something to show.
        idle.write(start).map_err(|e| e.to_string())?;
        from_disk(&Program::Agent.path().map_err(|e| e.to_string())?)?;
        let agent = Process::start_with(Program::Agent, idle.config_file(), &folder.path().join("log"), environment())
            .map_err(|e| e.to_string())?;
        let pid = agent.id().ok_or("the agent ended")?;
        heard = Some(idle.heard_after(heard, Duration::from_secs(30)).await.map_err(|e| e.to_string())?);
        let plain = Collectd::start(folder.path(), Protection::None)?;
        let collectd = Collectd::start(folder.path(), Protection::Encrypt)?;
        let other = collectd.as_ref().map(|c| c.0.id());
        tokio::time::sleep(SETTLE).await;
        if start == STARTS {
            let before = (processor_time(pid)?, other.map(processor_time).transpose()?);
            tokio::time::sleep(watched).await;
            spent = processor_time(pid)?.saturating_sub(before.0);
            let after = other.map(processor_time).transpose()?;
            others = after.zip(before.1).map(|(after, before)| after.saturating_sub(before));
        }
        agents.push(Memory::of(pid)?);
        collectds.extend(other.map(Memory::of).transpose()?);
        in_clear.extend(plain.as_ref().map(|c| Memory::of(c.0.id())).transpose()?);
        agent.terminate().await.map_err(|e| e.to_string())?;
    }
    idle.stop().await.map_err(|e| e.to_string())?;
    let missing = || "collectd is not installed".to_owned();
    let a_second = |spent: Duration| spent.as_secs_f64() * 1e6 / watched.as_secs_f64();
    let row = |what: &str, others: &[Memory], whose: &str, of: fn(&Memory) -> f64, bar: Option<Bar>| {
        let (agent, other) = (Spread::of(&agents, of), Spread::of(others, of));
        Row {
            what: format!("idle agent, 25 wards of a CSV file, TLS, median of {STARTS} starts: {what}"),
            value: agent.as_ref().map_or_else(String::new, Spread::to_string),
            beside: other.as_ref().map_or_else(missing, |other| format!("{other} {whose}")),
            ratio: agent.zip(other).map(|(agent, other)| agent.median / other.median),
            bar,
        }
    };
    let (alike, plain, bar) = ("collectd that encrypts", "collectd in clear", Some(Bar::AtMost(1.5)));
    Ok(vec![
        row("resident memory", &collectds, alike, |m| m.resident, bar),
        row("resident memory", &in_clear, plain, |m| m.resident, bar),
        row(
            "of it its own (RssAnon); the rest is the program file and libraries",
            &collectds,
            alike,
            |m| m.private,
            None,
        ),
        Row {
            what: format!("idle agent: processor time a second, over {} s, µs", watched.as_secs()),
            value: format!("{:.0} µs", a_second(spent)),
            beside: others.map_or_else(missing, |spent| format!("{:.0} µs collectd", a_second(spent))),
            ratio: Some(a_second(spent)),
            bar: Some(Bar::AtMost(50.0)),
        },
    ])
}

/// The variables that the unit sets.
fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")).filter_map(|set| set.split_once('='))
}

/// What of a file is in memory and not in use is forgotten, so that the next start reads it from the disk.
fn from_disk(file: &Path) -> Result<(), String> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let file = File::open(file).map_err(|e| named(&e))?;
    file.sync_all().map_err(|e| named(&e))?;
    fadvise(&file, 0, None, Advice::DontNeed).map_err(|e| named(&e))
}

/// A process's memory, in kB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    resident: f64,
    private: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Memory, String> {
        Ok(Memory { resident: kilobytes(pid, "VmRSS")?, private: kilobytes(pid, "RssAnon")? })
    }
}

/// The figures of several starts.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(starts: &[Memory], of: fn(&Memory) -> f64) -> Option<Spread> {
        let mut figures: Vec<f64> = starts.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        Some(Spread { least: *figures.first()?, median: figures[figures.len() / 2], most: *figures.last()? })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} kB ({:.0} to {:.0})", self.median, self.least, self.most)
    }
}

/// A field of the process's status, in kB.
pub(crate) fn kilobytes(pid: u32, name: &str) -> Result<f64, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let field = line.ok_or_else(|| format!("no {name}"))?;
    field.trim().trim_end_matches("kB").trim().parse().map_err(|_| format!("{name} is {field:?}"))
}

/// What collectd's network plugin does with what it sends.
#[derive(Debug, Clone, Copy)]
enum Protection {
    None,
    Encrypt,
}

/// A collectd with four readers and the network plugin, as hospitals run it.
struct Collectd(Child);

impl Collectd {
    fn start(folder: &Path, protection: Protection) -> Result<Option<Collectd>, String> {
        let program = Path::new("/usr/sbin/collectd");
        if !program.exists() {
            return Ok(None);
        }
        from_disk(program)?;
        let plugins = ["cpu", "memory", "load", "interface", "network"];
        for plugin in plugins {
            from_disk(&Path::new("/usr/lib/collectd").join(plugin).with_extension("so"))?;
        }
        let config = folder.join(format!("collectd-{protection:?}.conf"));
        let base = folder.display();
        let plugins = plugins.map(|plugin| format!("LoadPlugin {plugin}\n")).concat();
        let login = match protection {
            Protection::None => "",
            Protection::Encrypt => "Username \"agent\"\nPassword \"a password\"\n",
        };
        let text = format!(
            "BaseDir \"{base}\"\nPIDFile \"{base}/{protection:?}.pid\"\nInterval 10\n{plugins}<Plugin network>\n\
             <Server \"127.0.0.1\" \"25826\">\nSecurityLevel {protection:?}\n{login}</Server>\n</Plugin>\n"
        );
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.arg("-f").arg("-C").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(|child| Some(Collectd(child))).map_err(|e| e.to_string())
    }
}

impl Drop for Collectd {
    fn drop(&mut self) {
        // It holds nothing that has to survive.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
