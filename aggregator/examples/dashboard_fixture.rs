//! Serves the dashboard over invented figures that move, without broker or agents: for work on the
//! page itself. `cargo run -p vardpuls-aggregator --example dashboard_fixture [ADDRESS [OPERATORS]]`
//!
//! Every region has three hospitals, but: 05 has a stale one, 09 only one that was never heard, 10
//! none at all, 12 overfull ones, 13 a clock that is off, and 14 a ward that is not reported.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::alert::book::Book;
use vardpuls_aggregator::alert::command::Declined;
use vardpuls_aggregator::alert::entry::{Act, Actor, PointKey, Raised};
use vardpuls_aggregator::alert::rules::Rules;
use vardpuls_aggregator::alert::standing::Standing;
use vardpuls_aggregator::config::StoreConfig;
use vardpuls_aggregator::http::{self, HttpState};
use vardpuls_aggregator::metrics::Metrics;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::operators::Followed;
use vardpuls_aggregator::readiness::Readiness;
use vardpuls_aggregator::store::Store;
use vardpuls_aggregator::view::{Change, View};
use vardpuls_shared::alert::{AlertId, Declared, Status};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::{Counts, Extra};
use vardpuls_shared::feed::{Coverage, Feed, Figures, Freshness, HospitalDetail, Level, VERSION, WardFigures};
use vardpuls_shared::hospital::RegionCode;
use vardpuls_shared::key::PublicKey;

const WARDS: [(&str, &str, CareType, u16); 5] = [
    ("iva-1", "IVA", CareType::Icu, 9),
    ("med-12", "Medicinavdelning 12", CareType::General, 26),
    ("kir-3", "Kirurgavdelning 3", CareType::General, 24),
    ("akut", "Akutmottagningen", CareType::Emergency, 30),
    ("bb", "Förlossning och BB", CareType::Maternity, 14),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let folder = tempfile::tempdir()?;
    let store = Store::open(&StoreConfig { path: folder.path().join("fixture.db"), ..StoreConfig::default() }).await?;
    let readiness = Arc::new(Readiness::default());
    readiness.set_broker_connected(true);
    readiness.set_store_works(true);
    readiness.set_rebuilt();
    let mut country = Country::invent(Clock::System.now());
    let (orders, mut given) = tokio::sync::mpsc::channel(8);
    let operators = Followed::open(std::env::args().nth(2).map(PathBuf::from).as_deref());
    let state = HttpState {
        standing: Arc::new(ArcSwap::from_pointee(Standing::of(
            &alarms(Clock::System.now()),
            Arc::new(Rules::built_in()),
        ))),
        orders,
        operators: operators.operators(),
        view: Arc::new(ArcSwap::from_pointee(country.view())),
        events: broadcast::Sender::new(1024),
        store,
        metrics: Arc::new(Metrics::new()),
        readiness,
        public_key: PublicKey([7; 32]),
        clock: Clock::System,
        notice: Some("SIMULERADE DATA – SIMULATED DATA".to_owned()),
    };
    let listener = TcpListener::bind(&address).await?;
    println!("the dashboard is at http://{}/", listener.local_addr()?);
    let (view, events) = (Arc::clone(&state.view), state.events.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let changed = country.step(Clock::System.now());
            view.store(Arc::new(country.view()));
            for feed in changed {
                // Nobody looks: nothing to send.
                let _ = events.send(Change::Feed(feed));
            }
        }
    });
    tokio::spawn(async move {
        while let Some(order) = given.recv().await {
            // The fixture keeps no book: every order is declined the same way.
            drop(order.reply.send(Err(Declined::NotDurable)));
        }
    });
    Ok(http::serve(listener, state, CancellationToken::new()).await?)
}

