//! The processes that are killed: agents, a broker and an aggregator, each as it runs in service, in one folder.
//!
//! ```text
//! <folder>/broker.conf, broker.log               Mosquitto, in memory only: a killed broker has forgotten everything
//! <folder>/centre/{aggregator.toml, centre.key, hospitals.d/, vardpuls.db, aggregator.log}
//! <folder>/<hospital>/{agent.toml, agent.key, beds.csv, state/, agent.log}
//! ```
//!
//! Only processes that were started here are ended, by their own handle.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use vardpuls_agent::outbox::Summary;
use vardpuls_agent::status;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::{KeyError, PublicKey, SigningKey};

use super::{Plan, configs, load};

/// How long a process may take to drain after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

/// One of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The agent of this number.
    Agent(usize),
    /// The external broker.
    Broker,
    /// The aggregator, with its embedded broker where there is no external one.
    Aggregator,
}

/// Processes killed, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kills {
    /// Agents.
    pub agents: u64,
    /// The broker; the embedded one dies with its aggregator.
    pub broker: u64,
    /// The aggregator.
    pub aggregator: u64,
}

/// Why the fleet could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// No random numbers.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The programs to kill are not built.
    #[error("{0} is not there; build it: cargo build --release --workspace --bins")]
    NotBuilt(PathBuf),
    /// A command did not do its work.
    #[error("{command}: {output}")]
    Command {
        /// Which.
        command: String,
        /// What it printed.
        output: String,
    },
    /// A process ended though nobody had killed it.
    #[error("{name} ended by itself ({status}); its log {log} ends:\n{tail}")]
    Ended {
        /// Which.
        name: String,
        /// Its exit status.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// A process did not end after SIGTERM.
    #[error("{name} did not end within {DRAIN:?} after SIGTERM")]
    Hangs {
        /// Which.
        name: String,
    },
}

fn io_error(what: impl ToString) -> impl FnOnce(io::Error) -> FleetError {
    move |source| FleetError::Io { what: what.to_string(), source }
}

