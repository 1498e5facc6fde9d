//! One hospital of the rig: a folder with a real agent's key, config, outbox and drops.
//!
//! In: what the agent shall be ([`Setup`]) and where the centre is. Out: a [`Hospital`] whose agent can be started in
//! this process or as one of its own ([`crate::process`]), and its enrolment card.
//!
//! ```text
//! <folder>/agent.toml    the config, as a hospital would write it
//! <folder>/agent.key     mode 0600; kept when the folder is used again
//! <folder>/state/        the outbox and the status socket
//! <folder>/drops/        where a simulated hospital's counts are dropped
//! ```

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toml::Table;
use vardpuls_shared::card::Card;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::{KeyError, PublicKey, SigningKey};

pub mod admissions;
pub mod database;
pub mod drop;

/// What an agent shall be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who reports.
    pub hospital: HospitalId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: RegionCode,
    /// When it reports.
    pub pace: Pace,
    /// The `[[ward]]` tables of its config.
    pub wards: Vec<Table>,
    /// The `[[source]]` tables of its config.
    pub sources: Vec<Table>,
}

/// When an agent reports.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A report at least this often.
    pub heartbeat: Duration,
    /// Never two closer than this.
    pub min_gap: Duration,
    /// Added to the heartbeat by chance.
    pub jitter: Duration,
    /// How long its counts may be relied on.
    pub valid_for: Duration,
}

/// Where an agent's centre is.
#[derive(Debug, Clone)]
pub struct Link {
    /// The broker.
    pub mqtt: SocketAddr,
    /// Whose receipts are believed.
    pub centre_key: PublicKey,
}

/// A hospital's folder, ready for its agent.
#[derive(Debug, Clone)]
pub struct Hospital {
    /// Who reports.
    pub id: HospitalId,
    /// The agent's config file.
    pub config_file: PathBuf,
    folder: PathBuf,
}

/// Why a hospital's agent could not be prepared or run.
#[derive(Debug, thiserror::Error)]
pub enum HospitalError {
    /// A file of its folder.
    #[error("{}: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// Its key.
    #[error("the key of {hospital}: {reason}")]
    Key {
        /// Whose.
        hospital: HospitalId,
        /// What is wrong.
        reason: KeyError,
    },
    /// Its config: a fault of the rig.
    #[error("the agent of {hospital} does not take the config that the rig wrote: {reason}")]
    Config {
        /// Whose.
        hospital: HospitalId,
        /// What the agent says.
        reason: String,
    },
    /// Its agent ended by itself.
    #[error("the agent of {hospital} ended: {reason}")]
    Ended {
        /// Whose.
        hospital: HospitalId,
        /// What the agent says.
        reason: String,
    },
}

/// Writes a whole file, named in the error.
fn write(file: &Path, bytes: &[u8]) -> Result<(), HospitalError> {
    fs::write(file, bytes).map_err(|reason| HospitalError::File { file: file.to_owned(), reason })
}

impl Hospital {
    /// Makes the folder and a key where there is none, and gives the card for the centre.
    pub fn create(folder: &Path, setup: &Setup) -> Result<(Hospital, Card), HospitalError> {
        for part in ["state", "drops"] {
            let file = folder.join(part);
            fs::create_dir_all(&file).map_err(|reason| HospitalError::File { file, reason })?;
        }
        let fault = |reason| HospitalError::Key { hospital: setup.hospital.clone(), reason };
        let key = load_or_make_key(&folder.join("agent.key"), fault)?;
        let card = Card::new(setup.hospital.clone(), setup.name.clone(), setup.region.clone(), key.public());
        let hospital =
            Hospital { id: setup.hospital.clone(), config_file: folder.join("agent.toml"), folder: folder.to_owned() };
        Ok((hospital, card))
    }

    /// Writes the agent's config.
    pub fn configure(&self, setup: &Setup, link: &Link) -> Result<(), HospitalError> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut config = Table::new();
        config.insert("hospital".into(), setup.hospital.as_str().into());
        config.insert("name".into(), setup.name.clone().into());
        config.insert("region".into(), setup.region.as_str().into());
        config.insert("state-dir".into(), text(&self.folder.join("state")).into());
        config.insert("key-file".into(), text(&self.folder.join("agent.key")).into());
        config.insert("centre-key".into(), link.centre_key.to_string().into());
        config.insert("broker".into(), table([("url", format!("mqtt://{}", link.mqtt))]).into());
        let pace = setup.pace;
        let report = [
            ("heartbeat", pace.heartbeat),
            ("min-gap", pace.min_gap),
            ("jitter", pace.jitter),
            ("valid-for", pace.valid_for),
        ];
        config.insert("report".into(), table(report.map(|(key, d)| (key, format!("{}ms", d.as_millis())))).into());
        config.insert("ward".into(), setup.wards.clone().into());
        config.insert("source".into(), setup.sources.clone().into());
        write(&self.config_file, config.to_string().as_bytes())
    }

    /// Where this hospital's counts are dropped.
    pub fn drops(&self) -> PathBuf {
        self.folder.join("drops")
    }

    /// Starts the agent in this process: the code of the daemon, its own outbox, its own connection.
    pub fn start(&self, clock: Clock) -> Result<Agent, HospitalError> {
        let config = vardpuls_agent::config::Config::load(&self.config_file)
            .map_err(|e| HospitalError::Config { hospital: self.id.clone(), reason: e.to_string() })?;
        let shutdown = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(1);
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            // Held as long as the agent runs: a closed channel is no reload.
            let _reload = reload;
            vardpuls_agent::run(config, reloads, clock, stop).await.map_err(|e| e.to_string())
        });
        Ok(Agent { hospital: self.id.clone(), shutdown, task })
    }
}

/// An agent that runs in this process.
#[derive(Debug)]
pub struct Agent {
    hospital: HospitalId,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Agent {
    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it to drain and end; does not wait.
    pub fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Lets it drain and end.
    pub async fn stop(self) -> Result<(), HospitalError> {
        self.shutdown.cancel();
        let ended = |reason| HospitalError::Ended { hospital: self.hospital.clone(), reason };
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(ended(reason)),
            Err(panic) => Err(ended(panic.to_string())),
        }
    }
}

/// A TOML table of texts.
pub(crate) fn table<V: Into<toml::Value>>(entries: impl IntoIterator<Item = (&'static str, V)>) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

/// The key in a file, made first where there is none.
pub(crate) fn load_or_make_key<E: From<HospitalError>>(
    file: &Path,
    fault: impl Fn(KeyError) -> E,
) -> Result<SigningKey, E> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let named = |reason| E::from(HospitalError::File { file: file.to_owned(), reason });
    let pem = match fs::read_to_string(file) {
        Ok(pem) => pem,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let pem = SigningKey::generate_pem().map_err(&fault)?;
            let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(named)?;
            new.write_all(pem.as_bytes()).map_err(named)?;
            pem
        }
        Err(e) => return Err(named(e)),
    };
    SigningKey::from_pem(pem.as_bytes()).map_err(fault)
}
