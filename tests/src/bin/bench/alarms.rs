//! What alarms cost a report: the way from verification to the journal's news, under 100 rules and
//! under none, in a picture of 10,000 wards.
//!
//! Processor time of one thread, both sides over the same reports, in turns. Every report is judged in a
//! turn of its own: the dearest way, because what is judged once a turn is then judged for each. The calm
//! case carries the bar. Floods stand beside it without one: they are rare, and much of their cost is what
//! there is to say.

mod country;
mod hundred;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vardpuls_aggregator::alert::alarms::Alarms;
use vardpuls_aggregator::alert::book::Book;
use vardpuls_aggregator::alert::rules::Rules;
use vardpuls_aggregator::live::Live;
use vardpuls_aggregator::nation::Nation;
use vardpuls_aggregator::verify::{Verified, verify};
use vardpuls_shared::alert::Status;
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Topic;

use crate::table::{Bar, Row};
use country::{Country, HOSPITALS, Weather};

const WARM: usize = 40;
const ROUNDS: usize = 121;

pub(crate) fn measure() -> Vec<Row> {
    let cases = [
        ("calm", Weather::Calm, Some(Bar::AtMost(1.25))),
        ("a region floods", Weather::Flood { regions: 1 }, None),
        ("the country floods", Weather::Flood { regions: usize::MAX }, None),
    ];
    cases.into_iter().map(|(name, weather, bar)| row(name, weather, bar)).collect()
}

fn row(name: &str, weather: Weather, bar: Option<Bar>) -> Row {
    let mut country = Country::new(weather);
    let mut sides = [Side::new(&country, None), Side::new(&country, Some(hundred::rules()))];
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..WARM + ROUNDS {
        if round == WARM {
            sides[1].entries = 0;
        }
        let reports = country.round();
        for side in [round % 2, 1 - round % 2] {
            let cost = sides[side].take(&country, &reports);
            if round >= WARM {
                costs[side].push(cost);
            }
        }
    }
    let said = sides[1].entries * 1000 / (ROUNDS * HOSPITALS);
    let stand = sides[1].alarms.as_ref().map_or(0, |alarms| alarms.book().alarms().count());
    // Floods come and go, and what learns is looked at every five minutes: all of it counts.
    let [without, with] = costs.map(|costs| mean(&costs));
    Row {
        what: format!("a report under 100 rules, 10,000 wards, {name}"),
        value: format!("{with:.1} µs ({said} journal entries a 1000 reports, {stand} alarms stand)"),
        beside: format!("{without:.1} µs under none"),
        ratio: Some(with / without),
        bar,
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundred")]
fn mean(costs: &[f64]) -> f64 {
    costs.iter().sum::<f64>() / costs.len() as f64
}

/// One centre's path, with or without alarms.
struct Side {
    live: Live,
    alarms: Option<Alarms>,
    entries: usize,
}

impl Side {
    fn new(country: &Country, rules: Option<Rules>) -> Side {
        let mut live = Live::new(Arc::new(Nation::sweden()), &country.registry, Duration::from_mins(1));
        for (topic, envelope) in country.rosters() {
            let Ok(Verified::Roster(roster)) = verify(&country.registry, country.now, &topic, &envelope) else {
                panic!("a fixture's roster verifies")
            };
            live.apply_roster(&roster, country.now);
        }
        let with =
            |rules| Alarms::new(Arc::new(rules), Book::default(), &[], Status::Test, &live, (country.now, country.now));
        Side { alarms: rules.map(with), live, entries: 0 }
    }

    /// Takes every report in a turn of its own. Returns µs a report.
    fn take(&mut self, country: &Country, reports: &[(Time, Topic, Vec<u8>)]) -> f64 {
        let start = spent();
        for (now, topic, envelope) in reports {
            let Ok(Verified::Report(report)) = verify(&country.registry, *now, topic, envelope) else {
                panic!("a fixture's report verifies")
            };
            self.live.expire(*now);
            black_box(self.live.apply(&report, *now));
            if let Some(alarms) = &mut self.alarms {
                alarms.judge(&mut self.live, *now);
                let news = black_box(alarms.take_news(&self.live));
                self.entries += news.entries.len();
            }
        }
        let cost = spent().saturating_sub(start).as_secs_f64() * 1e6;
        black_box(self.live.take_dirty());
        #[expect(clippy::cast_precision_loss, reason = "some hundred")]
        let each = cost / reports.len() as f64;
        each
    }
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).expect("time spent is not negative");
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