/// Alarms of every severity and state, a declared level, and an exercise.
fn alarms(now: Time) -> Book {
    let (mut book, rules) = (Book::default(), Rules::built_in());
    let centre = |book: &mut Book, at: Time, act: Act| book.write(at, Actor::Centre, act, None);
    let targets = ["nation", "region/12", "region/01", "hospital/SE-05-2", "hospital/SE-12-1", "hospital/SE-01-1"];
    let names =
        ["icu-nation-20", "icu-region-95", "icu-region-90", "silent-hospital", "target-hospital-95", "clock-skew"];
    for (n, (name, target)) in (1..).zip(names.into_iter().zip(targets)) {
        let rule = rules.at(rules.place(name).expect("a rule that ships"));
        let point = PointKey { rule: name.to_owned(), target: target.parse().expect("a target") };
        let at = now.minus(Duration::from_mins(7 * n));
        let raised = Raised {
            alarm: AlertId::new(name, &point.target, at),
            severity: rule.severity,
            headline: format!("{}, {target}", rule.title),
            response: rule.response.clone(),
            measure: rule.measure.name().to_owned(),
            unit: rule.measure.unit().to_owned(),
            value: Some(96.5),
            care: rule.care.clone(),
            name: target.to_owned(),
            region: None,
            latch: rule.latch,
            status: Status::Exercise,
            exercise: Some("Samö 2026".to_owned()),
            suppressed_by: (n == 6).then(|| "coverage-region.region.01.1".to_owned()),
            point: point.clone(),
        };
        let alarm = raised.alarm.clone();
        centre(&mut book, at, Act::Raised(Box::new(raised)));
        match n {
            3 => drop(centre(&mut book, at, Act::Acknowledged { alarm })),
            5 => drop(centre(&mut book, at, Act::Shelved { point, until: now.plus(Duration::from_hours(2)) })),
            _ => {}
        }
    }
    let scope = "region/12".parse().expect("a scope");
    centre(&mut book, now, Act::Declared { scope, level: Some(Declared::Forstarkning) });
    let until = now.plus(Duration::from_hours(3));
    centre(&mut book, now, Act::ExerciseBegan { name: "Samö 2026".to_owned(), until });
    book
}

/// The invented country.
struct Country {
    nation: Nation,
    hospitals: BTreeMap<String, (RegionCode, Arc<Feed>)>,
    number: u64,
    now: Time,
}

impl Country {
    fn invent(now: Time) -> Country {
        let nation = Nation::sweden();
        let mut country = Country { nation, hospitals: BTreeMap::new(), number: now.0, now };
        for region in country.nation.regions.keys().cloned().collect::<Vec<_>>() {
            let hospitals = match region.as_str() {
                "10" => 0,
                "09" => 1,
                _ => 3,
            };
            for nth in 1..=hospitals {
                let id = format!("SE-{region}-{nth}");
                let feed = Arc::new(country.hospital(&id, &region, nth));
                country.hospitals.insert(id, (region.clone(), feed));
            }
        }
        country
    }

    fn hospital(&self, id: &str, region: &RegionCode, nth: usize) -> Feed {
        let state = match (region.as_str(), nth) {
            ("05", 2) => Freshness::Stale,
            ("09", _) => Freshness::Unknown,
            _ => Freshness::Fresh,
        };
        let overfull = if region.as_str() == "12" { 115 } else { 0 };
        let mut wards = Vec::new();
        for (id, name, care, staffed) in WARDS {
            let percent = overfull.max(fastrand::u16(66..105));
            let extras = BTreeMap::from([
                (Extra::BLOCKED, fastrand::u16(0..2)),
                (Extra::OVER_CAPACITY, (percent / 50).saturating_sub(1)),
                (Extra::DISCHARGE_READY, fastrand::u16(0..4)),
                (Extra::OUTLYING, fastrand::u16(0..3)),
                (Extra::BOARDING, if care == CareType::Emergency { fastrand::u16(0..6) } else { 0 }),
            ]);
            let counts = Counts { staffed, occupied: staffed * percent / 100, extras };
            let silent = state == Freshness::Unknown || (region.as_str() == "14" && id == "kir-3");
            let figures = if silent { Figures::default() } else { Figures::of(&counts) };
            wards.push(WardFigures { id: id.parse().expect("valid"), name: name.to_owned(), care, figures });
        }
        let one = |is: Freshness| u32::from(state == is);
        let heard = (state != Freshness::Unknown).then(|| self.now.minus(Duration::from_secs(3)));
        let aged = |t: Time| if state == Freshness::Stale { t.minus(Duration::from_secs(4000)) } else { t };
        let mut feed = Feed {
            version: VERSION,
            number: self.number,
            as_of: self.now,
            level: Level::Hospital,
            code: id.to_owned(),
            name: format!("{} {}", ["Länssjukhuset", "Universitetssjukhuset", "Närsjukhuset"][nth % 3], id),
            total: Figures::default(),
            care: BTreeMap::new(),
            coverage: Coverage {
                hospitals: 1,
                fresh: one(Freshness::Fresh),
                stale: one(Freshness::Stale),
                unknown: one(Freshness::Unknown),
            },
            hospital: Some(HospitalDetail {
                region: region.to_string(),
                state,
                observed_at: heard.map(aged),
                received_at: heard.map(aged),
                clock_offset_ms: (region.as_str() == "13" && nth == 1).then_some(184_000),
                wards: wards.clone(),
            }),
        };
        for ward in &wards {
            let figures = if state == Freshness::Fresh { ward.figures } else { Figures::default() };
            feed.total = sum(feed.total, figures);
            let of_care = feed.care.entry(ward.care).or_default();
            *of_care = sum(*of_care, figures);
        }
        feed
    }

