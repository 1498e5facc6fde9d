//! `vardpuls-agent`: parse, load, run.

use std::process::ExitCode;

fn main() -> ExitCode {
    vardpuls_agent::cli::main()
}
