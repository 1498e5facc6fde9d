//! FHIR pages: any two pages, of locations and of encounters, are counted or refused by name; no count is above the
//! cap; and nothing of a person, who stands wherever an input has an `@`, is in what is kept or in an error.
//! The pages are the two halves of the input, at the first NUL.
#![no_main]

#[path = "parts/mapping.rs"]
mod mapping;
#[path = "parts/person.rs"]
mod person;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::fhir::{Beds, Counting, count_pages};
use vardpuls_shared::clock::Time;

const NOW: Time = Time(1_795_000_000_000);

static COUNTING: LazyLock<Counting> = LazyLock::new(|| Counting {
    classes: ["IMP".to_owned()].into(),
    beds: Beds::Staffed,
    wards: [("1".to_owned(), "iva".parse().expect("valid")), ("MED".to_owned(), "med".parse().expect("valid"))].into(),
});

fuzz_target!(|bytes: &[u8]| {
    let bytes = person::put_into(bytes);
    let at = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    // A recorded bundle is both.
    let (locations, encounters) = (&bytes[..at], bytes.get(at + 1..).unwrap_or(&bytes));
    match count_pages(&COUNTING, locations, encounters, "http://fhir.example/r4", NOW) {
        Ok(seen) => mapping::hold(&seen),
        Err(e) => assert!(!person::is_in(e.to_string().as_bytes()), "{e}"),
    }
});