    /// One hospital reports anew; the feeds that change.
    fn step(&mut self, now: Time) -> Vec<Arc<Feed>> {
        self.now = now;
        self.number += 1;
        let id = fastrand::choice(self.hospitals.keys()).expect("there are hospitals").clone();
        let region = self.hospitals[&id].0.clone();
        let nth = id.rsplit('-').next().and_then(|n| n.parse().ok()).expect("ends with a number");
        let feed = Arc::new(self.hospital(&id, &region, nth));
        self.hospitals.insert(id, (region.clone(), Arc::clone(&feed)));
        let view = self.view();
        vec![feed, Arc::clone(&view.regions[&region]), view.nation]
    }

    fn scope(&self, level: Level, code: &str, name: &str, of: impl Fn(&RegionCode) -> bool) -> Arc<Feed> {
        let (number, as_of) = (self.number, self.now);
        let mut feed = Feed {
            version: VERSION,
            number,
            as_of,
            level,
            code: code.to_owned(),
            name: name.to_owned(),
            total: Figures::default(),
            care: BTreeMap::new(),
            coverage: Coverage::default(),
            hospital: None,
        };
        for (_, hospital) in self.hospitals.values().filter(|(region, _)| of(region)) {
            feed.total = sum(feed.total, hospital.total);
            for (&care, &figures) in &hospital.care {
                let of_care = feed.care.entry(care).or_default();
                *of_care = sum(*of_care, figures);
            }
            feed.coverage.hospitals += 1;
            feed.coverage.fresh += hospital.coverage.fresh;
            feed.coverage.stale += hospital.coverage.stale;
            feed.coverage.unknown += hospital.coverage.unknown;
        }
        Arc::new(feed)
    }

    fn view(&self) -> View {
        let region = |(code, region): (&RegionCode, &vardpuls_aggregator::nation::Region)| {
            (code.clone(), self.scope(Level::Region, code.as_str(), &region.name, |of| of == code))
        };
        View {
            number: self.number,
            as_of: self.now,
            nation: self.scope(Level::Nation, &self.nation.code, &self.nation.name, |_| true),
            regions: self.nation.regions.iter().map(region).collect(),
            hospitals: self
                .hospitals
                .iter()
                .map(|(id, (_, feed))| (id.parse().expect("valid"), Arc::clone(feed)))
                .collect(),
        }
    }
}

fn sum(a: Figures, b: Figures) -> Figures {
    let add = |a: Option<u32>, b: Option<u32>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
    Figures {
        wards: a.wards + b.wards,
        staffed: add(a.staffed, b.staffed),
        occupied: add(a.occupied, b.occupied),
        blocked: add(a.blocked, b.blocked),
        available: add(a.available, b.available),
        over_capacity: add(a.over_capacity, b.over_capacity),
        outlying: add(a.outlying, b.outlying),
        discharge_ready: add(a.discharge_ready, b.discharge_ready),
        boarding: add(a.boarding, b.boarding),
        over_24h: add(a.over_24h, b.over_24h),
        over_48h: add(a.over_48h, b.over_48h),
    }
}
