//! Alert messages: what is read, written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::alert::Alert;

fuzz_target!(|bytes: &[u8]| {
    match Alert::decode(bytes) {
        Ok(read) => assert_eq!(Alert::decode(&read.encode()).as_ref(), Ok(&read)),
        Err(e) => drop(e.to_string()),
    }
});
