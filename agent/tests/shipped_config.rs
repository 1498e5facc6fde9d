//! The config that packages ship is one that the agent takes.

use std::path::Path;

use vardpuls_agent::config::Config;

#[test]
fn the_shipped_config_loads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml");
    let config = Config::load(&file).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((config.wards.len(), config.sources.len()), (2, 1));
    // What the unit makes (StateDirectory=, RuntimeDirectory=) is where the config looks.
    assert_eq!(config.state_dir, Path::new("/var/lib/vardpuls-agent"));
    assert_eq!(config.status_socket, Path::new("/run/vardpuls-agent/status.sock"));
}
