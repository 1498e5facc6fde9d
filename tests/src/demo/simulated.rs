//! The demo on simulated wards.
//!
//! In: how many hospitals, a seed, a speed. Out: the country, until shutdown. Simulated time runs faster than the
//! clock on the wall; reports carry the clock's time, because the centre judges freshness by its own.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::view::View;
use vardpuls_shared::clock::Clock;

use super::feeding::{self, Feed, Feeding};
use super::{DemoError, Place, introduce, table};
use crate::centre::{self, Centre, Folder};
use crate::hospital::{Agent, Hospital, Link};
use crate::nation::Nation;
use crate::nation::rhythm::Moment;
use crate::nation::simulation::Simulation;

/// How often the simulation goes on; a hospital's systems say what holds in every fourth step.
const STEP: Duration = Duration::from_millis(500);

/// How often a terminal is written anew, and how often a pipe gets a line.
const REDRAW: Duration = Duration::from_secs(1);
const LINE: Duration = Duration::from_secs(5);

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Simulated {
    pub(super) hospitals: usize,
    pub(super) seed: u64,
    pub(super) minutes_a_second: f64,
}

impl Simulated {
    fn headline(&self, now: Moment) -> String {
        format!(
            "Vardpuls demo. THE NUMBERS ARE SIMULATED (seed {}). {now}, {} simulated minutes a second.",
            self.seed, self.minutes_a_second
        )
    }

    pub(super) async fn run(&self, place: &Place, shutdown: &CancellationToken) -> Result<(), DemoError> {
        let nation = Nation::sweden(self.hospitals);
        let simulation = Simulation::new(&nation, self.seed);
        println!("{}", self.headline(simulation.now()));
        let folder = Folder::create(
            &place.folder.join("centre"),
            &centre::Setup {
                http: place.http,
                mqtt: place.mqtt,
                nation_file: None,
                feed_gap: "200ms",
                sample_every: "10s",
                notice: "SIMULATED DATA: a demonstration, no real hospital reports here".to_owned(),
            },
        )?;
        let mut hospitals = Vec::with_capacity(nation.hospitals.len());
        for (at, hospital) in nation.hospitals.iter().enumerate() {
            let own = place.folder.join("agents").join(hospital.id.as_str());
            let (setup, feeding) = Feeding::of(at, hospital, &own.join("drops"))?;
            let (hospital, card) = Hospital::create(&own, &setup)?;
            folder.enrol(&card)?;
            hospitals.push((hospital, setup, feeding));
        }
        let centre = folder.start(Clock::System).await?;
        introduce(&centre, place);
        let link = Link { mqtt: centre.mqtt, centre_key: centre.public_key };
        let mut feeds = Vec::with_capacity(hospitals.len());
        for (hospital, setup, feeding) in hospitals {
            hospital.configure(&setup, &link)?;
            feeds.push(Feed::new(hospital, feeding).await?);
        }
        println!("{}", feeding::mix(&feeds));
        let mut country = Country { nation, simulation, feeds, agents: Vec::new(), centre };
        let result = country.live(self, shutdown).await;
        println!("ending");
        country.agents.iter().for_each(Agent::ask_to_stop);
        for agent in country.agents {
            agent.stop().await?;
        }
        country.centre.stop().await?;
        result
    }
}

/// Everything that runs.
struct Country {
    nation: Nation,
    simulation: Simulation,
    feeds: Vec<Feed>,
    agents: Vec<Agent>,
    centre: Centre,
}

impl Country {
    async fn live(&mut self, simulated: &Simulated, shutdown: &CancellationToken) -> Result<(), DemoError> {
        for at in 0..self.nation.hospitals.len() {
            self.feed(at).await?;
        }
        for feed in &self.feeds {
            if shutdown.is_cancelled() {
                return Ok(());
            }
            self.agents.push(feed.start()?);
            // Lets the others go on while many are started.
            tokio::task::yield_now().await;
        }
        let mut screen = Screen::new();
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let mut step = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = steps.tick() => {}
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes since the start")]
            let minutes = (began.elapsed().as_secs_f64() * simulated.minutes_a_second) as u64;
            self.simulation.advance_to(Moment(Moment::START.0 + minutes));
            for at in (0..self.nation.hospitals.len()).filter(|at| at % 4 == step % 4) {
                self.feed(at).await?;
            }
            step += 1;
            if self.centre.has_ended() || self.agents.iter().any(Agent::has_ended) {
                // What ended says why when it is stopped.
                return Ok(());
            }
            screen.show(&self.centre.view(), &simulated.headline(self.simulation.now()));
        }
    }

    /// Lets a hospital's systems say what holds now.
    async fn feed(&mut self, at: usize) -> Result<(), DemoError> {
        let counts = self.simulation.counts(&self.nation, at);
        self.feeds[at].tell(&self.nation.hospitals[at], counts).await
    }
}

/// A live table in a terminal, lines in a pipe.
struct Screen {
    is_terminal: bool,
    shown: Option<Instant>,
    fresh: Option<u32>,
    complete: bool,
}

impl Screen {
    fn new() -> Screen {
        Screen { is_terminal: io::stdout().is_terminal(), shown: None, fresh: None, complete: false }
    }

    fn show(&mut self, view: &View, headline: &str) {
        let coverage = view.nation.coverage;
        if !self.complete {
            self.progress(coverage.fresh, coverage.hospitals);
            return;
        }
        let pause = if self.is_terminal { REDRAW } else { LINE };
        if self.shown.is_some_and(|when| when.elapsed() < pause) {
            return;
        }
        let text = match (self.is_terminal, self.shown) {
            (true, None) => format!("{}{}", table::CLEAR, table::live(view, headline)),
            (true, Some(_)) => format!("{}{}", table::HOME, table::live(view, headline)),
            (false, _) => format!("{}\n", table::line(view)),
        };
        self.shown = Some(Instant::now());
        // A reader that has gone away is no reason to end.
        let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }

    /// While agents come up.
    fn progress(&mut self, fresh: u32, of: u32) {
        if self.fresh != Some(fresh) {
            println!("  {fresh} of {of} hospitals report");
            self.fresh = Some(fresh);
        }
        self.complete = fresh == of;
    }
}
