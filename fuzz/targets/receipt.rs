//! Receipts: what is read is within the caps, and written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::receipt::{MAX_ITEMS, Receipt};

fuzz_target!(|bytes: &[u8]| {
    match Receipt::decode(bytes) {
        Ok(receipt) => {
            let most = usize::try_from(MAX_ITEMS).expect("small");
            assert!(receipt.stored.len().max(receipt.refused.len()).max(receipt.wanted.len()) <= most);
            for &(first, last) in &receipt.stored {
                assert!(first <= last && receipt.is_stored(first) && receipt.is_stored(last));
            }
            assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
        }
        Err(e) => drop(e.to_string()),
    }
});
