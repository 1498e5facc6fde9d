//! Bytes a ward of a signed report, all in, over the simulated nation's real ward sizes.

use std::collections::BTreeMap;

use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::signed::{Kind, sign};
use vardpuls_tests::nation::Nation;
use vardpuls_tests::nation::rhythm::Moment;
use vardpuls_tests::nation::simulation::Simulation;

use crate::fixture::{NOW, median};
use crate::table::{Bar, Row};

pub(crate) fn measure() -> Vec<Row> {
    let nation = Nation::sweden(Nation::REAL_HOSPITALS);
    let mut simulation = Simulation::new(&nation, 1);
    simulation.advance_to(Moment(Moment::START.0 + 8 * 60));
    let wards: Vec<Counts> =
        (0..nation.hospitals.len()).flat_map(|h| simulation.counts(&nation, h).into_values()).collect();
    let bare: Vec<Counts> = wards.iter().map(|c| Counts { extras: BTreeMap::new(), ..c.clone() }).collect();
    let mut rows = Vec::new();
    for n in [10, 25, 60] {
        rows.push(row(&bare, n, "staffed and occupied", (n == 25).then_some(Bar::AtMost(12.0))));
        rows.push(row(&wards, n, "with every extra that is not zero", None));
    }
    rows
}

fn row(wards: &[Counts], n: usize, what: &str, bar: Option<Bar>) -> Row {
    let sizes: Vec<f64> =
        wards.chunks_exact(n).map(|chunk| f64::from(u32::try_from(signed(chunk)).expect("small"))).collect();
    let bytes = median(sizes);
    #[expect(clippy::cast_precision_loss, reason = "at most 60")]
    let each = bytes / n as f64;
    Row {
        what: format!("signed report, {n} wards, {what}"),
        value: format!("{each:.1} B a ward"),
        beside: format!("{bytes:.0} B in all"),
        ratio: Some(each),
        bar,
    }
}

fn signed(wards: &[Counts]) -> usize {
    let report = Report {
        hospital: "SE2321000016-1003".parse().expect("valid"),
        position: Position { epoch: NOW.0, sequence: 40_000 },
        observed_at: Time(NOW.0 + 1),
        valid_for: 180,
        roster_version: 0x9abc_def0,
        wards: (1..).zip(wards.iter().cloned()).collect(),
    };
    sign(Kind::Report, &report.encode(), &SigningKey::from_seed(&[1; 32])).len()
}
