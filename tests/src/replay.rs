//! A replay: recorded drops through real agents and a real aggregator, on the recorded clock.
//!
//! In: a folder with `drops/*.csv` (one file for all departments, named by the UTC time it was fetched),
//! `facilities.csv` (which department lies in which region) and, for a comparison, `official.csv`. Out: what the feed
//! showed after each drop, held against the official totals ([`comparison`]).
//!
//! One agent a department, all reading the one shared file, each its own rows. Every clock is the same standing
//! [`Clock`], set to the time when a drop was fetched; then the drop is put in place by rename, and the next comes
//! when the picture holds this one for every agent. So the replay is as fast as the machine, and freshness is judged
//! as it was then.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::view::View;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::feed::Figures;
use vardpuls_shared::hospital::{HospitalId, RegionCode};

use crate::centre::{self, Centre, CentreError, Folder};
use crate::hospital::{Agent, Hospital, HospitalError, Link};
use crate::waiting::until;

pub mod comparison;
pub mod facilities;
pub mod official;
pub mod recording;

use comparison::Comparison;
use facilities::{Facilities, FacilitiesError};
use official::{Official, OfficialError};
use recording::{Drop, DropError, Row};

/// How long the picture may take to hold a drop. Beyond it the replay goes on, and the comparison shows what lacks.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);

