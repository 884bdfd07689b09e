//! What holds for the text of the whole workspace and for the licences of its dependencies.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

/// Longest line of a source file, in characters.
const LINE_COLUMNS_MAX: usize = 100;

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 400;

/// Files that are longer, each with the length it may not outgrow. The list only gets shorter.
const LONG_FILES: &[(&str, usize)] = &[];

/// The licences a dependency may be under.
const LICENSES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// What only guides are built with, and under which licence: nothing of it reaches a user's build,
/// which `arrows.rs` checks.
const LICENSES_OF_GUIDES: &[(&str, &str)] = &[
    ("inotify", "ISC"),
    ("inotify-sys", "ISC"),
    ("notify", "CC0-1.0"),
    ("paho-mqtt", "EPL-2.0"),
    ("paho-mqtt-sys", "EPL-2.0"),
];

/// What must not stand in a source file. In two halves, so that this file does not hold it either.
const FORBIDDEN: &[(&str, &str)] = &[
    ("to", "do!("),
    ("unimple", "mented!("),
    ("db", "g!("),
    ("#[ign", "ore"),
    ("#[should", "_panic"),
    ("unsafe", " {"),
    ("unsafe", " fn"),
    ("unsafe", " impl"),
    ("FIX", "ME"),
];

/// Folders of the machine somebody happened to work on. In two halves, as above.
const MACHINE_PATHS: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/fa", "rm/"),
    ("/ro", "ot/"),
    ("/tm", "p/"),
    ("/ho", "me/"),
];

#[test]
fn no_line_is_longer_than_the_limit() {
    let mut long = Vec::new();
    for (name, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX {
                long.push(format!("{name}:{}", index + 1));
            }
        }
    }
    assert!(
        long.is_empty(),
        "longer than {LINE_COLUMNS_MAX} columns: {long:#?}"
    );
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let mut long = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        let exception = LONG_FILES.iter().find(|(file, _)| *file == name);
        let limit = exception.map_or(FILE_LINES_MAX, |(_, limit)| *limit);
        if lines > limit {
            long.push(format!("{name}: {lines} lines, at most {limit}"));
        }
        if exception.is_some() && lines <= FILE_LINES_MAX {
            long.push(format!("{name}: no exception is needed any more"));
        }
    }
    for (file, _) in LONG_FILES {
        if !root().join(file).is_file() {
            long.push(format!("{file}: the exception names a file that is gone"));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_unfinished_or_unsafe_is_left_in_the_sources() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (first, second) in FORBIDDEN {
            let pattern = format!("{first}{second}");
            for (index, line) in text.lines().enumerate() {
                if line.contains(&pattern) {
                    found.push(format!("{name}:{}: {pattern}", index + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_lint_that_is_silenced_has_a_reason() {
    let mut bare = Vec::new();
    for (name, text) in sources() {
        for opening in ["[allow(", "[expect("] {
            for (at, _) in text.match_indices(opening) {
                let is_attribute = text[..at].ends_with(['#', '!']);
                let attribute = text[at..].split(")]").next().unwrap_or_default();
                if is_attribute && !attribute.contains("reason =") {
                    let line = text[..at].lines().count();
                    bare.push(format!("{name}:{line}"));
                }
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn every_planted_bug_has_a_model_that_is_to_catch_it() {
    let table = fs::read_to_string(root().join("tests/models/src/bugs.rs")).expect("the table");
    let of_loom = table.split("shuttle").next().unwrap_or_default();
    let (mut planted, mut free) = (0, Vec::new());
    for (name, text) in sources() {
        if !name.starts_with("adapters/bridge/src/") {
            continue;
        }
        for rest in text.split("bug(\"").skip(1) {
            let bug = rest.split('"').next().unwrap_or_default();
            planted += 1;
            if !of_loom.contains(&format!("\"{bug}\",")) {
                free.push(format!("{name}: {bug}"));
            }
        }
    }
    assert!(planted > 40, "the walk finds them: {planted}");
    assert!(free.is_empty(), "{free:#?}");
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (first, second) in MACHINE_PATHS {
            for (at, pattern) in text.match_indices(&format!("{first}{second}")) {
                let before = text[..at].chars().next_back();
                let starts_a_path = !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
                let after = text[at + pattern.len()..].chars().next();
                let names_something = after.is_some_and(|c| c.is_ascii_alphabetic());
                if starts_a_path && names_something {
                    found.push(format!("{}:{}", name(&path), text[..at].lines().count()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_crate_takes_lints_and_metadata_from_the_workspace() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("cargo has just read it");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}: lints",
            package.name
        );
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let inherited = format!("{key}.workspace = true");
            assert!(manifest.contains(&inherited), "{}: {key}", package.name);
        }
        let is_described = package
            .description
            .as_deref()
            .is_some_and(|text| text.len() > 20);
        assert!(is_described, "{}: description", package.name);
    }
}

#[test]
fn every_dependency_comes_from_the_registry_under_an_allowed_license() {
    let metadata = metadata();
    let mut refused = Vec::new();
    for package in &metadata.packages {
        let license = package.license.as_deref().unwrap_or("none");
        let of_guides = (package.name.as_str(), license);
        if !is_allowed(license) && !LICENSES_OF_GUIDES.contains(&of_guides) {
            refused.push(format!(
                "{} {}: license {license}",
                package.name, package.version
            ));
        }
        let from_registry = package
            .source
            .as_ref()
            .is_none_or(|source| source.is_crates_io());
        if !from_registry {
            refused.push(format!("{} {}: source", package.name, package.version));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn core_takes_time_threads_and_files_from_nobody() {
    let banned = [
        "std::time::Instant",
        "SystemTime",
        "std::thread",
        "std::fs",
        "std::net",
        "log::",
    ];
    for (name, text) in sources() {
        let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
        if !name.starts_with("core/src/") || is_test {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let is_code = !line.trim_start().starts_with("//");
            for word in banned {
                let is_clean = !(is_code && line.contains(word));
                assert!(is_clean, "{name}:{}: {word}", index + 1);
            }
        }
    }
}

#[test]
fn a_license_expression_is_read_as_spdx_means_it() {
    assert!(is_allowed("MIT OR GPL-3.0-only"));
    assert!(is_allowed("Unlicense/MIT"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0-only"));
    assert!(!is_allowed("GPL-3.0-only"));
    assert!(!is_allowed("none"));
}

/// Whether one of the alternatives of `expression` is allowed. Reads `A OR B AND C` as
/// `(A OR B) AND C`, which refuses more than SPDX does and never less.
fn is_allowed(expression: &str) -> bool {
    expression.replace('/', " OR ").split(" AND ").all(|term| {
        term.trim_matches(['(', ')', ' '])
            .split(" OR ")
            .any(|license| LICENSES.contains(&license.trim()))
    })
}

fn metadata() -> Metadata {
    // For one platform only: what others need was not fetched to build this test.
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(options.map(str::to_owned))
        .exec()
        .expect("cargo describes its workspace")
}

/// Every Rust source of the workspace: its name from the root on, and its text.
fn sources() -> Vec<(String, String)> {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut sources = Vec::new();
    for path in files(&root()).into_iter().filter(is_rust) {
        let text = fs::read_to_string(&path).expect("a source file is UTF-8");
        sources.push((name(&path), text));
    }
    assert!(sources.len() > 20, "the walk finds the sources");
    sources
}

/// Every file below `folder` that belongs to the project.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry of the folder").path();
        let file_name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy();
        let is_skipped = matches!(file_name.as_ref(), "target" | ".git" | "Cargo.lock");
        if is_skipped || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The path of `path` from the root of the workspace on.
fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_path_buf()
}
