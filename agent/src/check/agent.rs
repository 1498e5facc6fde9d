//! Whether an agent runs on this state folder: what it says is then truer than what we could try,
//! and a second login with its name would push it off the broker.

use crate::config::Config;
use crate::outbox::{self, Contents, OutboxError};
use crate::status::{Bounds, Status, command};

use super::finding::{Finding, Level};

const STEP: &str = "agent";

/// Who is there.
#[derive(Debug)]
pub(super) enum Agent {
    /// One that answers.
    Answers(Box<Status>),
    /// None; what its outbox holds, if there ever was one.
    None(Option<Box<Contents>>),
    /// Perhaps one: nobody may log in beside it.
    Perhaps,
}

pub(super) fn ask(config: &Config) -> (Vec<Finding>, Agent) {
    match command::ask(&config.status_socket) {
        Ok(Some(status)) => (answers(config, &status), Agent::Answers(Box::new(status))),
        Ok(None) => match outbox::inspect(&config.state_dir) {
            Ok(None) => (vec![Finding::ok(STEP, "does not run, and never ran on this state-dir")], Agent::None(None)),
            Ok(Some(contents)) => {
                let what = format!("does not run; {} reports wait in its outbox", contents.held.len());
                (vec![Finding::ok(STEP, what)], Agent::None(Some(Box::new(contents))))
            }
            Err(OutboxError::Locked { .. }) => {
                let what = format!("one runs, but does not answer at {}", config.status_socket.display());
                let remedy = "check again in a moment; if that does not help, look at its log";
                (vec![Finding::warning(STEP, what, remedy)], Agent::Perhaps)
            }
            Err(e) => (vec![Finding::of(STEP, Level::Failed, &e)], Agent::Perhaps),
        },
        Err(e) => (vec![Finding::of(STEP, Level::Warning, &e)], Agent::Perhaps),
    }
}

fn answers(config: &Config, status: &Status) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(STEP, format!("runs since {}, version {}", status.started_at, status.agent))];
    let roster = format!("{:08x}", config.roster().version);
    let old = (&status.connection.broker, status.bounds, &status.roster);
    if old != (&config.broker.to_string(), Bounds::of(config), &roster) {
        let what = "the running agent still works by an older config than this file";
        findings.push(Finding::warning(STEP, what, "run: systemctl reload vardpuls-agent"));
    }
    if status.hospital != config.hospital {
        let what = format!("the running agent reports for {}, this file for {}", status.hospital, config.hospital);
        findings.push(Finding::failed(STEP, what, "give each hospital a state-dir of its own"));
    }
    if let Some(e) = &status.report_error {
        findings.push(Finding::of(STEP, Level::Failed, e));
    }
    findings
}
