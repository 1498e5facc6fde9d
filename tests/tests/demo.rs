//! The demo as people start it: a program with options, lines on its output, and an end on SIGTERM.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const WITHIN: Duration = Duration::from_mins(1);

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A demo in the background, killed if the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn status(http: &str) -> Option<Value> {
    ureq::get(&format!("http://{http}/api/v1/status")).call().ok()?.body_mut().read_json().ok()
}

#[test]
fn it_serves_all_hospitals_and_ends_on_sigterm() {
    let arguments = ["--hospitals", "5", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--for", "120"];
    let mut demo = Running(demo(&arguments).stdout(Stdio::piped()).spawn().expect("the demo starts"));
    let mut lines = BufReader::new(demo.0.stdout.take().expect("piped")).lines();
    let mut line_with = |what: &str| {
        let found = lines.by_ref().map_while(Result::ok).find(|l| l.contains(what));
        found.unwrap_or_else(|| panic!("no line with {what:?} before the end"))
    };
    assert!(line_with("SIMULATED").contains("seed 1"));
    let http = line_with("http://").split("http://").nth(1).expect("an address").trim_end_matches('/').to_owned();
    assert!(line_with("centre's key").contains("ed25519:"));
    assert!(line_with("mosquitto_sub").contains("vardpuls/v1/json/feed/nation"));
    assert!(line_with("read from").contains("2 CSV exports, 2 SQL databases (SQLite), 1 HL7 v2 ADT"));
    line_with("5 of 5 hospitals report");

    let deadline = Instant::now() + WITHIN;
    let status = loop {
        match status(&http) {
            Some(status) if status["nation"]["coverage"]["fresh"] == 5 => break status,
            _ => assert!(Instant::now() < deadline, "five hospitals are not fresh in time"),
        }
    };
    assert!(status["notice"].as_str().is_some_and(|n| n.contains("SIMULATED")));
    for figure in ["wards", "staffed", "occupied", "blocked", "available", "over_capacity", "boarding"] {
        let regions = status["regions"].as_array().expect("regions");
        let sum: u64 = regions.iter().filter_map(|r| r["total"][figure].as_u64()).sum();
        assert_eq!(status["nation"]["total"][figure].as_u64(), Some(sum), "{figure}");
    }

    let id = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let ended = demo.0.wait().expect("a status");
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_taken_port_is_named_with_its_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = demo(&["--http", &address, "--mqtt", "127.0.0.1:0"]).output().expect("the demo runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains(&address) && message.contains("--http"), "{message}");
}

const HEAD: &str = "Nom_installation , No_permis_installation , Nombre_de_civieres_fonctionnelles , \
    Nombre_de_civieres_occupees , Nombre_de_patients_sur_civiere_plus_de_24_heures , \
    Nombre_de_patients_sur_civiere_plus_de_48_heures , Mise_a_jour\r\n";

/// Three departments in two regions, over five hours: all report; one is silent and one absent; nothing can be read;
/// nobody's counts change; a region is silent.
fn write_recording(folder: &Path, last_official: &str) {
    fs::create_dir_all(folder.join("drops")).expect("a folder");
    let facilities = "permit_no,region_code,region,name,lat,lon\n\
        100,01,Bas-Saint-Laurent,Hôpital de Matane,48.8,-67.5\n200,01,Bas-Saint-Laurent,Hôpital d'Amqui,,\n\
        300,02,Saguenay,Hôpital de La Baie,48.3,-70.8\n";
    fs::write(folder.join("facilities.csv"), facilities).expect("written");
    let none = "pas d'information disponible";
    let row = |permit: u32, functional: &str, occupied: &str, time: &str| {
        format!("\"Hôpital\",{permit},{functional},{occupied},0,0,{time}\r\n")
    };
    let drops = [
        (
            "2023-03-06T021401",
            [
                row(100, "7", "4", "2023-03-05T20:46"),
                row(200, "6", "9", "2023-03-05T20:46"),
                row(300, "5", "5", "2023-03-05T20:46"),
            ]
            .concat(),
        ),
        (
            "2023-03-06T055000",
            [row(100, "7", "3", "2023-03-06T0:46"), row(200, none, none, "2023-03-06T0:46")].concat(),
        ),
        ("2023-03-06T065000", String::new()),
        (
            "2023-03-06T075000",
            [
                row(100, "7", "3", "2023-03-06T2:46"),
                row(200, "6", "0", "2023-03-06T2:46"),
                row(300, "5", "6", "2023-03-06T2:46"),
            ]
            .concat(),
        ),
        (
            "2023-03-06T085000",
            [
                row(100, "7", "3", "2023-03-06T3:46"),
                row(200, "6", "0", "2023-03-06T3:46"),
                row(300, none, none, "2023-03-06T3:46"),
            ]
            .concat(),
        ),
    ];
    for (name, rows) in drops {
        let text = if rows.is_empty() { String::new() } else { format!("{HEAD}{rows}") };
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("latin-1")).collect();
        fs::write(folder.join("drops").join(format!("{name}.csv")), bytes).expect("written");
    }
    let official = format!(
        "mise_a_jour,fetched_utc,region,functional,occupied\r\n\
        2023-03-05T20:46,2023-03-06T02:14:01Z,01,13,13\r\n2023-03-05T20:46,2023-03-06T02:14:01Z,02,5,5\r\n\
        2023-03-05T20:46,2023-03-06T02:14:01Z,99,18,18\r\n\
        2023-03-06T0:46,2023-03-06T05:50:00Z,01,7,3\r\n2023-03-06T0:46,2023-03-06T05:50:00Z,02,{none},{none}\r\n\
        2023-03-06T0:46,2023-03-06T05:50:00Z,99,7,3\r\n\
        2023-03-06T3:46,2023-03-06T08:50:00Z,01,13,3\r\n2023-03-06T3:46,2023-03-06T08:50:00Z,02,{none},{none}\r\n\
        2023-03-06T3:46,2023-03-06T08:50:00Z,99,{last_official}\r\n"
    );
    fs::write(folder.join("official.csv"), official).expect("written");
}

fn replay(last_official: &str) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    write_recording(folder.path(), last_official);
    let recording = folder.path().to_string_lossy().into_owned();
    let output = demo(&["--replay", &recording, "--verify"]).output().expect("the demo runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn a_replay_agrees_with_the_official_totals_and_unknown_is_not_zero() {
    let (output, text) = replay("13,3");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("3 hours: 7 region-hours agreed, 2 unknown, 0 different"), "{text}");
    assert!(text.contains("1 unreadable, 1 without official totals"), "{text}");
}

