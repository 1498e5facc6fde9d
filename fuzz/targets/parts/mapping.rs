//! A table of wards as sources are asked for it, and what always holds for what was read by it.

use vardpuls_agent::source::Observation;
use vardpuls_agent::source::mapping::{Field, Mapping, TimeFrom, WardFrom};
use vardpuls_agent::source::time::TimeFormat;
use vardpuls_shared::count::{Extra, MAX_COUNT};

use crate::person;

/// Columns `ward`, `staffed`, `occupied`, `blocked`, `time`, each called as `name` makes it.
#[allow(dead_code, reason = "FHIR has no columns")]
pub fn of(name: impl Fn(&str) -> String) -> Mapping {
    let ward = |id: &str| id.parse().expect("valid");
    Mapping {
        ward: WardFrom::Column {
            header: name("ward"),
            names: [("IVA".to_owned(), ward("iva")), ("M1".to_owned(), ward("med"))].into(),
        },
        counts: [
            (Field::Staffed, name("staffed")),
            (Field::Occupied, name("occupied")),
            (Field::Extra(Extra::BLOCKED), name("blocked")),
        ]
        .into(),
        time: TimeFrom::Column { header: name("time"), format: TimeFormat::iso(Some(jiff::tz::TimeZone::UTC)) },
        rows: Default::default(),
        not_reported: [String::new(), "-".to_owned()].into(),
    }
}

/// No count is above the cap, no ward is both there and not, and no person is in it.
pub fn hold(seen: &Observation) {
    for (id, ward) in &seen.wards {
        assert!(
            ward.staffed.into_iter().chain(ward.occupied).chain(ward.extras.values().copied()).all(|n| n <= MAX_COUNT)
        );
        assert!(!seen.spoiled.contains_key(id) && !seen.not_reported.contains(id), "{id}");
    }
    let text = format!("{seen:?}{}", seen.spoiled.values().map(ToString::to_string).collect::<String>());
    assert!(!person::is_in(text.as_bytes()), "{text}");
}
