//! The messages that the golden vectors and the CDDL tests are made of.
//!
//! Included by both test programs; fixed values only, so that every run makes the same bytes.

use std::collections::BTreeMap;

use vardpuls_shared::alert::{self, Alert, AlertId, Hidden, Severity, State, Status};
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Counts, Extra};
use vardpuls_shared::feed::{self, Coverage, Feed, Figures, Freshness, HospitalDetail, Level, WardFigures};
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::refusal::Refusal;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Capability, Place, Roster, Ward};

/// Whose messages these are.
pub(crate) const HOSPITAL: &str = "SE2321000016-1003";

const OBSERVED: Time = Time(1_772_000_000_123);
const EPOCH: u64 = 1_771_000_000_000;

/// A roster with everything optional once there and once not.
pub(crate) fn roster() -> Roster {
    let ward = |index, id: &str, name: &str, care| Ward {
        index,
        id: id.parse().expect("valid"),
        name: name.into(),
        care,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    };
    let icu = Ward {
        place: Place::from_degrees(59.34914, 18.03054),
        capabilities: vec![Capability::VENTILATION, Capability::ECMO, Capability(4000)],
        contact: Some("bed coordinator".into()),
        ..ward(1, "iva-1", "Intensivvårdsavdelning 1", CareType::Icu)
    };
    let south = Ward { place: Place::from_degrees(-0.00001, -180.0), ..ward(300, "bb", "BB", CareType::Maternity) };
    Roster::new(
        HOSPITAL.parse().expect("valid"),
        vec![icu, ward(2, "medicin-12", "Medicin 12", CareType::General), south],
    )
}

/// A report with and without extras, at the edges of its ranges, with an extra that nobody registered.
pub(crate) fn report() -> Report {
    let counts = |staffed, occupied, extras: &[(Extra, u16)]| Counts {
        staffed,
        occupied,
        extras: extras.iter().copied().collect(),
    };
    Report {
        hospital: HOSPITAL.parse().expect("valid"),
        position: Position { epoch: EPOCH, sequence: 4711 },
        observed_at: OBSERVED,
        valid_for: 180,
        roster_version: roster().version,
        wards: BTreeMap::from([
            (1, counts(10, 9, &[(Extra::BLOCKED, 1), (Extra::VENTILATED, 4), (Extra(4000), 2)])),
            (2, counts(24, 27, &[(Extra::OVER_CAPACITY, 3)])),
            (300, counts(0, 9999, &[])),
        ]),
    }
}

/// A report that vouches for no ward.
pub(crate) fn empty_report() -> Report {
    Report { position: Position { epoch: EPOCH, sequence: 1 }, wards: BTreeMap::new(), ..report() }
}

/// A report of 25 wards of 8 to 22 beds: the size that the wire's budget is stated at.
pub(crate) fn large_report() -> Report {
    let counts = |n: u16| Counts {
        staffed: 8 + n * 7 % 15,
        occupied: 6 + n * 5 % 17,
        extras: if n.is_multiple_of(5) { BTreeMap::from([(Extra::BLOCKED, 1)]) } else { BTreeMap::new() },
    };
    Report {
        position: Position { epoch: EPOCH, sequence: 100_000 },
        wards: (1..=25).map(|n| (n, counts(n))).collect(),
        ..report()
    }
}

/// A receipt that says all three things.
pub(crate) fn receipt() -> Receipt {
    Receipt {
        hospital: HOSPITAL.parse().expect("valid"),
        issued_at: Time(OBSERVED.0 + 40),
        epoch: EPOCH,
        stored: vec![(1, 4709), (4711, 4711)],
        refused: vec![(4710, Refusal::AbsurdCount)],
        wanted: vec![roster().version],
    }
}

