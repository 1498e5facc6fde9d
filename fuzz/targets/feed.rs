//! Feed messages: what is read, written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::feed::Feed;

fuzz_target!(|bytes: &[u8]| {
    match Feed::decode(bytes) {
        Ok(read) => assert_eq!(Feed::decode(&read.encode()).as_ref(), Ok(&read)),
        Err(e) => drop(e.to_string()),
    }
});
