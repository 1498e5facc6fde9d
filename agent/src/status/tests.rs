//! What the tests of the forms of the status share, and the tests of the document itself.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The board of an agent that has just started at time 1000 s.
pub(crate) fn board() -> Board {
    let text = r#"
        hospital = "h"
        name = "H"
        region = "01"
        state-dir = "s"
        key-file = "k"
        centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        broker = { url = "mqtt://localhost" }
        ward = [{ index = 1, id = "a", name = "A", care = "icu", staffed = 10 }]
        source = [{ name = "beds", kind = "csv", path = "b", columns = { ward = "w", occupied = "o" } }]
    "#;
    let config = Config::parse(Path::new("agent.toml"), text).expect("right");
    Board::new(&config, "ab:cd".into(), 7, Time(1_000_000))
}

/// The status, at time 1100 s, of an agent to which everything goes well.
pub(crate) fn healthy() -> Status {
    let board = board();
    let at = |s: u64| Time(s * 1000);
    board.update(|s| {
        s.connection.connected = true;
        s.connection.since = Some(at(1001));
        s.sources.insert("beds".into(), Source { read_at: Some(at(1090)), wards: 1, ..Source::default() });
        s.report = Some(LastReport { epoch: 5, sequence: 3, at: at(1090), observed_at: at(1089), wards: 1 });
        s.receipt = Some(LastReceipt { at: Time(1_090_200), issued_at: Time(1_090_100) });
        s.clock = Some(Drift::of(at(1090), Time(1_090_100), Time(1_090_200)));
        let summary =
            Summary { epoch: 5, next: 4, held: 0, bytes: 0, oldest: None, released: 3, refused: 0, dropped: 0 };
        s.outbox = Some(summary);
    });
    board.read(at(1100))
}

#[test]
fn drift_says_how_far_and_how_surely() {
    let drift = healthy().clock.expect("known");
    assert_eq!((drift.least_ms, drift.most_ms, drift.about(), drift.at_least()), (-100, 100, (0, 100), 0));
    let ahead = Drift::of(Time(700_000), Time(100_000), Time(700_300));
    assert_eq!((ahead.about(), ahead.at_least()), ((600_150, 150), 600_000));
    assert_eq!(ahead.to_string(), "600 s ahead of the centre's, give or take 0.15 s");
    assert_eq!(Drift::of(Time(100_000), Time(700_000), Time(100_300)).at_least(), -599_700);
}

#[test]
fn the_table_shows_all_of_it() {
    let mut status = healthy();
    let beds = status.sources.get_mut("beds").expect("there");
    beds.unmapped.insert("Avd 9".into());
    beds.error = Some("beds.csv: there is no such file".into());
    status.refused.push(Refused::new(2, vardpuls_shared::refusal::Refusal::RevokedKey, Time(1_050_000)));
    let text = table::render(&status);
    for part in ["1 of 1 wards", "\"Avd 9\"", "no such file", "0.00 s ahead of", "revoked_key", "keygen", "3 receipted"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn what_is_written_is_read() {
    let status = healthy();
    let text = serde_json::to_string(&status).expect("JSON");
    assert_eq!(serde_json::from_str::<Status>(&text).expect("a status"), status);
}

proptest! {
    #[test]
    fn the_true_offset_is_always_within(offset in -1_000_000i64..1_000_000, there in 0u64..60_000, back in 0u64..60_000) {
        let centre = 2_000_000u64;
        let agent = |centre: u64| Time(centre.saturating_add_signed(offset));
        let drift = Drift::of(agent(centre - there), Time(centre), agent(centre + back));
        prop_assert!(drift.least_ms <= offset && offset <= drift.most_ms);
        let (about, give) = drift.about();
        prop_assert!(about.abs_diff(offset) <= give);
        prop_assert!(drift.at_least().unsigned_abs() <= offset.unsigned_abs());
    }
}
