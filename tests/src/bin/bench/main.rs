//! `bench`: measures what ARCHITECTURE.md claims, and prints one table.
//!
//! In: nothing, or the names of single measurements. Out: a row a figure: what, the value, what it
//! stands beside, the ratio of the two, and the bar where there is one. Both sides of a ratio are
//! measured in the same run, in turns, because machines differ and are noisy. Never part of a test.

mod adt;
mod alarm_latency;
mod alarms;
mod fixture;
mod idle;
mod ingest;
mod latency;
mod rollup;
mod size;
mod table;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use table::Row;

/// Measures Vardpuls and prints one table.
#[derive(Debug, Parser)]
struct Options {
    /// Only these measurements: size, ingest, rollup, alarms, latency, alarm-latency, idle, adt.
    only: Vec<String>,
    /// How long the idle agent is watched, in seconds.
    #[arg(long, default_value_t = 180)]
    idle_for: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Silent unless asked: what daemons in this process say would stand between the figures.
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = false;
    let mut take = |name: &str, measured: &mut dyn FnMut() -> Result<Vec<Row>, String>| {
        if wanted(name) {
            eprintln!("measuring {name} …");
            match measured() {
                Ok(new) => rows.extend(new),
                Err(e) => {
                    eprintln!("{name}: {e}");
                    failed = true;
                }
            }
        }
    };
    take("size", &mut || Ok(size::measure()));
    take("ingest", &mut ingest::measure);
    take("rollup", &mut || Ok(rollup::measure()));
    take("alarms", &mut || Ok(alarms::measure()));
    take("latency", &mut latency::measure);
    take("alarm-latency", &mut alarm_latency::measure);
    take("idle", &mut || idle::measure(options.idle_for));
    take("adt", &mut adt::measure);
    table::print(&rows);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
