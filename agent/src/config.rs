//! The agent's config: one strict TOML file for one hospital.
//!
//! In: the file. Out: a [`Config`] in which everything that can be checked without touching the
//! machine is already right, so that the rest of the agent asks no further questions of it.
//! Relative paths are relative to the config file; `credential:NAME` is a file that the service
//! manager hands over, for keys, certificates and passwords. Errors name file, line and key, and say what is
//! right.

mod broker;
mod document;
mod privacy;
mod source;
mod ward;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use vardpuls_service::credential;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::PublicKey;
use vardpuls_shared::report::MAX_VALID_FOR;
use vardpuls_shared::roster::{MAX_NAME, Roster};

pub use broker::{Broker, ClientCert, Login, Tls};
pub use document::Place;
pub use privacy::PrivacyConfig;
pub use source::{SourceConfig, SourceKind};
pub use ward::WardConfig;

use broker::BrokerTable;
use document::{Document, Step::Key};

use crate::grouping::published;
use crate::outbox::Limits;
use crate::reporter::Policy;

/// Why a config cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}; check the path and that the agent's user may read it", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A key or its value is wrong.
    #[error("{}, {place}: {problem}", file.display())]
    Wrong {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong, and what is right.
        problem: String,
    },
}

/// The whole config.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Who reports.
    pub hospital: HospitalId,
    /// What people call the hospital; for the enrolment card.
    pub name: String,
    /// The region, as the centre's nation file names it.
    pub region: RegionCode,
    /// Where the outbox lies.
    pub state_dir: PathBuf,
    /// Where the agent answers how it is; `status.sock` in the state folder unless said otherwise.
    pub status_socket: PathBuf,
    /// The hospital's private key, PKCS#8 PEM, mode 0600.
    pub key_file: PathBuf,
    /// Whose receipts are believed.
    pub centre_key: PublicKey,
    /// The way to the centre.
    pub broker: Broker,
    /// When reports are made.
    pub report: ReportConfig,
    /// What is kept until it is receipted.
    pub outbox: OutboxConfig,
    /// What is done so that no count tells of one patient.
    pub privacy: PrivacyConfig,
    /// The wards, by rising index, groups among them.
    pub wards: Vec<WardConfig>,
    /// Where counts are read, in the order of the file.
    pub sources: Vec<SourceConfig>,
}

/// When reports are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReportConfig {
    /// A report at least this often.
    #[serde(deserialize_with = "duration")]
    pub heartbeat: Duration,
    /// Never two reports closer than this.
    #[serde(deserialize_with = "duration")]
    pub min_gap: Duration,
    /// A random time of up to this is added to the heartbeat, so that a country does not report in step.
    #[serde(deserialize_with = "duration")]
    pub jitter: Duration,
    /// For how long the counts may be relied on, from when they were observed.
    #[serde(deserialize_with = "duration")]
    pub valid_for: Duration,
}

/// What is kept until it is receipted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutboxConfig {
    /// Older reports are dropped.
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
    /// Bytes of signed reports; beyond it the oldest are dropped.
    pub max_bytes: u64,
    /// Reports a second after an outage, behind the newest.
    pub backlog_rate: u32,
}

const SECOND: Duration = Duration::from_secs(1);

impl Default for ReportConfig {
    fn default() -> Self {
        ReportConfig { heartbeat: SECOND * 60, min_gap: SECOND * 2, jitter: SECOND, valid_for: SECOND * 180 }
    }
}

impl Default for OutboxConfig {
    fn default() -> Self {
        OutboxConfig { max_age: SECOND * 86_400 * 14, max_bytes: 64 << 20, backlog_rate: 50 }
    }
}

/// The document as it is written, without wards and sources.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Head {
    hospital: HospitalId,
    name: String,
    region: RegionCode,
    state_dir: PathBuf,
    status_socket: Option<PathBuf>,
    key_file: PathBuf,
    #[serde(deserialize_with = "public_key")]
    centre_key: PublicKey,
    broker: BrokerTable,
    #[serde(default)]
    report: ReportConfig,
    #[serde(default)]
    outbox: OutboxConfig,
    #[serde(default)]
    privacy: PrivacyConfig,
}

