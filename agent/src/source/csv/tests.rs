//! Drops as hospitals really write them, and any bytes at all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use vardpuls_shared::count::{Extra, MAX_COUNT};
use vardpuls_shared::hospital::WardId;

use super::*;
use crate::source::mapping::{Field, TimeFrom, WardFrom};
use crate::source::time::TimeFormat;
use crate::source::{Fault, MAX_UNKNOWN, WardObservation};

const MODIFIED: Time = Time(1_670_000_000_000);

fn id(text: &str) -> WardId {
    text.parse().expect("a ward id")
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

/// As a Swedish ward system exports: one row a ward.
fn wards() -> CsvSpec {
    CsvSpec {
        path: "drops/beds.csv".into(),
        scan: Duration::from_secs(5),
        settle: Duration::ZERO,
        charset: UTF_8,
        delimiter: b';',
        mapping: Mapping {
            not_reported: set(["", "-"]),
            ward: WardFrom::Column {
                header: "Avdelning".into(),
                names: [("A12".to_owned(), id("med-12")), ("IVA".to_owned(), id("iva"))].into(),
            },
            counts: [
                (Field::Staffed, "Disponibla".to_owned()),
                (Field::Occupied, "Belagda".to_owned()),
                (Field::Extra(Extra::BLOCKED), "Spärrade".to_owned()),
            ]
            .into(),
            time: TimeFrom::Reading,
            rows: BTreeMap::new(),
        },
    }
}

/// As Quebec publishes: one file for everybody, one row a hospital.
fn shared() -> CsvSpec {
    let zone = TimeZone::get("America/Montreal").expect("a zone");
    CsvSpec {
        charset: encoding_rs::WINDOWS_1252,
        delimiter: b',',
        mapping: Mapping {
            not_reported: set(["", "pas d'information disponible"]),
            ward: WardFrom::Constant(id("urgence")),
            counts: [
                (Field::Staffed, "Civieres_fonctionnelles".to_owned()),
                (Field::Occupied, "Civieres_occupees".to_owned()),
                (Field::Extra(Extra::OVER_24H), "Plus_de_24_heures".to_owned()),
            ]
            .into(),
            time: TimeFrom::Column {
                header: "Mise_a_jour".into(),
                format: TimeFormat::new(zone, "%Y-%m-%dT%H:%M").expect("a format"),
            },
            rows: [("No_permis".to_owned(), set(["1002"]))].into(),
        },
        ..wards()
    }
}

const SHARED: &str = "Nom , No_permis , Civieres_fonctionnelles , Civieres_occupees , Plus_de_24_heures , Mise_a_jour\n\
    \"H\u{f4}pital de l'Exemple, pavillon A\",1001,7,4,0,2022-12-01T0:45\n\
    \"H\u{f4}pital du Mod\u{e8}le\",1002,12,15,1,2022-12-01T0:45\n\
    \"H\u{f4}pital muet\",1003,pas d'information disponible,pas d'information disponible,pas d'information disponible,2022-12-01T0:46\n";

fn latin1(text: &str) -> Vec<u8> {
    encoding_rs::WINDOWS_1252.encode(text).0.into_owned()
}

fn ok(text: &str, spec: &CsvSpec) -> Observation {
    parse(text.as_bytes(), spec, MODIFIED).expect("readable")
}

fn fault(text: &str) -> FileFault {
    match parse(text.as_bytes(), &wards(), MODIFIED).expect_err("unreadable").fault {
        Fault::File(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shared_file_gives_our_row_and_its_local_time() {
    let seen = parse(&latin1(SHARED), &shared(), MODIFIED).expect("readable");
    let at: Time = "2022-12-01T05:45:00Z".parse().expect("a time");
    let ward = WardObservation { at, staffed: Some(12), occupied: Some(15), extras: [(Extra::OVER_24H, 1)].into() };
    assert_eq!(seen, Observation { at, wards: [(id("urgence"), ward)].into(), ..Observation::default() });
}

#[test]
fn what_was_not_reported_is_absent_and_still_dated() {
    let mut spec = shared();
    spec.mapping.rows = [("No_permis".to_owned(), set(["1003"]))].into();
    let seen = parse(&latin1(SHARED), &spec, MODIFIED).expect("readable");
    assert!(seen.wards.is_empty() && seen.spoiled.is_empty());
    assert_eq!(seen.not_reported, [id("urgence")].into());
    assert_eq!(seen.at.to_string(), "2022-12-01T05:46:00.000Z");
}

#[test]
fn a_file_without_our_row_vouches_for_nothing_and_is_dated_by_the_others() {
    let mut spec = shared();
    spec.mapping.rows = [("No_permis".to_owned(), set(["9999"]))].into();
    let seen = parse(&latin1(SHARED), &spec, MODIFIED).expect("readable");
    assert_eq!(seen, Observation { at: "2022-12-01T05:46:00Z".parse().expect("a time"), ..Observation::default() });
}

#[test]
fn stray_spaces_quotes_line_ends_and_blank_rows_do_not_matter() {
    let plain = ok("Avdelning;Disponibla;Belagda;Spärrade\nA12;20;18;1\nIVA;8;-;\n", &wards());
    assert_eq!(plain.at, MODIFIED);
    assert_eq!(plain.wards[&id("med-12")].occupied, Some(18));
    let iva = &plain.wards[&id("iva")];
    assert_eq!((iva.staffed, iva.occupied, iva.extras.len(), iva.at), (Some(8), None, 0, MODIFIED));
    for text in [
        "\u{feff}Avdelning;Disponibla;Belagda;Spärrade\r\nA12;20;18;1\r\nIVA;8;-;\r\n",
        " Avdelning ; Disponibla;\tBelagda ;Spärrade;\n A12 ;20; 18\u{a0};1;\n;;;\n\nIVA;8;-;;",
        "Spärrade;Belagda;\"Avdelning\";Disponibla;Anteckning\n1;18;\"A12\";\"20\";\"två; rader\noch ett \"\"citat\"\"\"\n;-;IVA;8;x\n",
        "Avdelning;Disponibla;Belagda;Spärrade\nA12;20.0;18,00;1\nIVA;08;-;\n",
    ] {
        assert_eq!(ok(text, &wards()), plain, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_overrules_the_charset() {
    let text = "Avdelning;Disponibla;Belagda;Spärrade\nA12;20;18;1\n";
    let mut spec = wards();
    spec.charset = encoding_rs::WINDOWS_1252;
    assert_eq!(ok(&format!("\u{feff}{text}"), &spec), ok(text, &wards()));
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(parse(&utf16, &wards(), MODIFIED), Ok(ok(text, &wards())));
}

#[test]
fn a_wrong_cell_spoils_its_ward_only() {
    for (cell, problem) in [
        ("tolv", "[4 letters] is not a count"),
        ("-3", "\"-3\" is not a count"),
        ("+3", "is not a count"),
        ("12.5", "\"12.5\" is not a count"),
        ("1.", "is not a count"),
        (".0", "is not a count"),
        ("10000", "\"10000\" is more than the 9999"),
        ("99999999999999999999", "[20 digits] is more than the 9999"),
    ] {
        let seen = ok(&format!("Avdelning;Disponibla;Belagda;Spärrade\nA12;20;{cell};1\nIVA;8;7;0\n"), &wards());
        assert_eq!(seen.wards.keys().collect::<Vec<_>>(), [&id("iva")], "{cell}");
        let message = seen.spoiled[&id("med-12")].to_string();
        assert!(message.starts_with("line 2, column \"Belagda\": ") && message.contains(problem), "{message}");
    }
    let time = parse(&latin1(&SHARED.replace("1,2022-12-01T0:45", "1,i natt")), &shared(), MODIFIED).expect("readable");
    let message = time.spoiled[&id("urgence")].to_string();
    assert!(message.contains("line 3, column \"Mise_a_jour\": [5 letters, 1 space] is not a time like"), "{message}");
}

#[test]
fn no_cell_is_shown_but_a_code() {
    let long = "Åsa ".repeat(50);
    let seen = ok(&format!("Avdelning;Disponibla;Belagda;Spärrade\nA12;20;{long};1\n{long};1;1;1\n"), &wards());
    assert!(seen.spoiled[&id("med-12")].problem.starts_with("[150 letters, 49 spaces] is not a count"));
    assert_eq!(seen.unknown, ["[150 letters, 49 spaces]".to_owned()].into());
    let many = (0..100).map(|n| format!("ward {n};1;1;1")).collect::<Vec<_>>().join("\n");
    assert_eq!(ok(&format!("Avdelning;Disponibla;Belagda;Spärrade\n{many}"), &wards()).unknown.len(), MAX_UNKNOWN);
}

#[test]
fn a_file_in_doubt_is_a_named_error() {
    assert_eq!(fault(""), FileFault::Empty);
    assert_eq!(fault("\u{feff}\n\n"), FileFault::Empty);
    assert_eq!(fault("Avdelning;Disponibla;Belagda;Spärrade\n;;;\n"), FileFault::Empty);
    assert_eq!(
        fault("Avdelning;Disponibla;Belagda på vårdplats;Spärrade\nA12;20;18;1\n"),
        FileFault::NoColumn { column: "Belagda".into(), key: "source.columns.occupied".into(), cells: 4 }
    );
    assert!(matches!(
        fault("Avdelning,Disponibla,Belagda,Spärrade\nA12,20,18,1\n"),
        FileFault::NoColumn { cells: 1, .. }
    ));
    assert_eq!(
        fault("Avdelning;Disponibla;Belagda;Spärrade; Belagda\nA12;20;18;1;2\n"),
        FileFault::ColumnTwice("Belagda".into())
    );
    assert_eq!(
        fault("Avdelning;Disponibla;Belagda;Spärrade\nIVA;8;7;0\nA12;20\n"),
        FileFault::ShortRow { line: 3, cells: 2, column: "Belagda".into(), number: 3 }
    );
    assert_eq!(
        fault("Avdelning;Disponibla;Belagda;Spärrade\nA12;20;18;1\nIVA;8;7;0\nA12;2;1;0\n"),
        FileFault::WardTwice { ward: id("med-12"), first: 2, second: 4 }
    );
    let error = parse(b"Avdelning;Disponibla;Belagda;Sp\xe4rrade\n", &wards(), MODIFIED).expect_err("not UTF-8");
    assert_eq!(
        error.to_string(),
        "drops/beds.csv: line 1: not UTF-8 text; set charset to what the exporting system writes (often windows-1252)"
    );
    let error = parse(b"Avdelning;Disponibla\nA;1\nB\xff", &wards(), MODIFIED).expect_err("not UTF-8");
    assert!(matches!(error.fault, Fault::File(FileFault::Charset { line: 3, .. })));
}

#[test]
fn a_quote_that_never_ends_does_not_swallow_wards_in_silence() {
    let header = "Avdelning;Disponibla;Belagda;Spärrade;Anteckning\n";
    for rows in [
        "\"A12;20;18;1;\nIVA;8;7;0;\n",
        "A12;20;18;\"1;\nIVA;8;7;0;\n",
        "A12;20;18;1;\"två\nIVA;8;7;0;\n",
        "\"A12;20;18;1;\n\"IVA\";8;7;0;\n",
    ] {
        let fault = fault(&format!("{header}{rows}"));
        assert!(
            matches!(fault, FileFault::OpenQuote { line: 2 } | FileFault::ShortRow { line: 2, .. }),
            "{rows}: {fault}"
        );
    }
    // A quote inside a cell is only a quote.
    assert_eq!(ok(&format!("{header}A12;20;18;1;5\" rör\nIVA;8;7;0;\n"), &wards()).wards.len(), 2);
}

/// Text that is close enough to a drop to get far.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Avdelning",
        "Disponibla",
        "Belagda",
        "Spärrade",
        "A12",
        "IVA",
        ";",
        ";",
        ";",
        "\n",
        "\r\n",
        "\"",
        " ",
        "7",
        "-",
        "\u{feff}",
    ]);
    prop::collection::vec(
        prop_oneof![9 => piece.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4)],
        0..60,
    )
    .prop_map(|pieces| {
        let mut bytes = "Avdelning;Disponibla;Belagda;Spärrade\n".as_bytes().to_vec();
        bytes.truncate(if pieces.len() % 3 == 0 { 0 } else { bytes.len() });
        bytes.extend(pieces.concat());
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_an_observation_or_an_error(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), nearly()]) {
        for spec in [wards(), shared()] {
            match parse(&bytes, &spec, MODIFIED) {
                Err(e) => prop_assert!(e.to_string().len() < 400),
                Ok(seen) => {
                    // A ward stands in one place only, and no count is out of range.
                    for (ward, counts) in &seen.wards {
                        prop_assert!(!seen.spoiled.contains_key(ward) && !seen.not_reported.contains(ward));
                        let all = counts.staffed.iter().chain(&counts.occupied).chain(counts.extras.values());
                        prop_assert!(all.copied().all(|n| n <= MAX_COUNT));
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_written_is_read(rows in prop::collection::vec((0u16..=MAX_COUNT, prop::option::of(0u16..=MAX_COUNT)), 2),
        order: bool, crlf: bool, quoted: bool) {
        let cell = |n: Option<u16>| n.map_or("-".to_owned(), |n| n.to_string());
        let quote = |text: String| if quoted { format!("\"{text}\"") } else { text };
        let end = if crlf { "\r\n" } else { "\n" };
        let mut lines: Vec<String> = ["A12", "IVA"].iter().zip(&rows).map(|(name, (staffed, occupied))| {
            [quote((*name).into()), quote(cell(Some(*staffed))), quote(cell(*occupied)), quote("0".into())].join(";")
        }).collect();
        if order {
            lines.reverse();
        }
        let text = format!("Avdelning;Disponibla;Belagda;Spärrade{end}{}{end}", lines.join(end));
        let seen = ok(&text, &wards());
        for (ward, (staffed, occupied)) in ["med-12", "iva"].iter().zip(&rows) {
            let ward = &seen.wards[&id(ward)];
            prop_assert_eq!((ward.staffed, ward.occupied), (Some(*staffed), *occupied));
        }
    }
}
