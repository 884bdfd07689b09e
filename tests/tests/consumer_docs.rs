//! That the consumer's docs say nothing that no test shows.

use std::fs;
use std::path::{Path, PathBuf};

use mayhem_sim::contract;
use mayhem_tests::broker_worlds::Simulated;

#[test]
fn the_guide_to_broker_adapters_lists_every_check_in_order() {
    let guide = root().join("core/docs/write-a-broker-adapter.md");
    let text = fs::read_to_string(guide).expect("the guide");
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- [ ] `")?.split('`').next())
        .collect();
    let checks = contract::checks::<Simulated>();
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    assert_eq!(listed, names);
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}