/// How long the agents may take to come up.
const START_WITHIN: Duration = Duration::from_mins(1);

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording or the working folder.
    #[error("{}: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// Nothing to play.
    #[error("{}: no drops; a recording has drops/*.csv, facilities.csv and official.csv", .0.display())]
    NoDrops(PathBuf),
    /// A drop's name.
    #[error(transparent)]
    Drop(#[from] DropError),
    /// The list of departments.
    #[error(transparent)]
    Facilities(#[from] FacilitiesError),
    /// The official totals.
    #[error(transparent)]
    Official(#[from] OfficialError),
    /// The centre.
    #[error(transparent)]
    Centre(#[from] CentreError),
    /// A department's agent.
    #[error(transparent)]
    Hospital(#[from] HospitalError),
    /// The feed could not be read over HTTP.
    #[error("the centre's HTTP: {0}")]
    Http(String),
}

fn named(file: &Path) -> impl FnOnce(io::Error) -> ReplayError + '_ {
    |reason| ReplayError::File { file: file.to_owned(), reason }
}

/// A recording, ready to play.
#[derive(Debug)]
pub struct Replay {
    facilities: Facilities,
    official: Option<Official>,
    drops: Vec<recording::Name>,
}

/// What a replay is given.
#[derive(Debug, Clone)]
pub struct Stage {
    /// A folder of its own to work in.
    pub work: PathBuf,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where the broker listens.
    pub mqtt: SocketAddr,
}

/// What happens in a replay, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The centre serves.
    Serving(&'a Centre),
    /// So many agents have been started, of so many.
    Started(usize, usize),
    /// A drop stands in the picture.
    Played {
        /// From one.
        number: usize,
        /// Of how many.
        of: usize,
        /// The drop.
        name: &'a recording::Name,
        /// The picture that holds it.
        view: &'a View,
    },
    /// A drop cannot be read as a whole; the agents keep what they have.
    Unreadable(&'a recording::Name, &'a str),
    /// The picture does not hold a drop for these agents.
    Unsettled(&'a recording::Name, &'a [HospitalId]),
}

impl Replay {
    /// Reads a recording's lists and the names of its drops. The official totals may be missing.
    pub fn open(folder: &Path) -> Result<Replay, ReplayError> {
        let facilities = Facilities::read(&folder.join("facilities.csv"))?;
        let official = folder.join("official.csv");
        let official = if official.exists() { Some(Official::read(&official)?) } else { None };
        let drops = folder.join("drops");
        let mut names = Vec::new();
        for entry in fs::read_dir(&drops).map_err(named(&drops))? {
            let file = entry.map_err(named(&drops))?.path();
            if file.extension().is_some_and(|e| e == "csv") {
                names.push(recording::Name::of(file)?);
            }
        }
        names.sort_by(|a, b| (a.fetched, &a.file).cmp(&(b.fetched, &b.file)));
        if names.is_empty() {
            return Err(ReplayError::NoDrops(drops));
        }
        Ok(Replay { facilities, official, drops: names })
    }

    /// How many departments report.
    pub fn departments(&self) -> usize {
        self.facilities.departments.len()
    }

    /// How many drops there are.
    pub fn drops(&self) -> usize {
        self.drops.len()
    }

    /// Whether there are official totals to compare with.
    pub fn has_official(&self) -> bool {
        self.official.is_some()
    }

    /// Plays every drop, until `shutdown`.
    pub async fn play(
        &self,
        stage: &Stage,
        shutdown: &CancellationToken,
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<Comparison, ReplayError> {
        let clock = Clock::standing_at(self.drops[0].fetched);
        let mut show = Show::prepare(&self.facilities, stage, clock).await?;
        tell(Event::Serving(&show.centre));
        let result = self.perform(&mut show, shutdown, &mut tell).await;
        let ended = show.end().await;
        let comparison = result?;
        ended?;
        Ok(comparison)
    }

    async fn perform(
        &self,
        show: &mut Show,
        shutdown: &CancellationToken,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<Comparison, ReplayError> {
        let mut comparison = Comparison::default();
        for (at, name) in self.drops.iter().enumerate() {
            if shutdown.is_cancelled() {
                break;
            }
            let bytes = fs::read(&name.file).map_err(named(&name.file))?;
            show.clock.set(name.fetched);
            show.put(&bytes)?;
            let within = if at == 0 { START_WITHIN } else { SETTLE_WITHIN };
            if at == 0 {
                show.start_agents(tell)?;
            }
            let drop = match Drop::parse(&bytes) {
                Ok(drop) => drop,
                Err(reason) => {
                    tell(Event::Unreadable(name, &reason.to_string()));
                    comparison.unreadable += 1;
                    continue;
                }
            };
            let lacking = show.settle(&drop, within, shutdown).await;
            if !lacking.is_empty() && !shutdown.is_cancelled() {
                tell(Event::Unsettled(name, &lacking));
            }
            tell(Event::Played { number: at + 1, of: self.drops.len(), name, view: &show.centre.view() });
            if let Some(official) = &self.official {
                let feed = show.read_feed().await?;
                comparison.hold(name, &drop, &self.facilities, official, &feed);
            }
        }
        Ok(comparison)
    }
}

/// Everything that runs during a replay.
struct Show {
    clock: Clock,
    work: PathBuf,
    centre: Centre,
    hospitals: Vec<Hospital>,
    agents: Vec<Agent>,
}

impl Show {
    async fn prepare(facilities: &Facilities, stage: &Stage, clock: Clock) -> Result<Show, ReplayError> {
        let nation_file = stage.work.join("nation.toml");
        fs::create_dir_all(stage.work.join("shared")).map_err(named(&stage.work))?;
        fs::write(&nation_file, facilities.nation()).map_err(named(&nation_file))?;
        let folder = Folder::create(
            &stage.work.join("centre"),
            &centre::Setup {
                http: stage.http,
                mqtt: stage.mqtt,
                nation_file: Some(nation_file),
                feed_gap: "20ms",
                sample_every: "1h",
                notice: "Replay of recorded drops; the clock is the recording's".to_owned(),
            },
        )?;
        let shared = stage.work.join("shared").join("current.csv");
        let mut prepared = Vec::new();
        for department in &facilities.departments {
            let setup = department.setup(&shared);
            let (hospital, card) = Hospital::create(&stage.work.join("agents").join(&department.permit), &setup)?;
            folder.enrol_at(&card, clock.now())?;
            prepared.push((hospital, setup));
        }
        let centre = folder.start(clock.clone()).await?;
        let link = Link { mqtt: centre.mqtt, centre_key: centre.public_key };
        let mut hospitals = Vec::new();
        for (hospital, setup) in prepared {
            hospital.configure(&setup, &link)?;
            hospitals.push(hospital);
        }
        Ok(Show { clock, work: stage.work.clone(), centre, hospitals, agents: Vec::new() })
    }

    fn start_agents(&mut self, tell: &mut impl FnMut(Event<'_>)) -> Result<(), ReplayError> {
        for hospital in &self.hospitals {
            self.agents.push(hospital.start(self.clock.clone())?);
            tell(Event::Started(self.agents.len(), self.hospitals.len()));
        }
        Ok(())
    }

    /// Puts a drop in place: written elsewhere, then moved, so that every reader sees one change.
    fn put(&self, bytes: &[u8]) -> Result<(), ReplayError> {
        let (from, to) = (self.work.join("next.csv"), self.work.join("shared").join("current.csv"));
        fs::write(&from, bytes).map_err(named(&from))?;
        fs::rename(&from, &to).map_err(named(&to))
    }

    /// Waits until the picture holds a drop for every agent; those for which it does not.
    async fn settle(&self, drop: &Drop, within: Duration, shutdown: &CancellationToken) -> Vec<HospitalId> {
        let lacking = || {
            let view = self.centre.view();
            let lacks = |h: &&Hospital| !holds(&view, &h.id, drop.row(h.id.as_str()));
            self.hospitals.iter().filter(lacks).map(|h| h.id.clone()).collect::<Vec<_>>()
        };
        until(within, || shutdown.is_cancelled() || lacking().is_empty()).await;
        lacking()
    }

    /// The figures of the regions and the nation, as published.
    async fn read_feed(&self) -> Result<PublishedFeed, ReplayError> {
        let url = format!("http://{}/api/v1/status", self.centre.http);
        let read = move || -> Result<PublishedFeed, String> {
            let mut answer = ureq::get(&url).call().map_err(|e| format!("{url}: {e}"))?;
            answer.body_mut().read_json().map_err(|e| format!("{url}: {e}"))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|e| ReplayError::Http(e.to_string()))?;
        read.map_err(ReplayError::Http)
    }

    async fn end(self) -> Result<(), ReplayError> {
        self.agents.iter().for_each(Agent::ask_to_stop);
        let mut fault = None;
        for agent in self.agents {
            fault = fault.or(agent.stop().await.err());
        }
        self.centre.stop().await?;
        fault.map_or(Ok(()), |e| Err(e.into()))
    }
}

/// Whether the picture of a department is what its row of the drop says.
fn holds(view: &View, hospital: &HospitalId, row: &Row) -> bool {
    let Some(detail) = view.hospitals.get(hospital).and_then(|feed| feed.hospital.as_ref()) else { return false };
    let ward: Option<&Figures> = detail.wards.first().map(|w| &w.figures);
    match row {
        Row::Counts { time, staffed, occupied } => {
            detail.observed_at == Some(*time)
                && ward
                    .is_some_and(|w| w.staffed == Some(u32::from(*staffed)) && w.occupied == Some(u32::from(*occupied)))
        }
        Row::NotReported => ward.is_none_or(|w| w.staffed.is_none() && w.occupied.is_none()),
        Row::Contradictory => true,
    }
}

/// What `/api/v1/status` says, as far as the comparison needs it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct PublishedFeed {
    nation: PublishedScope,
    regions: Vec<PublishedScope>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct PublishedScope {
    code: String,
    total: PublishedFigures,
}

/// Functional and occupied stretchers of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct PublishedFigures {
    /// Functional stretchers; none where nothing is known.
    pub staffed: Option<u32>,
    /// Occupied ones.
    pub occupied: Option<u32>,
}

impl PublishedFeed {
    /// The scopes by the codes of the official totals, where 99 is the nation.
    fn scopes(&self) -> BTreeMap<RegionCode, PublishedFigures> {
        let mut scopes: BTreeMap<RegionCode, PublishedFigures> = BTreeMap::new();
        for region in &self.regions {
            if let Ok(code) = region.code.parse() {
                scopes.insert(code, region.total);
            }
        }
        scopes.insert(official::nation(), self.nation.total);
        scopes
    }
}