/// The figures of [`report`]'s wards, as a hospital's feed message says them.
pub(crate) fn hospital_feed() -> Feed {
    let (roster, report) = (roster(), report());
    let wards = roster.wards.iter().map(|w| WardFigures {
        id: w.id.clone(),
        name: w.name.clone(),
        care: w.care,
        figures: report.wards.get(&w.index).map(Figures::of).unwrap_or_default(),
    });
    Feed {
        version: feed::VERSION,
        number: 1_772_000_000_200,
        as_of: Time(OBSERVED.0 + 50),
        level: Level::Hospital,
        code: HOSPITAL.into(),
        name: "Karolinska universitetssjukhuset Solna".into(),
        total: Figures {
            wards: 3,
            staffed: Some(34),
            occupied: Some(10_035),
            blocked: Some(1),
            available: Some(0),
            over_capacity: Some(3),
            outlying: Some(0),
            discharge_ready: Some(0),
            boarding: Some(0),
            over_24h: Some(0),
            over_48h: Some(0),
        },
        care: roster
            .wards
            .iter()
            .map(|w| (w.care, report.wards.get(&w.index).map(Figures::of).unwrap_or_default()))
            .collect(),
        coverage: Coverage { hospitals: 1, fresh: 1, stale: 0, unknown: 0 },
        hospital: Some(HospitalDetail {
            region: "01".into(),
            state: Freshness::Fresh,
            observed_at: Some(OBSERVED),
            received_at: Some(Time(OBSERVED.0 + 30)),
            clock_offset_ms: Some(-61_000),
            wards: wards.collect(),
        }),
    }
}

/// A region of which nothing is known: every figure is null, none is zero.
pub(crate) fn unknown_feed() -> Feed {
    Feed {
        level: Level::Region,
        code: "09".into(),
        name: "Region Gotland".into(),
        total: Figures::default(),
        care: BTreeMap::new(),
        coverage: Coverage { hospitals: 1, fresh: 0, stale: 0, unknown: 1 },
        hospital: None,
        ..hospital_feed()
    }
}

/// An alarm that was just raised, of a region.
pub(crate) fn raised_alert() -> Alert {
    let (rule, target) = ("region-icu-full", "region/01".parse().expect("valid"));
    Alert {
        version: alert::VERSION,
        id: AlertId::new(rule, &target, OBSERVED),
        number: 17,
        as_of: OBSERVED,
        status: Status::Actual,
        exercise: None,
        rule: rule.into(),
        severity: Severity::Severe,
        target,
        name: "Region Stockholm".into(),
        region: Some("01".parse().expect("valid")),
        care: vec![CareType::Icu],
        headline: "Region Stockholm: 9.5 % of the intensive care beds are free".into(),
        response: "Ask the neighbouring regions for places; open reserve beds.".into(),
        measure: "available-ratio".into(),
        unit: "%".into(),
        value: Some(9.5),
        state: State::ActiveUnacknowledged,
        hidden: None,
        raised_at: OBSERVED,
        acknowledged_at: None,
        cleared_at: None,
    }
}

/// The end of a drill's alarm, of a ward, with every optional field there.
pub(crate) fn closed_alert() -> Alert {
    let target = format!("hospital/{HOSPITAL}/iva-1").parse().expect("valid");
    let (acknowledged_at, cleared_at) = (Time(OBSERVED.0 + 60_000), Time(OBSERVED.0 + 3_600_000));
    Alert {
        id: AlertId::new("ward-silent", &target, OBSERVED),
        number: 1 << 40,
        as_of: cleared_at,
        status: Status::Exercise,
        exercise: Some("Höstövning 2026".into()),
        rule: "ward-silent".into(),
        severity: Severity::Notice,
        target,
        name: "Intensivvårdsavdelning 1".into(),
        care: Vec::new(),
        headline: "Nothing was heard of the ward for 30 minutes".into(),
        value: None,
        state: State::Closed,
        hidden: Some(Hidden::Shelved { until: Time(OBSERVED.0 + 7_200_000) }),
        acknowledged_at: Some(acknowledged_at),
        cleared_at: Some(cleared_at),
        ..raised_alert()
    }
}
