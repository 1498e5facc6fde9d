//! Rosters: what is read, written and read again has the same wards, and the version of its content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::roster::{MAX_NAME, Roster};

fuzz_target!(|bytes: &[u8]| {
    match Roster::decode(bytes) {
        Ok(roster) => {
            assert!(roster.wards.iter().all(|ward| ward.name.len() <= MAX_NAME));
            // Its version may be another: a sender may write a number longer than it must be, and we do not.
            let ours = Roster::new(roster.hospital.clone(), roster.wards.clone());
            assert_eq!(ours.wards, roster.wards);
            assert_eq!(Roster::decode(&ours.encode()), Ok(ours));
        }
        Err(e) => drop(e.to_string()),
    }
});
