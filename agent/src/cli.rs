//! The command line: which command, on which config, and what is printed.
//!
//! Results go to standard output, everything else to standard error. The exit status is 0, 1 when
//! something is wrong, 2 for a command line that cannot be read.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use vardpuls_service::event::Event;
use vardpuls_service::{log, notify};
use vardpuls_shared::card::Card;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::key::SigningKey;

use crate::config::{Config, parse_duration};
use crate::headline::headline;
use crate::status::command::Form;
use crate::{Agent, check, core_dumps, preview, signer, status};

/// The program.
const NAME: &str = "vardpuls-agent";
/// What database drivers say of their own accord: a server's notices, errors and rows as they come. Of them only what
/// `source/sql/fault.rs` lets through may be written down.
const MUTED: [&str; 3] = ["odbc_api", "sqlx::postgres::notice", "tiberius"];

#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version,
    about = "Reports a hospital's ward occupancy, signed, and keeps each report until it is receipted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The config file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/vardpuls-agent/agent.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report until told to stop (SIGTERM); SIGHUP reloads the config.
    Run,
    /// Look for whatever keeps this agent from reporting, and say what to do about it.
    ///
    /// A line for each thing looked at: ok, warning, failed, or not tried because of an earlier line; below it, after an
    /// arrow, what to do. In order: the config; the key and who may read it; the state folder and the room on its disk;
    /// whether an agent runs; the files of the broker section; the broker's name, its port, its TLS certificate, the
    /// login; the clock against the centre's; whether the centre knows this hospital and its key; each source, read once
    /// with the counts that it gives; the report that they would make.
    ///
    /// Nothing is published and nothing stays on disk. While an agent runs it is asked, and not disturbed by a second
    /// login; while none runs, the login is tried as the agent would do it. Run it as the agent's user: root may read
    /// what that user may not.
    ///
    /// Exit status: 0 nothing failed (there may be warnings), 1 something failed, 2 the command line cannot be read.
    Check {
        /// Print the findings as JSON: a list of step, level (ok, not-tried, warning, failed), what, remedy.
        #[arg(long)]
        json: bool,
    },
    /// Show the exact bytes that would be sent, and what each means. Sends nothing.
    Preview {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the signing key and print the enrolment card for the centre.
    Keygen {
        /// Make no key; print the card of the key that is there.
        #[arg(long)]
        card_only: bool,
    },
    /// Ask the running agent how it is: what was last read, sent and receipted, what waits, what was refused and why,
    /// how far its clock is off. Without an agent, show what its outbox holds.
    ///
    /// The agent answers on a Unix socket (`status-socket` in the config), which its user and its group may ask; it
    /// listens on no network port for this.
    ///
    /// Exit status: 0 an agent answers, 1 none does or it cannot be asked. With --nagios: 0 ok, 1 warning, 2 critical
    /// (the centre does not hear this hospital), 3 it cannot be asked. With --textfile: 0 once the file is written, also
    /// where no agent answers (`vardpuls_agent_up` is 0 then), 1 where it cannot be.
    Status(StatusOptions),
}

