//! Agents and aggregators as processes of their own.
//!
//! In: a config file. Out: a [`Process`], killed when it is dropped. The programs are those that cargo built beside the
//! one that runs: `target/<profile>/`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A program of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The hospital's daemon.
    Agent,
    /// The centre's daemon.
    Aggregator,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Agent => "vardpuls-agent",
            Program::Aggregator => "vardpuls-aggregator",
        }
    }

    /// Where cargo put it.
    pub fn path(self) -> Result<PathBuf, ProcessError> {
        let own = std::env::current_exe().map_err(ProcessError::Own)?;
        let folder = own.parent().unwrap_or(Path::new("."));
        // Tests lie one folder deeper than programs.
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
        let file = folder.join(self.name());
        if file.exists() { Ok(file) } else { Err(ProcessError::Missing { program: self.name(), file }) }
    }
}

/// Why a process is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The system does not say where this program lies.
    #[error("where this program lies is not known: {0}")]
    Own(io::Error),
    /// The program was not built.
    #[error(
        "{} is not there; build it with the same profile first: cargo build -p {program} [--release]",
        file.display()
    )]
    Missing {
        /// Which program.
        program: &'static str,
        /// Where it should lie.
        file: PathBuf,
    },
    /// It could not be started, signalled or waited for.
    #[error("{program}: {reason}")]
    System {
        /// Which program.
        program: &'static str,
        /// What the system says.
        reason: io::Error,
    },
}

/// SIGTERM, to a child that still runs: the standard library sends no signal but SIGKILL.
pub fn ask_to_end(child: &Child) -> io::Result<()> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    id.map_or(Ok(()), |id| Ok(kill_process(id, Signal::TERM)?))
}

/// A program that runs by itself.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
}

impl Process {
    /// Starts `program run --config FILE`; what it logs is added to `log`.
    pub fn start(program: Program, config_file: &Path, log: &Path) -> Result<Process, ProcessError> {
        Process::start_with(program, config_file, log, std::iter::empty())
    }

    /// The same, with some variables set.
    pub fn start_with(
        program: Program,
        config_file: &Path,
        log: &Path,
        environment: impl Iterator<Item = (&'static str, &'static str)>,
    ) -> Result<Process, ProcessError> {
        let fault = |reason| ProcessError::System { program: program.name(), reason };
        let log = File::options().create(true).append(true).open(log).map_err(fault)?;
        let child = Command::new(program.path()?)
            .arg("run")
            .arg("--config")
            .arg(config_file)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(fault)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(fault)?;
        Ok(Process { program, child })
    }

    fn fault(&self) -> impl Fn(io::Error) -> ProcessError + use<> {
        let program = self.program.name();
        move |reason| ProcessError::System { program, reason }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool, ProcessError> {
        let fault = self.fault();
        Ok(self.child.try_wait().map_err(fault)?.is_none())
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn terminate(mut self) -> Result<ExitStatus, ProcessError> {
        let fault = self.fault();
        ask_to_end(&self.child).map_err(&fault)?;
        self.child.wait().await.map_err(fault)
    }
}
