//! The command line: what a person or a service manager asks of the aggregator.
//!
//! Answers go to standard output, the log and errors to standard error, and so does a new token: what
//! is appended to a file must not hold it. Exit status: 0 done, 1 an
//! error or a failed check, 2 a command line that cannot be read.

mod backtest;
mod check;
mod login;
mod token;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_service::{log, notify};
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;

use crate::Centre;
use crate::config::{Config, key_file};
use crate::enrolment::{enrol, read_card};
use crate::headline::headline;
use crate::nation::Nation;
use crate::operators::Role;

/// The program.
const NAME: &str = "vardpuls-aggregator";

/// The centre's daemon: verifies, stores, receipts and merges reports into the national feed.
#[derive(Debug, Parser)]
#[command(name = NAME, version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The config file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/vardpuls-aggregator/aggregator.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Run,
    /// Look at everything that `run` needs, change nothing, and say what is wrong.
    Check,
    /// Make the centre's key, and the folder for its hospitals.
    Keygen,
    /// Enrol a hospital from its card, or add the card's key to it.
    Enrol {
        /// What `vardpuls-agent keygen` printed.
        card: PathBuf,
    },
    /// Make a bearer token for an operator. It is shown once, on standard error; what goes into the
    /// operators file is on standard output.
    Token {
        /// What the journal shall call its holder.
        name: String,
        /// viewer, operator or administrator.
        #[arg(long)]
        role: Role,
    },
    /// Make a login for the broker's network listener. The password is shown once, on standard error; what goes
    /// into the logins file is on standard output.
    Login {
        /// The hospital, or whatever else shall read the feed: its client id and user name.
        name: HospitalId,
    },
    /// Judge alarm rules over a recorded history, beside plain rules on the same data.
    Backtest(backtest::Backtest),
}

/// The command line, for man pages and shell completions.
pub fn command() -> clap::Command {
    Cli::command()
}

impl Cli {
    /// Reads the command line and does what it says.
    pub fn main() -> ExitCode {
        let cli = Cli::parse();
        let done = match cli.command {
            Command::Run => run(&cli.config).map(|()| ExitCode::SUCCESS),
            Command::Check => check::check(&cli.config).map(ExitCode::from),
            Command::Keygen => keygen(&cli.config).map(|()| ExitCode::SUCCESS),
            Command::Enrol { card } => enrol_card(&card, &cli.config).map(|()| ExitCode::SUCCESS),
            Command::Token { name, role } => token::token(&name, role, &cli.config).map(|()| ExitCode::SUCCESS),
            Command::Login { name } => login::login(&name, &cli.config).map(|()| ExitCode::SUCCESS),
            Command::Backtest(backtest) => backtest.run().map(|()| ExitCode::SUCCESS),
        };
        done.unwrap_or_else(|error| {
            log::failed(NAME, &log::chain(error.as_ref()));
            ExitCode::FAILURE
        })
    }
}

fn run(file: &Path) -> Result<(), Box<dyn Error>> {
    // rumqttd calls every ordinary disconnect an error.
    log::start(NAME, "info,rumqttd=off", &[])?;
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        // Before anything is bound: a signal during the start must not be lost.
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(stop_on(signals, shutdown.clone()));
        let in_force = config.clone();
        let centre = tokio::select! {
            centre = crate::bind(config, Clock::System) => centre?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let Centre { vitals, readiness, view, standing, .. } = &centre;
        let (vitals, readiness, view, standing) = (vitals.clone(), readiness.clone(), view.clone(), standing.clone());
        let (file, enough) = (file.to_owned(), shutdown.clone());
        notify::ready();
        tracing::info!(name: Event::CentreStarted.name(), http = %centre.http_addr, key = %centre.public_key,
            version = env!("CARGO_PKG_VERSION"), "the centre starts");
        tokio::spawn(look_again_on(hangup, file, in_force));
        tokio::spawn(async move {
            let line = || headline(&readiness, view.load().nation.coverage, standing.load().alerts.len());
            vitals.attend(line, enough).await;
        });
        centre.run(shutdown).await?;
        tracing::info!(name: Event::CentreStopped.name(), "the centre stopped");
        Ok(())
    })
}

/// On SIGHUP: hospitals, operators and rules are read again whenever their files change, so what is
/// left is to say whether the config's own changes can be used, and that they take a restart.
async fn look_again_on(mut hangup: Signal, file: PathBuf, in_force: Config) {
    while hangup.recv().await.is_some() {
        notify::reloading();
        tracing::info!(name: Event::Reloading.name(), file = %file.display(), "reading the config again");
        match Config::load(&file) {
            Ok(config) if config == in_force => {}
            Ok(_) => tracing::warn!(name: Event::ReloadRefused.name(), file = %file.display(),
                error = "what was changed takes a restart", "the config in force stays so"),
            Err(error) => tracing::error!(name: Event::ReloadRefused.name(), %error, "the config in force stays so"),
        }
        notify::ready();
    }
}

async fn stop_on((mut terminate, mut interrupt): (Signal, Signal), shutdown: CancellationToken) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(name: Event::Stopping.name(), signal = name, "stopping");
    notify::stopping();
    shutdown.cancel();
}

fn keygen(config: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::load(config)?;
    let key = key_file::create(&config.key_file)?;
    std::fs::create_dir_all(&config.hospitals_dir)
        .map_err(|e| format!("the folder {} cannot be made: {e}", config.hospitals_dir.display()))?;
    println!("# {} was written. Every agent's config needs:", config.key_file.display());
    println!("centre-key = \"{}\"", key.public());
    println!("# fingerprint {}", key.public().fingerprint());
    Ok(())
}

fn enrol_card(card: &Path, config: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::load(config)?;
    let nation = Nation::load(config.nation_file.as_deref())?;
    let centre = key_file::load(&config.key_file)?.public();
    let card = read_card(card)?;
    let file = enrol(&config.hospitals_dir, &card, Clock::System.now(), &nation)?;
    println!("# {} ({}) is enrolled in {}", card.hospital, card.name, file.display());
    println!("# Compare the fingerprint with the hospital by telephone: {}", card.public_key.fingerprint());
    println!("# The agent's config needs:");
    println!("centre-key = \"{centre}\"");
    Ok(())
}