impl Config {
    /// Reads and checks a config file.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|e| ConfigError::Unreadable { file: file.to_owned(), reason: e.to_string() })?;
        Config::parse(file, &text)
    }

    /// Checks the text of a config; `file` is what errors call it and what relative paths are relative to.
    pub fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let document = Document::parse(file, text)?;
        let base = file.parent().unwrap_or(Path::new(""));
        let head: Head = document.table(&[], &["ward", "source"])?;
        if head.name.trim().is_empty() || head.name.len() > MAX_NAME {
            return Err(document.wrong(&[Key("name")], format!("must have 1 to {MAX_NAME} bytes")));
        }
        head.report.check(&document)?;
        head.outbox.check(&document)?;
        let broker = head.broker.check(&document, base)?;
        let (wards, places) = ward::read(&document)?;
        head.privacy.check(&document, &wards, &places)?;
        let state_dir = base.join(head.state_dir);
        let sources = source::read(&document, base, &state_dir, &wards)?;
        let status_socket = head.status_socket.map_or_else(|| state_dir.join("status.sock"), |path| base.join(path));
        Ok(Config {
            file: file.to_owned(),
            hospital: head.hospital,
            name: head.name,
            region: head.region,
            state_dir,
            status_socket,
            key_file: credential::locate(base, head.key_file),
            centre_key: head.centre_key,
            broker,
            report: head.report,
            outbox: head.outbox,
            privacy: head.privacy,
            wards,
            sources,
        })
    }

    /// The roster of the wards that are published.
    pub fn roster(&self) -> Roster {
        Roster::new(self.hospital.clone(), published(&self.wards).map(|w| w.ward.clone()).collect())
    }
}

impl ReportConfig {
    /// When the reporter makes reports.
    pub fn policy(&self) -> Policy {
        Policy { heartbeat: self.heartbeat, min_gap: self.min_gap, jitter: self.jitter }
    }

    fn check(&self, document: &Document<'_>) -> Result<(), ConfigError> {
        let wrong = |key, problem: String| Err(document.wrong(&[Key("report"), Key(key)], problem));
        if self.heartbeat < SECOND {
            return wrong("heartbeat", "must be at least 1s".into());
        }
        if self.min_gap > self.heartbeat {
            return wrong("min-gap", "must not be longer than heartbeat".into());
        }
        if self.jitter > self.heartbeat {
            return wrong("jitter", "must not be longer than heartbeat".into());
        }
        // A report that has lapsed before the next one comes would make the hospital blink.
        if self.valid_for <= self.heartbeat + self.jitter {
            return wrong("valid-for", "must be longer than heartbeat and jitter together".into());
        }
        if self.valid_for > SECOND * MAX_VALID_FOR {
            return wrong("valid-for", format!("must be at most {}d", MAX_VALID_FOR / 86_400));
        }
        Ok(())
    }
}

impl OutboxConfig {
    /// How much the outbox may hold.
    pub fn limits(&self) -> Limits {
        Limits { max_age: self.max_age, max_bytes: self.max_bytes }
    }

    fn check(&self, document: &Document<'_>) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| Err(document.wrong(&[Key("outbox"), Key(key)], problem));
        if self.max_age < SECOND {
            return wrong("max-age", "must be at least 1s");
        }
        if self.max_bytes < 1 << 20 {
            return wrong("max-bytes", "must be at least 1048576 (1 MiB)");
        }
        if self.backlog_rate == 0 {
            return wrong("backlog-rate", "must be at least 1");
        }
        Ok(())
    }
}

fn public_key<'de, D: Deserializer<'de>>(d: D) -> Result<PublicKey, D::Error> {
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

/// Reads `"200ms"`, `"5s"`, `"5m"`, `"2h"` or `"14d"`.
fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    parse_duration(&text).ok_or_else(|| {
        let problem = "is not a duration; write a whole number and ms, s, m, h or d, as in \"5m\"";
        serde::de::Error::custom(format!("{text:?} {problem}"))
    })
}

/// Reads a duration as it is written in the config.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
