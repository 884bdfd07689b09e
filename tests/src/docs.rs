//! What the tests of the docs share: where the docs are, and how their tables are read.

use std::path::{Path, PathBuf};

/// The workspace.
///
/// # Panics
///
/// When `tests/` is no longer in it.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}

/// The rows of a comparison, without the heads of its tables.
pub fn rows(text: &str) -> impl Iterator<Item = &str> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| #");
    text.lines().filter(is_row)
}

/// The cells of a row.
pub fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// Whether this row of a comparison, the last column of which is ours, is a yes.
///
/// # Panics
///
/// When it is neither a yes that names tests, all of which are some, nor a no with its reason, and
/// when it has another number.
pub fn is_yes(row: &str, number: usize, is_test: impl Fn(&str, &str) -> bool) -> bool {
    let cells = cells(row);
    assert_eq!(cells[0], number.to_string(), "{row}");
    let ours = cells[cells.len() - 1];
    if let Some(reason) = ours.strip_prefix("no: ") {
        assert!(reason.len() > 40 && reason.ends_with('.'), "{row}");
        return false;
    }
    assert!(ours.starts_with("yes"), "{row}");
    let links = links(ours);
    assert!(!links.is_empty(), "{row}");
    for (name, path) in links {
        assert!(is_test(name, path), "{name} is no test in {path}");
    }
    true
}

/// The links of a cell: what they say and where they lead.
///
/// # Panics
///
/// When a link is broken off.
fn links(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split('[').skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once("](").expect("a link has a path");
            let (path, _) = rest.split_once(')').expect("a link ends");
            (name, path)
        })
        .collect()
}
