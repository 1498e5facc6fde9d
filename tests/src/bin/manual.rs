//! Man pages and shell completions of both daemons, made from their command lines.
//!
//! In: a folder. Out: `man/*.1` and `completions/` in it. `packaging/build` calls it and compresses them;
//! the daemons themselves carry none of this.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: manual FOLDER");
        return ExitCode::from(2);
    };
    let commands = [vardpuls_agent::cli::command(), vardpuls_aggregator::cli::command()];
    match commands.into_iter().try_for_each(|command| write(command, &folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("manual: {}: {e}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(mut command: Command, folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let name = command.get_name().to_owned();
    clap_mangen::generate_to(command.clone(), &man)?;
    for (shell, file) in
        [(Shell::Bash, format!("{name}.bash")), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, &name, &mut script);
        fs::write(completions.join(file), script)?;
    }
    Ok(())
}
