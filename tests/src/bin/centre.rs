//! `centre`: the aggregator's daemon once more, built with the rig, so that its tests can start it as a process and
//! kill it, and never meet one that was built before a change.

use std::process::ExitCode;

use vardpuls_aggregator::cli::Cli;

fn main() -> ExitCode {
    Cli::main()
}
