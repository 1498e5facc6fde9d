//! Serves the dashboard over invented figures that move, without broker or agents: for work on the
//! page itself. `cargo run -p vardpuls-aggregator --example dashboard_fixture [ADDRESS]`
//!
//! Every region has three hospitals, but: 05 has a stale one, 09 only one that was never heard, 10
//! none at all, 12 overfull ones, 13 a clock that is off, and 14 a ward that is not reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use vardpuls_aggregator::config::StoreConfig;
use vardpuls_aggregator::http::{self, HttpState};
use vardpuls_aggregator::metrics::Metrics;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::readiness::Readiness;
use vardpuls_aggregator::store::Store;
use vardpuls_aggregator::view::{Change, View};
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
    let state = HttpState {
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
    Ok(http::serve(listener, state, CancellationToken::new()).await?)
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
