//! CSV drops: any bytes are read or refused by name, in three charsets; no count is above the cap; and nothing of a
//! person, who stands wherever an input has an `@`, is in what is kept or in an error.
//! The first byte chooses the charset and the delimiter.
#![no_main]

#[path = "parts/mapping.rs"]
mod mapping;
#[path = "parts/person.rs"]
mod person;

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::csv::{CsvSpec, parse};
use vardpuls_shared::clock::Time;

const NOW: Time = Time(1_795_000_000_000);

static SPEC: LazyLock<CsvSpec> = LazyLock::new(|| CsvSpec {
    path: "beds.csv".into(),
    scan: Duration::from_secs(5),
    settle: Duration::ZERO,
    charset: encoding_rs::UTF_8,
    delimiter: b';',
    mapping: mapping::of(|column| column.to_owned()),
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, drop)) = bytes.split_first() else { return };
    let mut spec = SPEC.clone();
    spec.charset = [encoding_rs::UTF_8, encoding_rs::WINDOWS_1252, encoding_rs::UTF_16LE][usize::from(first & 3) % 3];
    spec.delimiter = [b';', b',', b'\t', b'|'][usize::from(first >> 2 & 3)];
    match parse(&person::put_into(drop), &spec, NOW) {
        Ok(seen) => mapping::hold(&seen),
        Err(e) => assert!(!person::is_in(e.to_string().as_bytes()), "{e}"),
    }
});
