//! The check: what would keep this agent from reporting, and what to do about it.
//!
//! In: a config file and the machine that it names. Out: findings, as lines or as JSON. Every
//! source is read once; nothing is sent, and nothing stays on disk.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use vardpuls_shared::clock::{Clock, Time};

use crate::census::Snapshot;
use crate::config::{Broker, Config};
use crate::preview::{self, Reading};
use crate::publisher::connection;
use crate::signer::Signer;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The agent runs, but somebody should look.
    Warning,
    /// The agent cannot report so.
    Failed,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Failed => "FAILED",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, what: what.into(), remedy: String::new() }
    }

    fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, what: what.into(), remedy: remedy.into() }
    }

    /// Errors read "what is wrong; what to do".
    fn of(level: Level, about: &str, error: &impl ToString) -> Finding {
        let text = error.to_string();
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        Finding { level, what: format!("{about}: {what}"), remedy: remedy.to_owned() }
    }
}

/// Checks, prints, and gives the exit status: 1 where anything failed.
pub async fn run(file: &Path, json: bool) -> ExitCode {
    let findings = check(file, &Clock::System).await;
    print!("{}", if json { render_json(&findings) } else { render(&findings) });
    if findings.iter().any(|f| f.level == Level::Failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Looks at everything, in the order in which the agent would need it.
pub async fn check(file: &Path, clock: &Clock) -> Vec<Finding> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(e) => return vec![Finding::of(Level::Failed, "config", &e)],
    };
    let (wards, sources) = (config.wards.len(), config.sources.len());
    let mut findings = vec![
        Finding::ok(format!("config: {}: {}, {wards} wards, {sources} sources", file.display(), config.hospital)),
        key(&config),
        broker(&config),
        state_dir(&config.state_dir),
    ];
    let readings = preview::read(&config, clock).await;
    // After the reading, which may take a while: a file that was just written is not from the future.
    let now = clock.now();
    for reading in &readings {
        findings.extend(source(reading));
    }
    if let Some(snapshot) = preview::snapshot(&config, &readings, now) {
        findings.extend(census(&config, &snapshot, now));
    }
    findings
}

fn key(config: &Config) -> Finding {
    match Signer::load(config) {
        Ok(signer) => {
            let key = signer.public_key();
            Finding::ok(format!("key: {key}, fingerprint {}", key.fingerprint()))
        }
        Err(e) => Finding::of(Level::Failed, "key", &e),
    }
}

/// The files of the broker section; whether the broker answers is not asked.
fn broker(config: &Config) -> Finding {
    let broker = &config.broker;
    match connection::options(&config.hospital, broker) {
        Err(e) => Finding::of(Level::Failed, "broker", &e),
        Ok(_) if broker.tls.is_none() && !is_here(broker) => Finding::warning(
            format!("broker: {broker} is in clear; reports and a login can be read on the way"),
            "use an mqtts:// url with ca-file, unless the network itself is encrypted",
        ),
        Ok(_) => Finding::ok(format!("broker: {broker}")),
    }
}

