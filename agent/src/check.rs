//! The check: what would keep this agent from reporting, and what to do about it. A doctor.
//!
//! In: a config file and the machine that it names. Out: findings, as lines or as JSON, in the order
//! in which the agent would need things. Every source is read once; nothing is published, nothing
//! stays on disk, and a running agent is not disturbed. Every step has a time-out; what cannot be
//! judged because an earlier step failed says so instead of misleading. Decisions are pure, in the
//! step's own file:
//!
//! | file | looks at |
//! |---|---|
//! | [`key`], [`state`] | the hospital's key; the state folder and the room on its disk |
//! | [`agent`] | whether an agent runs, and by which config |
//! | [`broker`], [`certificate`] | the files of the broker section, the agent's own certificate |
//! | [`network`], [`tls`], [`login`] | name, TCP, TLS, login, what the centre says through the broker |
//! | [`clock`], [`enrolment`] | what the centre's signed words tell |
//! | [`source`] | each source, and the report they would give |

mod agent;
mod broker;
mod certificate;
mod clock;
mod enrolment;
mod file_mode;
mod finding;
mod key;
mod login;
mod network;
mod source;
mod state;
mod tls;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use vardpuls_shared::clock::Clock;

use crate::config::Config;
use crate::preview;
use crate::signer::Signer;
use crate::word::Word;

use agent::Agent;
use enrolment::Evidence;

pub use finding::{Finding, Level, render, render_json};

/// How long a local file system may take for a step.
const DISK: Duration = Duration::from_secs(15);

