//! JSON endpoints: any bytes are read or refused by name; no count is above the cap; and nothing of a person, who stands
//! wherever an input has an `@`, is in what is kept or in an error.
#![no_main]

#[path = "parts/mapping.rs"]
mod mapping;
#[path = "parts/person.rs"]
mod person;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::source::json::{Shape, parse};
use vardpuls_agent::source::mapping::{TimeFrom, WardFrom};
use vardpuls_shared::clock::Time;

const NOW: Time = Time(1_795_000_000_000);

static SHAPES: LazyLock<[Shape; 2]> = LazyLock::new(|| {
    let rows = mapping::of(|column| format!("/{column}"));
    let mut pointers = rows.clone();
    pointers.ward = WardFrom::Constant("iva".parse().expect("valid"));
    pointers.time = TimeFrom::Reading;
    pointers.rows.clear();
    [Shape::Rows { array: "/wards".to_owned(), mapping: rows }, Shape::Wards(vec![pointers])]
});

fuzz_target!(|bytes: &[u8]| {
    let body = person::put_into(bytes);
    for shape in &*SHAPES {
        match parse(&body, shape, NOW) {
            Ok(seen) => mapping::hold(&seen),
            Err(e) => assert!(!person::is_in(e.to_string().as_bytes()), "{e}"),
        }
    }
});
