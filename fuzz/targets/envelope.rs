//! Envelopes: any bytes are opened or refused; an opened one is verified without a panic, and what we sign ourselves is
//! opened to the same payload.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::signed::{Envelope, Kind, sign};
use vardpuls_shared::wire::MAX_ENVELOPE;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed(&[7; 32]));
const KINDS: [Kind; 5] = [Kind::Report, Kind::Roster, Kind::Receipt, Kind::Feed, Kind::Alert];

fuzz_target!(|bytes: &[u8]| {
    let mut opened = 0;
    for kind in KINDS {
        match Envelope::open(kind, bytes) {
            Ok(envelope) => {
                opened += 1;
                assert!(bytes.len() <= MAX_ENVELOPE);
                assert!(envelope.unverified_payload().len() < bytes.len());
                // No input of the corpus is signed with this key.
                assert!(envelope.verify(&KEY.public()).is_err());
            }
            Err(e) => drop(e.to_string()),
        }
    }
    assert!(opened <= 1, "one kind of message passed for another");
    // Signing is slow; a small payload shows as much as a large one.
    if bytes.len() <= 64 {
        let signed = sign(Kind::Report, bytes, &KEY);
        let envelope = Envelope::open(Kind::Report, &signed).expect("ours");
        assert_eq!(envelope.verify(&KEY.public()).expect("ours"), bytes);
    }
});
