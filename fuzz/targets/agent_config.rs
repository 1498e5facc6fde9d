//! The agent's config: any text is read or refused with the file and the line.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vardpuls_agent::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse(Path::new("/etc/agent.toml"), text) {
        Ok(config) => {
            assert!(config.report.min_gap <= config.report.heartbeat);
            // The roster that would be sent is one that the centre can read.
            let roster = config.roster();
            assert_eq!(vardpuls_shared::roster::Roster::decode(&roster.encode()).expect("ours"), roster);
        }
        Err(e) => assert!(e.to_string().starts_with("/etc/agent.toml, line "), "{e}"),
    }
});