#[test]
fn a_difference_is_shown_and_fails() {
    let (output, text) = replay("13,4");
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("region 99: functional 13 in the feed, 13 officially; occupied 3 in the feed, 4"), "{text}");
    assert!(text.contains("1 different"), "{text}");
}

/// An ADT message of a visit: `trigger` puts it in KIR3.
fn adt(trigger: &str, visit: &str) -> String {
    let visit = if visit.is_empty() { String::new() } else { format!("{}{visit}", "|".repeat(16)) };
    format!("MSH|^~\\&|A|B|C|D|20260408120000||{trigger}|M1|P|2.5\rEVN||20260408120000\rPV1|1|I|KIR3{visit}\r")
}

fn adt_files(folder: &Path) -> (Output, String) {
    let output = demo(&["--adt-files", &folder.to_string_lossy()]).output().expect("the demo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn every_file_of_a_folder_is_answered_and_only_adt_changes_a_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, bytes).expect("written");
    };
    put("1/admitted.hl7", adt("ADT^A01", "V1").as_bytes());
    put("1/deep/er/elsewhere.hl7", adt("ADT^A01", "V2").replace('\r', "\n").as_bytes());
    put("2-result.hl7", adt("ORU^R01", "V1").as_bytes());
    put("3-nameless.hl7", adt("ADT^A01", "").as_bytes());
    put("4-gone.hl7", adt("ADT^A03", "V1").as_bytes());
    put("5-again.hl7", adt("ADT^A03", "V1").as_bytes());
    put("6-empty", b"");
    put("7-binary", &(0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    put("8-huge", &vec![b'x'; 3_000_000]);
    put("9-framed.hl7", &[b"\x0b", adt("ADT^A01", "V3").as_bytes(), b"\x1c\r"].concat());
    let (output, text) = adt_files(folder.path());
    let last = text.lines().last().expect("a line");
    assert!(output.status.success(), "{text}");
    assert!(last.starts_with("10 messages: answered AA 6, AE 2, AR 2, not answered 0; by reason: taken 4,"), "{last}");
    assert!(last.contains("duplicate 1, not-adt 1, no-visit 1, too-long 1, not-hl7"), "{last}");
    assert!(last.ends_with("counts changed 4 times, 0 of them by what is no ADT"), "{last}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder").path().join("gone");
    let (output, _) = adt_files(&folder);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("gone"));
}
