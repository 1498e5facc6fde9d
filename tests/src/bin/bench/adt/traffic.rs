//! The messages of one hospital, one after the other: admissions, moves, updates and discharges as they come in a day.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use vardpuls_agent::source::adt::event::{Class, Habits};
use vardpuls_agent::source::adt::place::{Map, PlaceName};
use vardpuls_agent::source::adt::visits::Rules;
use vardpuls_shared::clock::Time;

/// Beds of a ward.
const BEDS_A_WARD: usize = 25;
/// Messages of a bed in a day.
const A_DAY: u64 = 3;
/// The most beds of a bench.
const MOST: usize = 4000;

/// A ward for every [`BEDS_A_WARD`] beds.
pub(super) fn rules() -> Rules {
    let place = |ward: usize| (PlaceName::new(&format!("AVD{ward}"), ""), format!("w{ward}").parse().expect("an id"));
    let wards: BTreeMap<_, _> = (0..MOST / BEDS_A_WARD).map(place).collect();
    Rules {
        map: Map::new(wards, [].into()),
        classes: Class::new(b"I").into_iter().collect(),
        assume_empty: true,
        tombstone: Duration::from_hours(24 * 7),
        longest_stay: Duration::from_hours(24 * 400),
    }
}

pub(super) fn habits() -> Habits {
    let processing = vec!["P".to_owned()];
    Habits { charset: encoding_rs::WINDOWS_1252, zone: TimeZone::UTC, registrations: false, processing }
}

/// A hospital that goes on.
#[derive(Debug)]
pub(super) struct Traffic {
    rng: Rng,
    now: Time,
    beds: Vec<Option<u64>>,
    visits: u64,
    messages: u64,
}

impl Traffic {
    pub(super) fn new(beds: usize, seed: u64, now: Time) -> Traffic {
        assert!(beds <= MOST);
        Traffic { rng: Rng::with_seed(seed), now, beds: vec![None; beds], visits: seed * 10_000_000, messages: 0 }
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// How many patients there are.
    pub(super) fn open(&self) -> usize {
        self.beds.iter().flatten().count()
    }

    /// The next message, and the bed that it is about.
    pub(super) fn next(&mut self) -> (usize, Vec<u8>) {
        let beds = self.beds.len();
        self.now.0 += 24 * 3_600_000 / (A_DAY * beds as u64) + 1;
        self.messages += 1;
        let bed = self.rng.usize(0..beds);
        let Some(visit) = self.beds[bed] else {
            self.visits += 1;
            self.beds[bed] = Some(self.visits);
            return (bed, self.message("A01", self.visits, bed, None));
        };
        let message = match self.rng.u8(0..100) {
            0..8 => {
                self.beds[bed] = None;
                self.message("A03", visit, bed, None)
            }
            8..25 => {
                // Within the ward, so that it stays in its bed of the model.
                let other = bed / BEDS_A_WARD * BEDS_A_WARD + self.rng.usize(0..BEDS_A_WARD);
                self.message("A02", visit, other, Some(bed))
            }
            _ => self.message("A08", visit, bed, None),
        };
        (bed, message)
    }

    fn message(&self, trigger: &str, visit: u64, bed: usize, prior: Option<usize>) -> Vec<u8> {
        let at = i64::try_from(self.now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let stamp = at.strftime("%Y%m%d%H%M%S.%3f");
        let place = |bed: usize| format!("AVD{}^S{}^{}^HUS1", bed / BEDS_A_WARD, bed / 4, bed % 4);
        let prior = prior.map(place).unwrap_or_default();
        let (spot, id) = (place(bed), self.messages);
        format!(
            "MSH|^~\\&|PAS|SJUKHUSET|VARDPULS|REGIONEN|{stamp}||ADT^{trigger}^ADT_{trigger}|{visit}-{id}|P|2.5|||||SWE|UNICODE UTF-8\r\
             EVN|{trigger}|{stamp}|||HANDLAGGARE^Eva\r\
             PID|1||19121212{visit:04}^^^PERSONNUMMER||Andersson^Anna^Maria||19121212|F|||Storgatan {bed}^^Staden^^12345^SE||070-1234567\r\
             NK1|1|Andersson^Bertil|MAKE||070-7654321\r\
             PV1|1|I|{spot}|||{prior}|12345^Doktor^Daniel|||MED|||||||||{visit}^^^PAS^VN|||||||||||||||||||||||||20260101\r\
             DG1|1||I50.9^Hjartsvikt\r"
        )
        .into_bytes()
    }
}
