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

/// The links of a cell: what they say and where they lead.
///
/// # Panics
///
/// When a link is broken off.
pub fn links(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split('[').skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once("](").expect("a link has a path");
            let (path, _) = rest.split_once(')').expect("a link ends");
            (name, path)
        })
        .collect()
}
