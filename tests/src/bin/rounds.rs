//! `cargo run --release --bin rounds`: kill -9 of agents, broker and aggregator under load, and what the store then holds.
//!
//! Exit status 0 only if no acknowledged report was lost and there is no other difference.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use vardpuls_tests::rounds::{Plan, run};

/// Kills agents, broker and aggregator in random order under load, and looks for what was lost.
#[derive(Debug, Parser)]
#[command(name = "rounds")]
struct Options {
    /// How often each kind of process is killed, at least.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// How many hospitals report.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    hospitals: u16,
    /// Repeats the order and the pauses of the kills.
    #[arg(long)]
    seed: Option<u64>,
    /// Where everything is written, and stays; otherwise a temporary folder, kept when something is wrong.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Use the aggregator's embedded broker although Mosquitto is installed.
    #[arg(long)]
    embedded: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match prepared(&options).and_then(|(plan, temporary)| {
        let outcome = run(&plan, |line| println!("{line}")).map_err(|e| e.to_string());
        let good = outcome.as_ref().is_ok_and(vardpuls_tests::rounds::audit::Outcome::is_good);
        if temporary && good {
            // What cannot be removed is only clutter.
            let _ = std::fs::remove_dir_all(&plan.folder);
        } else {
            println!("files and logs are in {}", plan.folder.display());
        }
        outcome
    }) {
        Ok(outcome) => {
            println!("\n{outcome}");
            println!("{}", if outcome.is_good() { "nothing lost, no difference" } else { "NOT GOOD: see the table" });
            if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("rounds: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The plan, and whether its folder is a temporary one.
fn prepared(options: &Options) -> Result<(Plan, bool), String> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let mosquitto = if options.embedded { None } else { mosquitto() };
    let binaries = binaries()?;
    let folder = match &options.dir {
        Some(folder) => std::fs::create_dir_all(folder).and_then(|()| folder.canonicalize()),
        None => tempfile::Builder::new().prefix("rounds-").tempdir().map(tempfile::TempDir::keep),
    };
    let folder = folder.map_err(|e| format!("the folder to work in: {e}"))?;
    let broker = mosquitto.as_deref().map_or("embedded".into(), |m| m.display().to_string());
    println!("{} rounds, {} hospitals, broker: {broker}, --seed {seed}", options.rounds, options.hospitals);
    let plan = Plan { rounds: options.rounds, hospitals: options.hospitals, seed, folder, binaries, mosquitto };
    Ok((plan, options.dir.is_none()))
}

/// Where the daemons are: beside this program. Under `cargo run` they are built first, as they would be shipped.
fn binaries() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let folder = program.parent().unwrap_or(Path::new(".")).to_owned();
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--workspace", "--bins", "--target-dir"]).arg(folder.parent().unwrap_or(&folder));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.status().map_err(|e| format!("cargo build: {e}"))?;
        if !status.success() {
            return Err(format!("cargo build: {status}"));
        }
    }
    Ok(folder)
}

/// Mosquitto, where it is installed.
fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join("mosquitto")).find(|file| file.exists())
}