fn is_here(broker: &Broker) -> bool {
    broker.host == "localhost" || broker.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn state_dir(folder: &Path) -> Finding {
    let shown = folder.display();
    let probe = folder.join(format!(".check-{}", std::process::id()));
    match OpenOptions::new().write(true).create_new(true).open(&probe) {
        Ok(_) => match std::fs::remove_file(&probe) {
            Ok(()) => Finding::ok(format!("state-dir: {shown} is writable")),
            Err(e) => {
                Finding::of(Level::Failed, "state-dir", &format!("{shown}: {e}; the folder must let files be removed"))
            }
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Finding::warning(
            format!("state-dir: {shown} is not there yet"),
            "the agent makes it if it may; else make it, owned by the agent's user",
        ),
        Err(e) => {
            let remedy = "let the agent's user write there, and run this check as that user";
            Finding::of(Level::Failed, "state-dir", &format!("{shown}: {e}; {remedy}"))
        }
    }
}

fn source(reading: &Reading) -> Vec<Finding> {
    let about = format!("source {}", reading.source);
    let seen = match &reading.result {
        Ok(seen) => seen,
        Err(e) => return vec![Finding::of(Level::Failed, &about, e)],
    };
    let mut findings = Vec::new();
    if seen.wards.is_empty() {
        findings.push(Finding::warning(
            format!("{about}: gives counts for no ward"),
            "see the other findings; else compare [source.rows] and [source.wards] with the file",
        ));
    } else {
        findings.push(Finding::ok(format!("{about}: {} wards, observed at {}", seen.wards.len(), seen.at)));
    }
    for (ward, fault) in &seen.spoiled {
        findings.push(Finding::of(Level::Warning, &format!("{about}: ward {ward} is absent"), fault));
    }
    if !seen.not_reported.is_empty() {
        let wards: Vec<_> = seen.not_reported.iter().map(ToString::to_string).collect();
        findings.push(Finding::ok(format!("{about}: says that these did not report: {}", wards.join(", "))));
    }
    if !seen.unknown.is_empty() {
        let names: Vec<_> = seen.unknown.iter().map(|name| format!("{name:?}")).collect();
        findings.push(Finding::warning(
            format!("{about}: rows about wards that are not in the config: {}", names.join(", ")),
            "name them in [source.wards], add the [[ward]], or leave them out with [source.rows]",
        ));
    }
    findings
}

/// What the sources give together.
fn census(config: &Config, snapshot: &Snapshot, now: Time) -> Vec<Finding> {
    let mut findings = Vec::new();
    let absent: Vec<_> = config
        .wards
        .iter()
        .filter(|w| !snapshot.wards.contains_key(&w.ward.index))
        .map(|w| w.ward.id.to_string())
        .collect();
    let (have, all) = (snapshot.wards.len(), config.wards.len());
    if absent.is_empty() {
        findings.push(Finding::ok(format!("report: all {all} wards")));
    } else {
        findings.push(Finding::warning(
            format!("report: {have} of {all} wards; without both staffed and occupied: {}", absent.join(", ")),
            "give staffed in [[ward]] or by a source; an absent ward is unknown to the centre, not empty",
        ));
    }
    let observed = snapshot.observed_at;
    let valid_for = config.report.valid_for;
    if now.since(observed) > valid_for {
        findings.push(Finding::warning(
            format!(
                "report: observed at {observed}, longer ago than the {} s of valid-for; it would be stale",
                valid_for.as_secs()
            ),
            "have the file written more often, or make report.valid-for longer than its interval",
        ));
    }
    if observed > now.plus(valid_for) {
        findings.push(Finding::warning(
            format!("report: observed at {observed}, which is in the future"),
            "correct zone or format in [source.time], or a clock",
        ));
    }
    findings
}

/// Findings as lines for people.
pub fn render(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { level, what, remedy } in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{level:<9}{what}");
        if !remedy.is_empty() {
            let _ = writeln!(out, "{:<9}→ {remedy}", "");
        }
    }
    out
}

/// Findings as JSON.
pub fn render_json(findings: &[Finding]) -> String {
    let text = serde_json::to_string_pretty(findings).expect("levels and text are always JSON");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use vardpuls_shared::key::SigningKey;

    use super::*;

    const CONFIG: &str = r#"
        hospital = "h"
        name = "H"
        region = "01"
        state-dir = "."
        key-file = "agent.key"
        centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        broker = { url = "mqtt://127.0.0.1" }
        ward = [
            { index = 1, id = "a", name = "A", care = "icu", staffed = 10 },
            { index = 2, id = "b", name = "B", care = "general", staffed = 20 },
        ]
        [[source]]
        name = "beds"
        kind = "csv"
        path = "beds.csv"
        settle = "0s"
        columns = { ward = "Ward", occupied = "Occupied", time = "Time" }
        time = { zone = "UTC", format = "%Y-%m-%d %H:%M" }
    "#;
    const DROP: &str = "Ward,Occupied,Time\na,9,2023-11-14 22:13\nb,18,2023-11-14 22:13\n";

    /// The findings that are not good, when the config, the drop and the key's mode are these.
    async fn complaints(config: &str, drop: &str, mode: u32) -> Vec<(Level, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agent.toml");
        let key = folder.path().join("agent.key");
        fs::write(&file, config).expect("written");
        fs::write(folder.path().join("beds.csv"), drop).expect("written");
        fs::write(&key, SigningKey::generate_pem().expect("random")).expect("written");
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("set");
        let clock = Clock::standing_at("2023-11-14T22:14:00Z".parse().expect("a time"));
        let findings = check(&file, &clock).await;
        let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(left.len(), 3, "the check leaves nothing behind");
        let text = render(&findings);
        assert_eq!(text.lines().filter(|line| !line.starts_with(' ')).count(), findings.len());
        assert!(serde_json::from_str::<serde_json::Value>(&render_json(&findings)).is_ok());
        let bad = findings.into_iter().filter(|f| f.level != Level::Ok);
        bad.map(|f| (f.level, format!("{} → {}", f.what, f.remedy))).collect()
    }

    #[track_caller]
    fn assert_complaint(complaints: &[(Level, String)], level: Level, text: &str) {
        let found = complaints.iter().any(|(l, what)| *l == level && what.contains(text) && what.contains(" → "));
        assert!(found, "no {level} with {text:?} in {complaints:#?}");
    }

    #[tokio::test]
    async fn a_good_setup_has_no_complaint() {
        assert_eq!(complaints(CONFIG, DROP, 0o600).await, []);
    }

    #[tokio::test]
    async fn what_stops_the_agent_failed() {
        assert_complaint(&complaints("hospital = 1", DROP, 0o600).await, Level::Failed, "agent.toml, line 1, hospital");
        assert_complaint(&complaints(CONFIG, DROP, 0o644).await, Level::Failed, "can be read by others");
        assert_complaint(&complaints(CONFIG, "", 0o600).await, Level::Failed, "source beds: ");
        let broker = CONFIG.replace("\"mqtt://127.0.0.1\"", "\"mqtts://b\", ca-file = \"none.pem\"");
        assert_complaint(&complaints(&broker, DROP, 0o600).await, Level::Failed, "none.pem");
    }

    #[tokio::test]
    async fn what_somebody_should_look_at_is_a_warning() {
        let warns = async |config: &str, drop: &str, text: &str| {
            let complaints = complaints(config, drop, 0o600).await;
            assert!(complaints.iter().all(|(level, _)| *level == Level::Warning), "{complaints:#?}");
            assert_complaint(&complaints, Level::Warning, text);
        };
        warns(CONFIG, &DROP.replace("18", "many"), "ward b is absent: line 3, column \"Occupied\"").await;
        warns(CONFIG, &DROP.replace("18", "many"), "report: 1 of 2 wards; without both staffed and occupied: b").await;
        warns(CONFIG, &format!("{DROP}c,1,2023-11-14 22:13\n"), "not in the config: \"c\"").await;
        warns(CONFIG, &DROP.replace("a,", "x,").replace("b,", "y,"), "gives counts for no ward").await;
        warns(CONFIG, &DROP.replace("22:13", "21:13"), "it would be stale").await;
        warns(CONFIG, &DROP.replace("22:13", "23:13"), "in the future").await;
        warns(&CONFIG.replace("127.0.0.1", "b.example"), DROP, "in clear").await;
        warns(&CONFIG.replace("state-dir = \".\"", "state-dir = \"later\""), DROP, "not there yet").await;
    }
}
