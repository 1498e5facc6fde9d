//! Topics: a name that is read is the one that is built from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vardpuls_shared::topic::Topic;

fuzz_target!(|name: &str| {
    if let Some(topic) = Topic::parse(name) {
        assert_eq!(topic.to_string(), name);
    }
});
