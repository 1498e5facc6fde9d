//! `backtest` as a person uses it: a small recording, a table, JSON, pictures, and what is wrong.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const RULES: &str = r#"
[[rule]]
name = "full"
title = "Full"
scope = "hospital"
measure = "occupancy"
raise = { at = 100, for = "60m" }
clear = { at = 95, for = "60m" }
severity = "notice"
response = "Look for places."
"#;

/// Three days of a hospital that is full from noon to nine, with rules beside it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rules.toml"), RULES).expect("writes");
    let mut text = "time,scope,occupied,staffed\n".to_owned();
    for hour in 0..72 {
        let (day, hour) = (hour / 24 + 1, hour % 24);
        let occupied = if (12..21).contains(&hour) { 21 } else { 15 };
        writeln!(text, "2024-02-0{day}T{hour}:45,hospital/a,{occupied},20").expect("a String");
    }
    std::fs::write(folder.path().join("history.csv"), text).expect("writes");
    folder
}

fn backtest(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vardpuls-aggregator"));
    command.current_dir(folder).args(["backtest", "--history", "history.csv"]).args(arguments);
    command.output().expect("starts")
}

fn printed(output: &Output, status: i32) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

#[test]
fn a_recording_is_judged_as_a_table_as_json_and_as_pictures() {
    let folder = folder();
    let table = printed(&backtest(folder.path(), &["--rules", "rules.toml"]), 0);
    assert!(table.lines().any(|line| line.starts_with("full ") && line.contains("100.0%")), "{table}");

    let arguments = ["--rules", "rules.toml", "--json", "--from", "2024-02-02", "--time-zone", "Europe/Stockholm"];
    let pictures = ["--pictures", "pictures", "--series", "hospital/a"];
    let json = printed(&backtest(folder.path(), &[&arguments[..], &pictures[..]].concat()), 0);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["from"], "2024-02-01T23:00:00.000Z");
    let rule = &report["rules"][0];
    assert_eq!(rule["score"]["episodes"], 2);
    assert_eq!(rule["score"]["found_share"], 1.0);
    assert_eq!(rule["score"]["delay_median_hours"], 1.0);
    assert_eq!(rule["baselines"].as_array().map(Vec::len), Some(100));
    assert_eq!(rule["front"][0], "for 0 h, keep 0 h, band 0");
    assert_eq!(rule["beaten_by"], Value::Array(Vec::new()));
    for file in ["delay-false.svg", "hospital-a.svg"] {
        let picture = std::fs::read_to_string(folder.path().join("pictures/full").join(file)).expect("drawn");
        assert!(picture.starts_with("<svg ") && picture.contains("<title id=\"title\">full"), "{picture}");
    }
}

#[test]
fn what_cannot_be_judged_is_said() {
    let folder = folder();
    let wrong = |arguments: &[&str], expected: &str| {
        let text = printed(&backtest(folder.path(), arguments), 1);
        assert!(text.contains(expected), "{text}");
    };
    wrong(&["--rules", "rules.toml", "--care", "icu"], "needs rows of scope hospital/… of all care types together");
    wrong(&["--from", "soon"], "--from \"soon\" is not a time");
    wrong(&["--from", "2030-01-01"], "nothing lies between --from and --to");
    wrong(&["--time-zone", "Stockholm"], "no such zone");
    wrong(&["--pictures", "p", "--series", "hospital/b"], "the history has no such scope");
    wrong(&["--rules", "history.csv"], "history.csv, line 1");
    std::fs::write(folder.path().join("history.csv"), "scope,time,staffed,occupied\nhospital/a,now,1,1\n")
        .expect("writes");
    wrong(&[], "history.csv, line 2, column time: \"now\" is not a time; write 2022-12-01T00:45:00+01:00");
}
