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

#[test]
fn the_adt_example_of_the_sources_page_is_right() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let page = std::fs::read_to_string(packaging.join("SOURCES.md")).expect("readable");
    let section = page.split("## HL7 v2 ADT\n").nth(1).expect("the section");
    let example = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its example");
    let shipped = std::fs::read_to_string(packaging.join("agent.toml")).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, format!("{shipped}\n{example}")).expect("written");
    let config = Config::load(&file).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.sources.len(), 2);
}