#[derive(Debug, Args)]
struct StatusOptions {
    /// Print the whole status as JSON.
    #[arg(long, group = "form")]
    json: bool,
    /// Print one line with performance data, as a Nagios or Icinga plugin does.
    #[arg(long, group = "form")]
    nagios: bool,
    /// Write metrics for the textfile collector of Prometheus' node exporter to FILE, replacing it as a whole; `-` is standard output.
    #[arg(long, group = "form", value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// With --nagios: a warning when the newest receipt is this old, as in 5m. Default: halfway between heartbeat and
    /// valid-for.
    #[arg(long, requires = "nagios", value_name = "DURATION", value_parser = duration)]
    warning: Option<Duration>,
    /// With --nagios: critical when the newest receipt is this old. Default: valid-for, when the centre calls the
    /// hospital stale.
    #[arg(long, requires = "nagios", value_name = "DURATION", value_parser = duration)]
    critical: Option<Duration>,
    /// Ask at this socket; the config is then not read.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

impl StatusOptions {
    fn form(&self) -> Form {
        match &self.textfile {
            Some(file) => Form::Textfile(file.clone()),
            None if self.nagios => Form::Nagios { warning: self.warning, critical: self.critical },
            None if self.json => Form::Json,
            None => Form::Table,
        }
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a whole number and ms, s, m, h or d, as in 5m")
}

/// The command line, for man pages and shell completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the command line, does it, prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = log::start(NAME, "info", &MUTED).map_err(Into::into).and_then(|()| {
        // Every command holds a key, or reads what must not be kept.
        core_dumps::forbid()?;
        run(&cli)
    });
    done.unwrap_or_else(|e| {
        log::failed(NAME, &log::chain(e.as_ref()));
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    match &cli.command {
        Command::Run => {
            let config = Config::load(&cli.config)?;
            runtime()?.block_on(serve(config, &cli.config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { json } => check(&cli.config, *json),
        Command::Preview { json } => preview(&cli.config, *json),
        Command::Keygen { card_only } => keygen(&Config::load(&cli.config)?, *card_only),
        Command::Status(options) => {
            let code = status::command::run(&cli.config, options.socket.as_deref(), &options.form())?;
            Ok(ExitCode::from(code))
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

// Apart from `run`, so that a daemon's memory holds neither.
#[inline(never)]
fn check(path: &Path, json: bool) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = runtime()?;
    let code = runtime.block_on(check::run(path, json));
    // A file system that hangs must not hold back what was found.
    runtime.shutdown_background();
    Ok(code)
}

#[inline(never)]
fn preview(path: &Path, json: bool) -> Result<ExitCode, Box<dyn Error>> {
    let config = Config::load(path)?;
    print!("{}", runtime()?.block_on(preview::run(&config, &Clock::System, json))?);
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let agent = Agent::open(config, Clock::System).await?;
    let (reload, reloads) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let (vitals, board) = (agent.vitals(), agent.board());
    let mut work = std::pin::pin!(agent.run(reloads, shutdown.clone()));
    notify::ready();
    let stop_watching = shutdown.clone();
    tokio::spawn(async move {
        vitals.attend(move || headline(&board.read(Clock::System.now())), stop_watching).await;
    });
    // Handed over and not taken yet.
    let mut reloading = false;
    loop {
        tokio::select! {
            () = &mut work => return Ok(()),
            _ = terminate.recv() => stop("SIGTERM", &shutdown),
            _ = interrupt.recv() => stop("SIGINT", &shutdown),
            _ = hangup.recv() => {
                info!(name: Event::Reloading.name(), "reading the config again");
                notify::reloading();
                match Config::load(path) {
                    // A full queue holds a config that was read a moment ago; this one is asked for again.
                    Ok(config) => if reload.try_send(config).is_err() {
                        error!(name: Event::ReloadRefused.name(), "a reload is still under way; send SIGHUP again");
                    },
                    Err(e) => error!(name: Event::ReloadRefused.name(), error = %e, "reload: the old config stays"),
                }
                reloading = true;
            }
            // There is room again once the agent took what was handed over.
            room = reload.reserve(), if reloading => {
                drop(room);
                reloading = false;
                notify::ready();
            }
        }
    }
}

fn stop(signal: &str, shutdown: &CancellationToken) {
    info!(name: Event::Stopping.name(), signal, "stopping");
    notify::stopping();
    shutdown.cancel();
}

fn keygen(config: &Config, card_only: bool) -> Result<ExitCode, Box<dyn Error>> {
    let path = &config.key_file;
    if !card_only {
        let pem = SigningKey::generate_pem()?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "key-file {}: there is a key already, and it is not overwritten; keygen --card-only prints its card. \
                 To change keys, move the old one away, make a new one and have its card enrolled",
                path.display()
            ),
            _ => format!("key-file {}: {e}; check that its folder is there and can be written to", path.display()),
        })?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all())?;
    }
    let key = signer::read_key(path)?;
    let card = Card::new(config.hospital.clone(), config.name.clone(), config.region.clone(), key.public());
    print!("{}", card.render());
    Ok(ExitCode::SUCCESS)
}
