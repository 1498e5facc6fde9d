//! The demo: the whole country on one machine, for people to look at.
//!
//! In: the command line. Out: a centre that serves, one real agent a hospital, and lines or a live table that say what
//! goes on. The numbers are simulated ([`simulated`]) or recorded ([`recorded`]), and it says which. Or it sends recorded messages
//! to an agent's listener ([`adt_files`]).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::centre::{Centre, CentreError};
use crate::hospital::HospitalError;
use crate::replay::ReplayError;

mod adt_files;
mod feeding;
mod recorded;
mod simulated;
pub mod table;

/// The whole country on one machine: a real aggregator with its broker and dashboard, and one real agent for each
/// hospital, fed by simulated wards. The numbers are simulated, unless --replay plays recorded ones.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version)]
pub struct Options {
    /// How many hospitals: first one in each region, 72 are all of them, more make branches.
    #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "replay")]
    hospitals: u16,
    /// Where the dashboard and the API listen [default: 127.0.0.1:8080, with --verify any free port].
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where the MQTT broker listens, loopback only [default: 127.0.0.1:1883, with --verify any free port].
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<SocketAddr>,
    /// A folder for keys, configs, outboxes and the store, kept afterwards [default: a temporary one].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// End after so many seconds [default: on Ctrl-C].
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// The same seed gives the same patients and the same surge.
    #[arg(long, default_value_t = 1, conflicts_with = "replay")]
    seed: u64,
    /// Simulated minutes a second.
    #[arg(long, value_name = "MINUTES", default_value_t = 4.0, value_parser = speed, conflicts_with = "replay")]
    speed: f64,
    /// Play recorded drops instead: a folder with drops/*.csv, facilities.csv and official.csv.
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// Hold the feed against official.csv; exit 0 only when every hour and region that both have agrees.
    #[arg(long, requires = "replay")]
    verify: bool,
    /// Send recorded HL7 messages to an agent instead: one a file, at any depth; exit 0 only when each was answered and
    /// nothing but ADT changed a count.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["replay", "hospitals", "http", "mqtt"])]
    adt_files: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=600.0).contains(&speed) => Ok(speed),
        _ => Err("give a number between 0.01 and 600".to_owned()),
    }
}

/// Why the demo ends early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port is taken, or the address is not this machine's.
    #[error("{address} cannot be listened on ({reason}); give another address with {option} HOST:PORT")]
    Port {
        /// The address.
        address: SocketAddr,
        /// The option that sets it.
        option: &'static str,
        /// What the system says.
        reason: io::Error,
    },
    /// The folder.
    #[error("{}: {reason}", file.display())]
    Folder {
        /// Which.
        file: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The centre.
    #[error(transparent)]
    Centre(#[from] CentreError),
    /// A hospital.
    #[error(transparent)]
    Hospital(#[from] HospitalError),
    /// A simulated hospital's database.
    #[error("{}: {reason}", folder.display())]
    Database {
        /// Where it lies.
        folder: PathBuf,
        /// What is wrong with it.
        reason: sqlx::Error,
    },
    /// The recording.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The system's signals.
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
    /// `--verify` without anything to hold against.
    #[error("{}: there is no official.csv to verify against", .0.display())]
    NothingOfficial(PathBuf),
    /// A socket or task of `--adt-files`.
    #[error("the listener: {reason}")]
    Socket {
        /// What is wrong with it.
        reason: io::Error,
    },
    /// `--adt-files`, and not all went as it should.
    #[error("not every message was answered, or something else than ADT changed a count")]
    AdtFiles,
    /// `--verify`, and the feed is not what it should be.
    #[error("the feed does not agree with the official totals")]
    Disagrees,
}

/// Where everything listens and lies.
#[derive(Debug, Clone)]
struct Place {
    http: SocketAddr,
    mqtt: SocketAddr,
    folder: PathBuf,
    kept: bool,
}

/// Runs the demo.
pub async fn run(options: Options) -> Result<(), DemoError> {
    let default = |port| SocketAddr::from(([127, 0, 0, 1], if options.verify { 0 } else { port }));
    let http = options.http.unwrap_or_else(|| default(8080));
    let mqtt = options.mqtt.unwrap_or_else(|| default(1883));
    let ports = [(http, "--http"), (mqtt, "--mqtt")];
    for (address, option) in ports.into_iter().filter(|_| options.adt_files.is_none()) {
        TcpListener::bind(address).map_err(|reason| DemoError::Port { address, option, reason })?;
    }
    // Removed with everything in it when it goes out of scope.
    let temporary = match &options.dir {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("vardpuls-demo-")
                .tempdir()
                .map_err(|reason| DemoError::Folder { file: std::env::temp_dir(), reason })?,
        ),
    };
    let given = options.dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
    let folder = absolute(given)?;
    let place = Place { http, mqtt, folder, kept: temporary.is_none() };
    let shutdown = CancellationToken::new();
    let watching = tokio::spawn(end(options.seconds.map(Duration::from_secs), shutdown.clone()));
    let result = if let Some(files) = &options.adt_files {
        adt_files::run(files, &place, &shutdown).await
    } else if let Some(recording) = &options.replay {
        recorded::run(recording, &place, options.verify, &shutdown).await
    } else {
        let (hospitals, seed) = (usize::from(options.hospitals), options.seed);
        simulated::Simulated { hospitals, seed, minutes_a_second: options.speed }.run(&place, &shutdown).await
    };
    watching.abort();
    result
}

/// The folder's whole path: the agents' configs need it.
fn absolute(folder: &Path) -> Result<PathBuf, DemoError> {
    let named = |reason| DemoError::Folder { file: folder.to_owned(), reason };
    std::fs::create_dir_all(folder).map_err(named)?;
    folder.canonicalize().map_err(named)
}

/// Ends everything on Ctrl-C, on SIGTERM, or when the time is over.
async fn end(after: Option<Duration>, shutdown: CancellationToken) -> Result<(), DemoError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DemoError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
    let over = async {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = over => {}
    }
    shutdown.cancel();
    Ok(())
}

/// Says where to look.
fn introduce(centre: &Centre, place: &Place) {
    let kept = if place.kept { "kept" } else { "removed at the end" };
    println!("  dashboard and API   http://{}/", centre.http);
    println!("  MQTT broker         mqtt://{}", centre.mqtt);
    println!("  centre's key        {}", centre.public_key);
    println!(
        "  watch the nation    mosquitto_sub -h {} -p {} -t vardpuls/v1/json/feed/nation",
        centre.mqtt.ip(),
        centre.mqtt.port()
    );
    println!("  keys, configs, data {} ({kept})", place.folder.display());
}
