//! `cargo run --release --bin demo`: the whole country on one machine. See `--help`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use vardpuls_tests::demo::{Options, run};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Nothing but the worst may stand between the lines of a live table. Many agents in one process soon use up the
    // system's file notifications, and then scan: no news here. The broker's own log has no reader.
    let level = if std::io::stdout().is_terminal() { "error" } else { "warn" };
    let quiet = format!("{level},vardpuls_agent::source::watch=error,rumqttd=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}