/// One process, which may be down.
#[derive(Debug)]
struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    fn spawn(&mut self) -> Result<(), FleetError> {
        let log = || OpenOptions::new().create(true).append(true).open(&self.log).map_err(io_error(self.log.display()));
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("RUST_LOG", "info").stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        self.child = Some(command.spawn().map_err(io_error(self.program.display()))?);
        Ok(())
    }

    /// SIGKILL. Says whether it was up.
    fn kill(&mut self) -> Result<bool, FleetError> {
        let Some(mut child) = self.child.take() else { return Ok(false) };
        child.kill().and_then(|()| child.wait()).map_err(io_error(&self.name))?;
        Ok(true)
    }

    fn runs(&mut self) -> Result<(), FleetError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait().map_err(io_error(&self.name))? {
            None => Ok(()),
            Some(status) => Err(FleetError::Ended {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log.clone(),
                tail: tail(&self.log),
            }),
        }
    }

    /// SIGTERM, and waits for the drain.
    fn stop(&mut self) -> Result<(), FleetError> {
        self.runs()?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        call(Command::new("kill").arg("-TERM").arg(child.id().to_string()))?;
        let deadline = Instant::now() + DRAIN;
        while child.try_wait().map_err(io_error(&self.name))?.is_none() {
            if Instant::now() > deadline {
                child.kill().and_then(|()| child.wait()).map_err(io_error(&self.name))?;
                return Err(FleetError::Hangs { name: self.name.clone() });
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever went wrong before: nothing that was started here outlives it.
        let _ = self.kill();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
}

fn call(command: &mut Command) -> Result<String, FleetError> {
    let line = format!("{command:?}");
    let done = command.stdin(Stdio::null()).output().map_err(io_error(&line))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(text);
    }
    Err(FleetError::Command { command: line, output: text + &String::from_utf8_lossy(&done.stderr) })
}

/// One hospital: its agent and its files.
#[derive(Debug)]
struct Hospital {
    id: HospitalId,
    key: PublicKey,
    folder: PathBuf,
    agent: Process,
}

/// All processes.
#[derive(Debug)]
pub struct Fleet {
    hospitals: Vec<Hospital>,
    broker: Option<Process>,
    aggregator: Process,
    centre: PathBuf,
    centre_key: PublicKey,
    mqtt_port: u16,
    kills: Kills,
}

impl Fleet {
    /// Writes keys, configs and enrolments, and starts everything.
    pub fn start(plan: &Plan) -> Result<Fleet, FleetError> {
        let program = |name: &str| {
            let path = plan.binaries.join(name);
            if path.exists() { Ok(path) } else { Err(FleetError::NotBuilt(path)) }
        };
        let (agent, aggregator) = (program("vardpuls-agent")?, program("vardpuls-aggregator")?);
        let (mqtt_port, http_port) = free_ports()?;
        let centre = plan.folder.join("centre");
        folder(&centre.join("hospitals.d"))?;
        let centre_key = make_key(&centre.join("centre.key"))?;
        let config = centre.join("aggregator.toml");
        write(&config, &configs::centre_config(mqtt_port, http_port, plan.mosquitto.is_some()))?;
        let mut hospitals = Vec::new();
        for number in 1..=plan.hospitals {
            let hospital = prepare(&plan.folder, number, &agent, mqtt_port, centre_key)?;
            let card = hospital.folder.join("card.toml");
            write(&card, &configs::enrolment_card(&hospital.id, &hospital.key))?;
            call(Command::new(&aggregator).arg("enrol").arg(&card).arg("--config").arg(&config))?;
            hospitals.push(hospital);
        }
        let broker = match &plan.mosquitto {
            Some(program) => Some(prepare_broker(&plan.folder, program, mqtt_port)?),
            None => None,
        };
        let aggregator = Process {
            name: "the aggregator".into(),
            program: aggregator,
            arguments: vec!["run".into(), "--config".into(), config.display().to_string()],
            log: centre.join("aggregator.log"),
            child: None,
        };
        let mut fleet = Fleet { hospitals, broker, aggregator, centre, centre_key, mqtt_port, kills: Kills::default() };
        if fleet.has_broker() {
            fleet.spawn(Part::Broker)?;
        }
        fleet.spawn(Part::Aggregator)?;
        (0..fleet.agents()).try_for_each(|number| fleet.spawn(Part::Agent(number)))?;
        Ok(fleet)
    }

    fn process(&mut self, part: Part) -> &mut Process {
        match part {
            Part::Agent(number) => &mut self.hospitals[number].agent,
            Part::Broker => self.broker.as_mut().expect("a broker is only named where there is one"),
            Part::Aggregator => &mut self.aggregator,
        }
    }

    /// Starts a process that is down.
    pub fn spawn(&mut self, part: Part) -> Result<(), FleetError> {
        self.process(part).spawn()
    }

    /// SIGKILL. One that had ended by itself before is an error.
    pub fn kill(&mut self, part: Part) -> Result<(), FleetError> {
        self.process(part).runs()?;
        let killed = u64::from(self.process(part).kill()?);
        match part {
            Part::Agent(_) => self.kills.agents += killed,
            Part::Broker => self.kills.broker += killed,
            Part::Aggregator => self.kills.aggregator += killed,
        }
        Ok(())
    }

    /// Whether nobody ended who was not killed.
    pub fn all_run(&mut self) -> Result<(), FleetError> {
        self.hospitals.iter_mut().try_for_each(|h| h.agent.runs())?;
        self.broker.as_mut().map_or(Ok(()), Process::runs)?;
        self.aggregator.runs()
    }

    /// SIGTERM to all, the agents first; each must drain.
    pub fn stop(&mut self) -> Result<(), FleetError> {
        self.hospitals.iter_mut().try_for_each(|h| h.agent.stop())?;
        self.aggregator.stop()?;
        self.broker.as_mut().map_or(Ok(()), Process::stop)
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.hospitals.len()
    }

    /// Whether the broker is a process of its own.
    pub fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    /// Processes killed so far.
    pub fn kills(&self) -> Kills {
        self.kills
    }

    /// Where the broker listens.
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt_port
    }

    /// The centre's public key.
    pub fn centre_key(&self) -> PublicKey {
        self.centre_key
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.centre.join("vardpuls.db")
    }

    /// Every hospital's census file.
    pub fn drops(&self) -> Vec<PathBuf> {
        self.hospitals.iter().map(|h| h.folder.join("beds.csv")).collect()
    }

    /// Every hospital's key.
    pub fn hospital_keys(&self) -> BTreeMap<HospitalId, PublicKey> {
        self.hospitals.iter().map(|h| (h.id.clone(), h.key)).collect()
    }

    /// Every agent's state folder.
    pub fn state_folders(&self) -> impl Iterator<Item = (HospitalId, PathBuf)> {
        self.hospitals.iter().map(|h| (h.id.clone(), h.folder.join("state")))
    }

    /// What every agent says of its outbox; none where it does not answer.
    pub fn statuses(&self) -> impl Iterator<Item = Option<Summary>> {
        self.hospitals
            .iter()
            .map(|h| status::socket::ask(&h.folder.join("state/status.sock")).ok().flatten().and_then(|s| s.outbox))
    }

    /// How many reports every agent got a receipt for; zero where it does not answer.
    pub fn released(&self) -> Vec<u64> {
        self.statuses().map(|s| s.map_or(0, |s| s.released)).collect()
    }
}

