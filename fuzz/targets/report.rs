//! Reports: what is read is within the caps, and written and read again is the same. `peek` agrees with `decode`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::count::{MAX_COUNT, MAX_EXTRAS};
use vardpuls_shared::report::{MAX_WARDS, Report};

fuzz_target!(|bytes: &[u8]| {
    let peeked = Report::peek(bytes);
    match Report::decode(bytes) {
        Ok(report) => {
            assert_eq!(peeked, Ok((report.hospital.clone(), report.position)));
            assert!(report.wards.len() as u64 <= MAX_WARDS);
            for counts in report.wards.values() {
                assert!(
                    counts.staffed <= MAX_COUNT && counts.occupied <= MAX_COUNT && counts.extras.len() <= MAX_EXTRAS
                );
                assert!(counts.available() <= counts.staffed);
            }
            let mut written = report.clone();
            // A zero is not written.
            written.wards.values_mut().for_each(|counts| counts.extras.retain(|_, n| *n > 0));
            assert_eq!(Report::decode(&report.encode()), Ok(written));
        }
        Err(e) => drop(e.to_string()),
    }
});
