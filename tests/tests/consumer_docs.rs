//! That the consumer's docs say nothing that no test shows.

use std::fs;
use std::path::{Path, PathBuf};

use mayhem_sim::contract;
use mayhem_tests::broker_worlds::Simulated;
use mayhem_tests::docs::{is_yes, root, rows};

/// Rows of the three tables of the comparison, and how many of each are a yes.
const TABLES: [(usize, usize); 3] = [(34, 33), (14, 12), (15, 15)];

#[test]
fn every_yes_of_the_comparison_names_tests_that_exist_and_every_no_says_why() {
    let docs = root().join("core/docs");
    let text = fs::read_to_string(docs.join("comparison.md")).expect("the comparison");
    let mut rows = rows(&text);
    let mut number = 0;
    for (count, yes_count) in TABLES {
        let mut yes = 0;
        for row in rows.by_ref().take(count) {
            number += 1;
            let is_there = |name: &str, path: &str| is_test(&docs.join(path), name);
            yes += usize::from(is_yes(row, number, is_there));
        }
        assert_eq!(yes, yes_count);
        let sum = format!("{yes_count} of {count} are a yes.");
        assert!(text.contains(&sum), "{sum}");
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn the_guide_to_broker_adapters_lists_every_check_in_order() {
    let guide = root().join("core/docs/write-a-broker-adapter.md");
    let text = fs::read_to_string(guide).expect("the guide");
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- [ ] `")?.split('`').next())
        .collect();
    assert_eq!(listed, checks().collect::<Vec<_>>());
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    let mut pages: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md"]
        .map(|page| root().join(page))
        .into();
    for folder in ["core/docs", "adapters/bridge/docs", "tests/sim-runner/docs"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of docs");
        pages.extend(entries.map(|entry| entry.expect("a page").path()));
    }
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if target.contains("://") || target.is_empty() {
                continue;
            }
            let is_there = page.with_file_name(target).exists();
            assert!(is_there, "{}: {target}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} links were found");
}

/// Whether `name` is run as a test, by itself, in a suite that the file lists, or as a check of the
/// broker's contract that the file runs.
fn is_test(path: &Path, name: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    if text.contains("broker_contract!(") {
        return checks().any(|check| check == name);
    }
    let is_listed = text.contains("macro_rules! ") && text.contains(&format!("    {name}\n"));
    is_listed || text.contains(&format!("#[test]\nfn {name}("))
}

/// The checks of the broker's contract.
fn checks() -> impl Iterator<Item = &'static str> {
    let checks = contract::checks::<Simulated>();
    checks.into_iter().map(|check| check.name)
}
