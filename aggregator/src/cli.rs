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
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::HospitalId;

use crate::config::{Config, key_file};
use crate::enrolment::{enrol, read_card};
use crate::nation::Nation;
use crate::operators::Role;

/// The centre's daemon: verifies, stores, receipts and merges reports into the national feed.
#[derive(Debug, Parser)]
#[command(name = "vardpuls-aggregator", version, about)]
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
            eprintln!("vardpuls-aggregator: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        })
    }
}

/// An error with its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

fn run(config: &Path) -> Result<(), Box<dyn Error>> {
    let filter = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        Some(_) => EnvFilter::try_from_default_env()?,
        // rumqttd calls every ordinary disconnect an error.
        None => EnvFilter::new("info,rumqttd=off"),
    };
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let config = Config::load(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        // Before anything is bound: a signal during the start must not be lost.
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(stop_on(signals, shutdown.clone()));
        let centre = tokio::select! {
            centre = crate::bind(config, Clock::System) => centre?,
            () = shutdown.cancelled() => return Ok(()),
        };
        tell(NotifyState::Ready);
        Ok(centre.run(shutdown).await?)
    })
}

async fn stop_on(
    (mut terminate, mut interrupt): (tokio::signal::unix::Signal, tokio::signal::unix::Signal),
    shutdown: CancellationToken,
) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
    tell(NotifyState::Stopping);
    shutdown.cancel();
}

/// Tells the service manager, where there is one.
fn tell(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        tracing::warn!(error = %e, "the service manager was not told");
    }
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
