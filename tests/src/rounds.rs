//! The kill -9 checker: nothing acknowledged is lost, whatever is killed, whenever.
//!
//! In: a [`Plan`]. It starts real processes (agents, a broker, an aggregator), changes ward counts all the time, kills
//! processes with SIGKILL at random moments and starts them again. At the end everything drains, and the store is held
//! against the agents' outboxes and against every receipt that a witness saw on the broker. Out: an [`Outcome`].
//!
//! | file | owns |
//! |---|---|
//! | [`fleet`] | the folder and the processes |
//! | `configs` | their configs |
//! | [`load`] | ward counts that change all the time |
//! | [`witness`] | every receipt that passed over the broker |
//! | [`audit`] | what the store must hold, and the table |
//!
//! Moments of killing are random on purpose; everything else waits for a condition.

pub mod audit;
mod configs;
pub mod fleet;
pub mod load;
pub mod witness;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use audit::{Account, Outcome};
use fleet::{Fleet, FleetError, Part};
use load::Load;
use witness::Witness;

/// How long everybody may take to be at work again after a round, and to drain at the end.
const PATIENCE: Duration = Duration::from_mins(2);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often agent, broker and aggregator are killed, each at least once a round.
    pub rounds: u32,
    /// How many hospitals report.
    pub hospitals: u16,
    /// Repeats the order and the pauses of the kills, as far as a machine repeats anything.
    pub seed: u64,
    /// Where everything is written.
    pub folder: PathBuf,
    /// Where `vardpuls-agent` and `vardpuls-aggregator` are.
    pub binaries: PathBuf,
    /// Mosquitto; without it the aggregator's embedded broker, which is then killed with the aggregator.
    pub mosquitto: Option<PathBuf>,
}

/// Why the rounds could not be run to their end. That is a failure too.
#[derive(Debug, thiserror::Error)]
pub enum RoundsError {
    /// A process could not be started or prepared, or ended by itself.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Something did not go on after a kill.
    #[error("{what} within {PATIENCE:?}; the logs are in {folder}")]
    Stalled {
        /// What was waited for.
        what: String,
        /// Where the logs are.
        folder: PathBuf,
    },
    /// The outboxes or the store could not be read at the end.
    #[error(transparent)]
    Audit(#[from] audit::AuditError),
    /// The witness could not be started.
    #[error("the witness: {0}")]
    Witness(std::io::Error),
}

/// Runs the plan and audits what it left. `told` hears a line a round.
pub fn run(plan: &Plan, mut told: impl FnMut(&str)) -> Result<Outcome, RoundsError> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut fleet = Fleet::start(plan)?;
    let witness = Witness::start(fleet.mqtt_port(), fleet.centre_key()).map_err(RoundsError::Witness)?;
    let load = Load::start(fleet.drops(), rng.fork());
    let none = vec![0; fleet.agents()];
    all_at_work(&mut fleet, &plan.folder, "every agent got its first receipt", &none)?;
    for round in 1..=plan.rounds {
        let before = fleet.released();
        kill_all_kinds(&mut fleet, &mut rng)?;
        all_at_work(&mut fleet, &plan.folder, &format!("every agent got a new receipt after round {round}"), &before)?;
        let released: u64 = fleet.released().iter().sum();
        told(&format!("round {round}: {released} reports receipted so far"));
    }
    load.stop();
    wait(&mut fleet, &plan.folder, "every outbox drained", |fleet| {
        fleet.statuses().all(|s| s.is_some_and(|s| s.held == 0))
    })?;
    let kills = fleet.kills();
    fleet.stop()?;
    let receipted = witness.stop();
    let accounts =
        fleet.state_folders().map(|(h, folder)| Account::read(&h, &folder)).collect::<Result<Vec<_>, _>>()?;
    let rows = audit::read_store(&fleet.store(), &fleet.hospital_keys())?;
    Ok(audit::audit(plan.rounds, kills, &accounts, &rows, &receipted))
}

/// Kills an agent, the broker and the aggregator in random order; each comes back at once or after the next has gone,
/// and now and then is killed again while it starts.
fn kill_all_kinds(fleet: &mut Fleet, rng: &mut Rng) -> Result<(), RoundsError> {
    let mut parts = vec![Part::Agent(rng.usize(..fleet.agents())), Part::Aggregator];
    if fleet.has_broker() {
        parts.push(Part::Broker);
    }
    rng.shuffle(&mut parts);
    let mut down: Option<Part> = None;
    for part in parts {
        pause(rng);
        fleet.kill(part)?;
        if let Some(other) = down.take() {
            fleet.spawn(other)?;
        }
        if rng.bool() {
            down = Some(part);
            continue;
        }
        fleet.spawn(part)?;
        if rng.u8(..4) == 0 {
            pause(rng);
            fleet.kill(part)?;
            fleet.spawn(part)?;
        }
    }
    if let Some(part) = down {
        pause(rng);
        fleet.spawn(part)?;
    }
    Ok(())
}

/// A random moment: kills must not fall into step with anything.
fn pause(rng: &mut Rng) {
    sleep(Duration::from_millis(rng.u64(5..300)));
}

fn all_at_work(fleet: &mut Fleet, folder: &Path, what: &str, before: &[u64]) -> Result<(), RoundsError> {
    wait(fleet, folder, what, |fleet| {
        fleet.statuses().zip(before).all(|(now, &before)| now.is_some_and(|s| s.released > before))
    })
}

fn wait(
    fleet: &mut Fleet,
    folder: &Path,
    what: &str,
    mut condition: impl FnMut(&Fleet) -> bool,
) -> Result<(), RoundsError> {
    let deadline = Instant::now() + PATIENCE;
    while !condition(fleet) {
        fleet.all_run()?;
        if Instant::now() > deadline {
            return Err(RoundsError::Stalled { what: format!("not so: {what}"), folder: folder.to_owned() });
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
