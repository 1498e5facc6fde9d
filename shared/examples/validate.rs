//! Holds payloads against the CDDL of their message: `validate report|roster|receipt|feed|alert < HEX`.
//!
//! In: one payload a line, in hex, without its envelope. Out: `ok` or what is wrong, a line each; exit status 0 only
//! if every payload is valid. For whoever writes an agent or a reader in another language.

use std::io::BufRead;
use std::process::ExitCode;

const USAGE: &str =
    "usage: validate report|roster|receipt|feed|alert, with one payload in hex a line on standard input";

fn schema(message: &str) -> Option<&'static str> {
    match message {
        "report" => Some(include_str!("../src/report.cddl")),
        "roster" => Some(include_str!("../src/roster.cddl")),
        "receipt" => Some(include_str!("../src/receipt.cddl")),
        "feed" => Some(include_str!("../src/feed.cddl")),
        "alert" => Some(include_str!("../src/alert.cddl")),
        _ => None,
    }
}

fn unhex(line: &str) -> Option<Vec<u8>> {
    let pairs = line.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn check(message: &str, schema: &str, line: &str) -> Result<(), String> {
    let payload = unhex(line.trim()).ok_or("not hex")?;
    cddl_cat::validate_cbor_bytes(message, schema, &payload).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let message = std::env::args().nth(1).unwrap_or_default();
    let Some(schema) = schema(&message) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut valid = true;
    for line in std::io::stdin().lock().lines() {
        match line.map_err(|e| e.to_string()).and_then(|line| check(&message, schema, &line)) {
            Ok(()) => println!("ok"),
            Err(why) => {
                valid = false;
                println!("{why}");
            }
        }
    }
    if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
