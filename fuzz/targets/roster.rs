//! Rosters: what is read has the version of its content, and written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::roster::{MAX_NAME, Roster};

fuzz_target!(|bytes: &[u8]| {
    match Roster::decode(bytes) {
        Ok(roster) => {
            assert!(roster.wards.iter().all(|ward| ward.name.len() <= MAX_NAME));
            assert_eq!(Roster::new(roster.hospital.clone(), roster.wards.clone()), roster);
            assert_eq!(Roster::decode(&roster.encode()).expect("ours"), roster);
        }
        Err(e) => drop(e.to_string()),
    }
});
