//! The config that packages ship is one that the aggregator takes.

use std::path::Path;

use vardpuls_aggregator::config::Config;

#[test]
fn the_shipped_config_loads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/aggregator.toml");
    let config = Config::load(&file).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.feed.min_gap, std::time::Duration::from_millis(200));
}