/// Checks, prints, and gives the exit status: 1 where anything failed.
pub async fn run(file: &Path, json: bool) -> ExitCode {
    let findings = check(file, &Clock::System).await;
    print!("{}", if json { render_json(&findings) } else { render(&findings) });
    if findings.iter().any(Finding::is_failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Looks at everything, in the order in which the agent would need it.
pub async fn check(file: &Path, clock: &Clock) -> Vec<Finding> {
    let path = file.to_owned();
    let config = match on_disk("config", move || Config::load(&path)).await {
        Ok(Ok(config)) => config,
        Ok(Err(e)) => {
            let remedy = "correct that line; nothing is guessed, so that a misspelt key is no silent default";
            return vec![Finding::of("config", Level::Failed, &e).or_remedy(remedy)];
        }
        Err(hangs) => return vec![hangs],
    };
    let (wards, sources) = (config.wards.len(), config.sources.len());
    let what = format!("{}: {}, {wards} wards, {sources} sources", file.display(), config.hospital);
    let mut findings = vec![Finding::ok("config", what)];

    let files = config.clone();
    let now = clock.now();
    let looked = on_disk("state-dir", move || {
        let mut findings = key::check(&files, state::owner(&files));
        findings.extend(state::check(&files));
        let (told, agent) = agent::ask(&files);
        findings.extend(told);
        let of_broker = broker::check(&files, now);
        let usable = !of_broker.iter().any(Finding::is_failed);
        findings.extend(of_broker);
        (findings, agent, usable)
    });
    let (agent, usable) = match looked.await {
        Ok((told, agent, usable)) => {
            findings.extend(told);
            (agent, usable)
        }
        Err(hangs) => {
            findings.push(hangs);
            (Agent::Perhaps, false)
        }
    };
    let reached = reach(&config, usable, clock, &mut findings).await;
    let word = log_in(&config, &agent, reached, clock, &mut findings).await;
    findings.extend(said_by_the_centre(&config, &agent, word.as_ref()));
    findings.extend(sources_and_report(&config, clock).await);
    findings
}

/// Runs a step that blocks on a file system, which may hang.
async fn on_disk<T: Send + 'static>(step: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Finding> {
    if let Ok(done) = timeout(DISK, spawn_blocking(work)).await {
        return Ok(done.expect("a step does not panic"));
    }
    let what = format!("no answer from the file system within {} s", DISK.as_secs());
    Err(Finding::failed(step, what, "look for a network folder that hangs (mount, dmesg)"))
}

/// Name, TCP and TLS; false where the broker cannot be reached so.
async fn reach(config: &Config, usable: bool, clock: &Clock, findings: &mut Vec<Finding>) -> bool {
    let (named, addresses) = network::lookup(&config.broker).await;
    findings.push(named);
    let (connected, stream) = network::connect(&addresses).await;
    findings.push(connected);
    let Some(tls) = config.broker.tls.clone() else { return stream.is_some() };
    let Some(stream) = stream else {
        findings.push(Finding::not_tried("tls", "tcp failed"));
        return false;
    };
    if !usable {
        findings.push(Finding::not_tried("tls", "the files of the broker section failed"));
        return false;
    }
    let (broker, now) = (config.broker.clone(), clock.now());
    let shaken = on_disk("tls", move || match stream.into_std() {
        Ok(stream) => tls::check(&broker, &tls, stream, now),
        Err(e) => Finding::of("tls", Level::Failed, &e),
    });
    let shaken = shaken.await.unwrap_or_else(|hangs| hangs);
    let well = !shaken.is_failed();
    findings.push(shaken);
    well
}

/// The login; gives the centre's word as the agent, or else the broker, has it.
async fn log_in(
    config: &Config,
    agent: &Agent,
    reached: bool,
    clock: &Clock,
    findings: &mut Vec<Finding>,
) -> Option<Word> {
    let step = "login";
    match agent {
        Agent::Answers(status) => {
            let connection = &status.connection;
            let since = connection.since.map_or_else(String::new, |at| format!(" since {at}"));
            findings.push(match &connection.last_error {
                _ if connection.connected => Finding::ok(step, format!("the running agent is logged in{since}")),
                Some(e) => Finding::of(step, Level::Failed, &format!("the running agent is not logged in: {e}")),
                None => Finding::warning(step, "the running agent is not logged in yet", "check again in a moment"),
            });
            status.word.clone()
        }
        Agent::Perhaps => {
            findings.push(Finding::not_tried(step, "an agent may be running, and would be pushed off the broker"));
            None
        }
        Agent::None(_) if !reached => {
            findings.push(Finding::not_tried(step, "the broker cannot be reached so"));
            None
        }
        Agent::None(_) => {
            let heard = login::check(config, clock).await;
            findings.extend(heard.findings);
            heard.word
        }
    }
}

/// Clock and enrolment, by what the centre signed.
fn said_by_the_centre(config: &Config, agent: &Agent, word: Option<&Word>) -> Vec<Finding> {
    let (drift, evidence) = match agent {
        Agent::Answers(status) => (status.clock, Evidence::of_running(status)),
        Agent::None(contents) => (None, Evidence::of_stopped(contents.as_deref())),
        Agent::Perhaps => {
            let why = "an agent may be running, and cannot be asked";
            return vec![Finding::not_tried("clock", why), Finding::not_tried("enrolment", why)];
        }
    };
    let of_clock = clock::check(drift, word);
    let complaint = clock::complaint(word).filter(|_| of_clock.level == Level::Ok || of_clock.level == Level::NotTried);
    let mut findings = vec![of_clock];
    findings.extend(complaint);
    let fingerprint = Signer::load(config).map_or("not known".to_owned(), |s| s.public_key().fingerprint().to_string());
    let card = format!("vardpuls-agent keygen --card-only --config {}", config.file.display());
    findings.push(enrolment::check(&evidence, word, &fingerprint, &card));
    findings
}

async fn sources_and_report(config: &Config, clock: &Clock) -> Vec<Finding> {
    let (mut findings, mut readings) = (Vec::new(), Vec::new());
    for source in &config.sources {
        let (told, reading) = source::read(source, clock).await;
        findings.extend(told);
        readings.extend(reading);
    }
    // After the reading, which may take a while: a file that was just written is not from the future.
    let now = clock.now();
    match preview::snapshot(config, &readings, now) {
        Some(snapshot) => findings.extend(source::together(config, &snapshot, now)),
        None => findings.push(Finding::not_tried("report", "no source that counts patients can be read")),
    }
    findings
}
