//! `vardpuls-agent status`: asks, and says it in the form that was asked for.
//!
//! In: where to ask and how to say it. Out: text on standard output and an exit status: 0 where an
//! agent answers, 1 where none does; of `--nagios` its state; of `--textfile` 0 once the file is
//! written, whatever stands in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::nagios::{self, State, Thresholds};
use super::{Status, socket, table, textfile};
use crate::config::Config;
use crate::outbox::{self, OutboxError};

/// How the status is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Table,
    /// The document.
    Json,
    /// A monitoring plugin's line, with thresholds for the age of the newest receipt.
    Nagios {
        /// From here on a warning.
        warning: Option<Duration>,
        /// From here on critical.
        critical: Option<Duration>,
    },
    /// Metrics in a file.
    Textfile(PathBuf),
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The config, where it is needed.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The socket is there and cannot be asked.
    #[error("{}: {reason}; ask as the agent's user, as a member of its group, or as root", socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The outbox is in use, and nobody answers.
    #[error(
        "an agent holds the outbox but does not answer at {}: it is starting or stopping; ask again in a moment, and \
         look at its log if that does not help", .0.display()
    )]
    Silent(PathBuf),
    /// The outbox of a stopped agent cannot be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The file cannot be written.
    #[error("{}: {reason}; the folder must be there, and whoever asks must be let write in it", file.display())]
    Textfile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// Asks at `socket`, or where the config says, prints, and gives the exit status.
pub fn run(config: &Path, socket: Option<&Path>, form: &Form) -> Result<u8, StatusError> {
    let said = say(config, socket, form);
    match (form, said) {
        (Form::Nagios { .. }, Err(e)) => {
            print!("{}", nagios::without(State::Unknown, &e.to_string()));
            Ok(State::Unknown.code())
        }
        (_, said) => said,
    }
}

fn say(config: &Path, socket: Option<&Path>, form: &Form) -> Result<u8, StatusError> {
    let config = match socket {
        Some(_) => None,
        None => Some(Config::load(config)?),
    };
    let socket = socket.or(config.as_ref().map(|c| c.status_socket.as_path())).expect("one of the two is there");
    let asked = socket::ask(socket).map_err(|reason| StatusError::Socket { socket: socket.to_owned(), reason })?;
    match (form, asked) {
        (Form::Nagios { warning, critical }, Some(status)) => {
            let (state, line) = nagios::judge(&status, Thresholds::of(&status, *warning, *critical));
            print!("{line}");
            Ok(state.code())
        }
        (Form::Nagios { .. }, None) => {
            let why = format!("no agent answers at {}; see: systemctl status vardpuls-agent", socket.display());
            print!("{}", nagios::without(State::Critical, &why));
            Ok(State::Critical.code())
        }
        (Form::Textfile(file), asked) => {
            textfile::write(file, &textfile::render(asked.as_ref()))
                .map_err(|reason| StatusError::Textfile { file: file.clone(), reason })?;
            Ok(0)
        }
        (Form::Json, Some(status)) => {
            println!("{}", json(&status));
            Ok(0)
        }
        (Form::Table, Some(status)) => {
            print!("{}", table::render(&status));
            Ok(0)
        }
        (form, None) => {
            stopped(config.as_ref(), socket, *form == Form::Json)?;
            Ok(1)
        }
    }
}

/// What is left of an agent that does not run.
fn stopped(config: Option<&Config>, socket: &Path, as_json: bool) -> Result<(), StatusError> {
    let Some(config) = config else {
        println!("{}", if as_json { "null".to_owned() } else { format!("no agent answers at {}", socket.display()) });
        return Ok(());
    };
    let contents = match outbox::inspect(&config.state_dir) {
        Err(OutboxError::Locked { .. }) => return Err(StatusError::Silent(socket.to_owned())),
        contents => contents?,
    };
    let folder = config.state_dir.display();
    match (as_json, contents) {
        (true, contents) => println!("{}", json(&contents)),
        (false, Some(contents)) => {
            println!("no agent runs on {folder}; its outbox holds:");
            print!("{}", table::render_contents(&contents));
        }
        (false, None) => println!("no agent runs on {folder}, and none ever did: there is no outbox"),
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("names and numbers are always JSON")
}

/// The document of the agent behind `socket`, for `check`.
pub fn ask(socket: &Path) -> Result<Option<Status>, StatusError> {
    socket::ask(socket).map_err(|reason| StatusError::Socket { socket: socket.to_owned(), reason })
}
