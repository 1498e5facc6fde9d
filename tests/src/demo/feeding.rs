//! What the simulated hospitals' systems speak: exported files, a database, or HL7 v2 messages beside a file.
//!
//! In: a hospital and what holds there. Out: the agent's setup for it, and its counts said in that way whenever they
//! have changed, or often enough for files and databases to be vouched for.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Counts;

use super::DemoError;
use crate::hospital::admissions::{self, Engine};
use crate::hospital::database::{self, Database};
use crate::hospital::{Agent, Hospital, HospitalError, Setup, drop};
use crate::nation;

/// Files and databases are written anew at least this often, also when nothing has changed.
const EVERY: Duration = Duration::from_secs(15);

/// What a hospital's systems speak.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feeding {
    /// An export in a folder.
    Csv,
    /// A database that is asked.
    Sql,
    /// Messages to this address, and an export as their snapshot.
    Adt(SocketAddr),
}

impl Feeding {
    /// One in three of each kind, and the agent's setup for it.
    pub(super) fn of(at: usize, hospital: &nation::Hospital, drops: &Path) -> Result<(Setup, Feeding), DemoError> {
        Ok(match at % 3 {
            0 => (drop::setup(hospital, drops), Feeding::Csv),
            1 => (database::setup(hospital, drops), Feeding::Sql),
            _ => {
                let listen = admissions::free_address().map_err(|reason| DemoError::Socket { reason })?;
                (admissions::setup(hospital, drops, listen), Feeding::Adt(listen))
            }
        })
    }
}

/// How many hospitals speak what, in a line.
pub(super) fn mix(feeds: &[Feed]) -> impl fmt::Display {
    let of = |is: fn(&Way) -> bool| feeds.iter().filter(|feed| is(&feed.way)).count();
    format!(
        "  read from: {} CSV exports, {} SQL databases (SQLite), {} HL7 v2 ADT engines over MLLP",
        of(|way| matches!(way, Way::Csv)),
        of(|way| matches!(way, Way::Sql(_))),
        of(|way| matches!(way, Way::Adt(_)))
    )
}

/// A hospital's systems at work.
pub(super) struct Feed {
    hospital: Hospital,
    way: Way,
    last: Option<(Instant, BTreeMap<u16, Counts>)>,
}

enum Way {
    Csv,
    Sql(Database),
    Adt(Engine),
}

impl Feed {
    pub(super) async fn new(hospital: Hospital, feeding: Feeding) -> Result<Feed, DemoError> {
        let way = match feeding {
            Feeding::Csv => Way::Csv,
            Feeding::Sql => {
                let folder = hospital.drops();
                let database = Database::open(&folder).await;
                Way::Sql(database.map_err(|reason| DemoError::Database { folder, reason })?)
            }
            Feeding::Adt(agent) => Way::Adt(Engine::new(agent)),
        };
        Ok(Feed { hospital, way, last: None })
    }

    /// Starts the hospital's agent.
    pub(super) fn start(&self) -> Result<Agent, HospitalError> {
        self.hospital.start(Clock::System)
    }

    /// Says what holds now, if there is something new in it.
    pub(super) async fn tell(
        &mut self,
        hospital: &nation::Hospital,
        counts: BTreeMap<u16, Counts>,
    ) -> Result<(), DemoError> {
        let now = Clock::System.now();
        if let Way::Adt(engine) = &mut self.way {
            // An agent that does not listen (yet) is told the next time; the census begins with the export.
            let _ = engine.tell(hospital, &counts, now).await;
        }
        let is_new = self.last.as_ref().is_none_or(|(_, last)| *last != counts);
        let is_old = self.last.as_ref().is_none_or(|(when, _)| when.elapsed() >= EVERY);
        let is_due = match self.way {
            // Between two exports only messages tell.
            Way::Adt(_) => is_old,
            Way::Csv | Way::Sql(_) => is_new || is_old,
        };
        if is_due {
            self.put(hospital, &counts, now).await?;
            self.last = Some((Instant::now(), counts));
        }
        Ok(())
    }

    async fn put(
        &mut self,
        hospital: &nation::Hospital,
        counts: &BTreeMap<u16, Counts>,
        now: Time,
    ) -> Result<(), DemoError> {
        let folder = self.hospital.drops();
        match &mut self.way {
            Way::Sql(database) => {
                let put = database.put(hospital, counts, now).await;
                put.map_err(|reason| DemoError::Database { folder, reason })
            }
            Way::Csv | Way::Adt(_) => {
                let put: io::Result<()> = drop::put(&self.hospital, &drop::render(hospital, counts, now));
                put.map_err(|reason| DemoError::Folder { file: folder, reason })
            }
        }
    }
}
