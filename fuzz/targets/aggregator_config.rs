//! The aggregator's config: any text is read or refused with the file and the line.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vardpuls_aggregator::config::Config;

fuzz_target!(|text: &str| {
    if let Err(e) = Config::parse(Path::new("/etc/aggregator.toml"), text) {
        assert!(e.to_string().starts_with("/etc/aggregator.toml, line "), "{e}");
    }
});
