//! The country whose reports are judged: 400 hospitals of 25 wards, a report a minute each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vardpuls_aggregator::enrolment::Registry;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;
use vardpuls_shared::topic::Topic;

use crate::fixture::{Hospital, NOW, WARDS, hospitals, registry};

pub(super) const HOSPITALS: usize = 400;

/// A hospital reports so often.
const EVERY: Duration = Duration::from_mins(1);

/// So many wards of a report differ from the one before.
const CHANGED: usize = 3;

const STAFFED: u16 = 20;

/// A flood rises and falls in so many rounds.
const TIDE: usize = 60;

/// What the country does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Every ward wavers around what is usual there, a patient at a time; some stand at a threshold.
    Calm,
    /// Every ward of the first so many regions fills beyond its beds and empties again, once an hour.
    Flood { regions: usize },
}

/// Its hospitals, and how full their wards are.
pub(super) struct Country {
    pub(super) registry: Arc<Registry>,
    pub(super) now: Time,
    weather: Weather,
    hospitals: Vec<Hospital>,
    occupied: Vec<Vec<u16>>,
    round: usize,
    chance: fastrand::Rng,
}

impl Country {
    pub(super) fn new(weather: Weather) -> Country {
        let hospitals = hospitals(HOSPITALS);
        let registry = registry(&hospitals);
        let occupied = (0..HOSPITALS).map(|h| vec![usual(h); usize::from(WARDS)]).collect();
        Country { registry, now: NOW, weather, hospitals, occupied, round: 0, chance: fastrand::Rng::with_seed(1) }
    }

    /// Every hospital's signed roster.
    pub(super) fn rosters(&self) -> impl Iterator<Item = (Topic, Vec<u8>)> {
        self.hospitals.iter().map(|h| (Topic::Roster(h.id.clone()), h.signed_roster()))
    }

    /// The next report of every hospital, with the time at which it comes.
    pub(super) fn round(&mut self) -> Vec<(Time, Topic, Vec<u8>)> {
        self.round += 1;
        let gap = EVERY / u32::try_from(HOSPITALS).expect("some hundred");
        (0..HOSPITALS)
            .map(|h| {
                self.now = self.now.plus(gap);
                self.live_on(h);
                let counts = |&occupied: &u16| Counts { staffed: STAFFED, occupied, ..Counts::default() };
                let wards: BTreeMap<u16, Counts> = (1..).zip(self.occupied[h].iter().map(counts)).collect();
                let hospital = &self.hospitals[h];
                let report = hospital.signed_counts(self.round as u64, self.now, wards);
                (self.now, Topic::Report(hospital.id.clone()), report)
            })
            .collect()
    }

    fn live_on(&mut self, hospital: usize) {
        let floods = match self.weather {
            Weather::Calm => false,
            Weather::Flood { regions } => self.hospitals[hospital].region_number < regions,
        };
        if floods {
            // From the usual to a quarter beyond the beds and back.
            let step = self.round % TIDE;
            let tide = if step < TIDE / 2 { step } else { TIDE - step };
            let top = usize::from(STAFFED) * 5 / 4;
            let usual = usize::from(usual(hospital));
            let level = u16::try_from(usual + (top - usual) * tide * 2 / TIDE).expect("some beds");
            self.occupied[hospital].fill(level);
            return;
        }
        for _ in 0..CHANGED {
            let ward = self.chance.usize(0..usize::from(WARDS));
            let occupied = &mut self.occupied[hospital][ward];
            // The further from the usual, the likelier back to it.
            let pull = (f64::from(*occupied) - f64::from(usual(hospital))) * 0.12;
            *occupied = if self.chance.f64() < 0.5 - pull { *occupied + 1 } else { occupied.saturating_sub(1) };
        }
    }
}

/// How full a hospital's wards usually are: 65 to 85 % of their beds; the lowest rules raise at 90 %.
fn usual(hospital: usize) -> u16 {
    13 + u16::try_from(hospital % 5).expect("below 5")
}
