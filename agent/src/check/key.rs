//! The hospital's key: there, readable by the agent alone, and owned by it.

use crate::config::Config;
use crate::signer::Signer;

use super::file_mode;
use super::finding::{Finding, Level};

const STEP: &str = "key";

/// `agent` is the user who owns the state folder, who is the agent's.
pub(super) fn check(config: &Config, agent: u32) -> Vec<Finding> {
    let shown = config.key_file.display().to_string();
    let mut findings = match Signer::load(config) {
        Ok(signer) => {
            let key = signer.public_key();
            vec![Finding::ok(STEP, format!("{key}, fingerprint {}", key.fingerprint()))]
        }
        Err(e) => return vec![Finding::of(STEP, Level::Failed, &e)],
    };
    if let Ok(file) = std::fs::metadata(&config.key_file) {
        findings.extend(file_mode::foreign(STEP, &shown, &file, agent));
    }
    findings
}