/// Two ports that nobody listens on. Both are held while they are chosen, so that they differ.
fn free_ports() -> Result<(u16, u16), FleetError> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).map_err(io_error("a port of 127.0.0.1"));
    let port = |listener: &TcpListener| listener.local_addr().map(|a| a.port()).map_err(io_error("a port"));
    let (one, other) = (bind()?, bind()?);
    Ok((port(&one)?, port(&other)?))
}

fn folder(path: &Path) -> Result<(), FleetError> {
    fs::create_dir_all(path).map_err(io_error(path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), FleetError> {
    fs::write(path, text).map_err(io_error(path.display()))
}

fn make_key(path: &Path) -> Result<PublicKey, FleetError> {
    let pem = SigningKey::generate_pem()?;
    let create = || -> io::Result<File> { OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) };
    create().and_then(|mut file| io::Write::write_all(&mut file, pem.as_bytes())).map_err(io_error(path.display()))?;
    Ok(SigningKey::from_pem(pem.as_bytes())?.public())
}

fn prepare_broker(folder: &Path, program: &Path, port: u16) -> Result<Process, FleetError> {
    let config = folder.join("broker.conf");
    write(&config, &configs::broker_config(port))?;
    Ok(Process {
        name: "the broker".into(),
        program: program.into(),
        arguments: vec!["-c".into(), config.display().to_string()],
        log: folder.join("broker.log"),
        child: None,
    })
}

fn prepare(
    all: &Path,
    number: u16,
    program: &Path,
    mqtt_port: u16,
    centre_key: PublicKey,
) -> Result<Hospital, FleetError> {
    let id = HospitalId::new(&format!("round-{number}")).expect("the alphabet of identifiers");
    let path = all.join(id.as_str());
    folder(&path.join("state"))?;
    let key = make_key(&path.join("agent.key"))?;
    load::write(&path.join("beds.csv"), 0).map_err(io_error(path.display()))?;
    let config = path.join("agent.toml");
    write(&config, &configs::agent_config(&id, &path, mqtt_port, centre_key))?;
    let agent = Process {
        name: format!("the agent of {id}"),
        program: program.into(),
        arguments: vec!["run".into(), "--config".into(), config.display().to_string()],
        log: path.join("agent.log"),
        child: None,
    };
    Ok(Hospital { id, key, folder: path, agent })
}
