//! The centre of the rig: a folder with a real aggregator's key, config, store and enrolments.
//!
//! In: a [`Setup`]. Out: a [`Folder`] to enrol hospitals in, whose aggregator can be started in this process
//! ([`Centre`]) or as one of its own ([`crate::process`]).
//!
//! ```text
//! <folder>/aggregator.toml   the config, as a centre would write it
//! <folder>/centre.key        mode 0600; kept when the folder is used again
//! <folder>/hospitals.d/      enrolments
//! <folder>/vardpuls.db       the store
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toml::Table;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::view::View;
use vardpuls_shared::card::Card;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::key::{KeyError, PublicKey};

use crate::hospital::{HospitalError, load_or_make_key, table};

/// What a centre shall be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where HTTP listens; port 0 is any free port.
    pub http: SocketAddr,
    /// Where the embedded broker listens; port 0 is any free port.
    pub mqtt: SocketAddr,
    /// Another nation than Sweden.
    pub nation_file: Option<PathBuf>,
    /// Between two publications of a scope, in the words of the config.
    pub feed_gap: &'static str,
    /// Between two history samples, in the words of the config.
    pub sample_every: &'static str,
    /// Shown on the dashboard and in the status.
    pub notice: String,
}

/// A centre's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The aggregator's config file.
    pub config_file: PathBuf,
    /// Its public key.
    pub public_key: PublicKey,
    hospitals: PathBuf,
    nation: Nation,
}

/// Why a centre could not be prepared or run.
#[derive(Debug, thiserror::Error)]
pub enum CentreError {
    /// A file of its folder.
    #[error(transparent)]
    Files(#[from] HospitalError),
    /// Its key.
    #[error("the centre's key: {0}")]
    Key(KeyError),
    /// Its nation or its config.
    #[error(transparent)]
    Document(#[from] vardpuls_aggregator::config::document::DocumentError),
    /// A card was not taken.
    #[error("enrolment: {0}")]
    Enrol(#[from] vardpuls_aggregator::enrolment::EnrolError),
    /// It did not start.
    #[error("the aggregator does not start: {0}")]
    Start(String),
    /// It ended by itself, or badly.
    #[error("the aggregator ended: {0}")]
    Ended(String),
}

impl Folder {
    /// Makes the folder, a key where there is none, and the config.
    pub fn create(folder: &Path, setup: &Setup) -> Result<Folder, CentreError> {
        let hospitals = folder.join("hospitals.d");
        let named = |file: &Path, reason| HospitalError::File { file: file.to_owned(), reason };
        fs::create_dir_all(&hospitals).map_err(|e| named(&hospitals, e))?;
        let key = load_or_make_key(&folder.join("centre.key"), CentreError::Key)?;
        let config_file = folder.join("aggregator.toml");
        fs::write(&config_file, config(setup).to_string()).map_err(|e| named(&config_file, e))?;
        let nation = Nation::load(setup.nation_file.as_deref())?;
        Ok(Folder { config_file, public_key: key.public(), hospitals, nation })
    }

    /// Adds keys to a section of the config.
    pub fn amend<V: Into<toml::Value>>(
        &self,
        section: &str,
        keys: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Result<(), CentreError> {
        let named = |reason| HospitalError::File { file: self.config_file.clone(), reason };
        let text = fs::read_to_string(&self.config_file).map_err(named)?;
        let mut config: Table = text.parse().map_err(|e| named(std::io::Error::other(e)))?;
        let entry = config.entry(section).or_insert_with(|| Table::new().into());
        entry.as_table_mut().expect("the rig writes sections").extend(table(keys));
        fs::write(&self.config_file, config.to_string()).map_err(named)?;
        Ok(())
    }

    /// Enrols a hospital, as `vardpuls-aggregator enrol CARD` does.
    pub fn enrol(&self, card: &Card) -> Result<(), CentreError> {
        self.enrol_at(card, Clock::System.now())
    }

    /// Enrols a hospital whose key is valid from `now` on, where that is not the machine's time.
    pub fn enrol_at(&self, card: &Card, now: Time) -> Result<(), CentreError> {
        vardpuls_aggregator::enrolment::enrol(&self.hospitals, card, now, &self.nation)?;
        Ok(())
    }

    /// Starts the aggregator in this process: the code of the daemon with its broker, store and HTTP.
    pub async fn start(&self, clock: Clock) -> Result<Centre, CentreError> {
        let config = vardpuls_aggregator::config::Config::load(&self.config_file)?;
        let start = |e: String| CentreError::Start(e);
        let bound = vardpuls_aggregator::bind(config, clock).await.map_err(|e| start(e.to_string()))?;
        let mqtt = bound.mqtt_addr.ok_or_else(|| start("it has no broker of its own".into()))?;
        let (http, mqtts, view) = (bound.http_addr, bound.mqtts_addr, bound.view.clone());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(bound.run(shutdown.clone()));
        let task = tokio::spawn(async move {
            match task.await {
                Ok(result) => result.map_err(|e| e.to_string()),
                Err(panic) => Err(panic.to_string()),
            }
        });
        Ok(Centre { http, mqtt, mqtts, public_key: self.public_key, view, shutdown, task })
    }
}

fn config(setup: &Setup) -> Table {
    let mut config = table([("key-file", "centre.key"), ("hospitals-dir", "hospitals.d")]);
    if let Some(file) = &setup.nation_file {
        config.insert("nation-file".into(), file.to_string_lossy().into_owned().into());
    }
    config.insert("broker".into(), table([("listen", setup.mqtt.to_string())]).into());
    config.insert("store".into(), table([("path", "vardpuls.db"), ("sample-every", setup.sample_every)]).into());
    config.insert("feed".into(), table([("min-gap", setup.feed_gap)]).into());
    // The figures are made up or recorded: no alarm of theirs is meant.
    config.insert("alerts".into(), table([("status", "test")]).into());
    config.insert("http".into(), table([("listen", setup.http.to_string()), ("notice", setup.notice.clone())]).into());
    config
}

/// An aggregator that runs in this process.
#[derive(Debug)]
pub struct Centre {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where the broker listens.
    pub mqtt: SocketAddr,
    /// Where it listens with TLS, for the network.
    pub mqtts: Option<SocketAddr>,
    /// What the feed is signed with.
    pub public_key: PublicKey,
    view: Arc<ArcSwap<View>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Centre {
    /// The picture now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets it drain and end.
    pub async fn stop(self) -> Result<(), CentreError> {
        self.shutdown.cancel();
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(CentreError::Ended(reason)),
            Err(panic) => Err(CentreError::Ended(panic.to_string())),
        }
    }
}
