//! The front of the embedded broker: what it lets through does not depend on how the bytes came, is a beginning of
//! them, and would be let through again; a CONNECT that is rewritten for the broker says the same.
//! The first byte says how the bytes are cut.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vardpuls_aggregator::broker::front::fuzzing::{admit, wish_is_kept};
use vardpuls_shared::hospital::HospitalId;

static NAME: LazyLock<HospitalId> = LazyLock::new(|| "a".parse().expect("valid"));

fuzz_target!(|bytes: &[u8]| {
    let Some((step, stream)) = bytes.split_first() else { return };
    assert!(wish_is_kept(stream));
    let whole = admit(&NAME, [stream]);
    assert_eq!(admit(&NAME, stream.chunks(usize::from(*step) + 1)), whole);
    let (on, _) = whole;
    assert!(stream.starts_with(&on));
    assert_eq!(admit(&NAME, [on.as_slice()]), (on.clone(), None));
});
