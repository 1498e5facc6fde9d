//! The `vardpuls-aggregator` program; what it does is in the library.

use std::process::ExitCode;

use vardpuls_aggregator::cli::Cli;

fn main() -> ExitCode {
    Cli::main()
}
