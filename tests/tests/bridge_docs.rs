//! That every public item of the bridge shows itself by an example, and says what a caller cannot
//! guess.
//!
//! Read off the sources line by line. What is public in a private module only is held to the same,
//! which does no harm.

use std::fs;
use std::path::{Path, PathBuf};

/// Functions that may park their thread; a name stands for all that bear it.
const PARKING: &[&str] = &[
    "call",
    "cancel_and_wait",
    "inventory",
    "permit",
    "push",
    "push_timeout",
    "run_all",
    "shutdown",
    "sleep",
    "start_task",
    "step",
    "submit_timeout",
    "unsubscribe",
    "wait",
    "wait_timeout",
    "wait_until_blocked",
    "wait_until_idle",
];

/// What is no part of the public surface: the doors to the checkers, and what unit tests share.
const NOT_PUBLIC: &[&str] = &["sync.rs", "sync/", "testing/unit.rs"];

#[test]
fn every_public_item_of_the_bridge_has_an_example() {
    let items = bridge();
    assert!(items.len() > 150, "the walk finds them: {}", items.len());
    let bare: Vec<_> = items.iter().filter(|item| !item.has("```")).collect();
    assert!(bare.is_empty(), "no example of their own: {bare:#?}");
}

#[test]
fn every_async_function_of_the_bridge_says_what_a_cancel_does() {
    let is_silent = |item: &&Item| item.is_async && !item.has("# Cancel safety");
    let items = bridge();
    let silent: Vec<_> = items.iter().filter(is_silent).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_function_of_the_bridge_that_can_fail_says_how() {
    let is_silent = |item: &&Item| item.can_fail && !item.has("# Errors");
    let items = bridge();
    let silent: Vec<_> = items.iter().filter(is_silent).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_function_of_the_bridge_that_parks_its_thread_says_so() {
    let items = bridge();
    let is_silent = |item: &&Item| item.parks() && !item.has("# Blocking");
    let silent: Vec<_> = items.iter().filter(is_silent).collect();
    assert!(silent.is_empty(), "{silent:#?}");
    for name in PARKING {
        let is_there = items.iter().any(|item| item.name == *name && item.parks());
        assert!(is_there, "nothing is called {name} any more");
    }
}

#[test]
fn an_item_is_found_with_its_own_documentation() {
    let source = r#"
/// Counts.
///
/// ```
/// assert!(true);
/// ```
#[derive(
    Debug,
)]
pub struct Counted {
    /// How many.
    pub count: usize,
}

impl Counted {
    /// Waits for more.
    #[must_use]
    pub async fn more(
        &self,
    ) -> io::Result<usize> {
        0
    }

    pub(crate) fn less(&self) {}

    /// Parks the thread.
    pub const fn none() {}
}
"#;
    let items = items("a.rs", source);
    let found: Vec<_> = items
        .iter()
        .map(|it| (it.kind, it.name.as_str(), it.place.as_str()))
        .collect();
    let expected = [
        ("struct", "Counted", "a.rs:10"),
        ("fn", "more", "a.rs:18"),
        ("fn", "none", "a.rs:27"),
    ];
    assert_eq!(found, expected);
    assert!(items[0].has("```") && !items[1].has("```"));
    assert!(items[1].is_async && items[1].can_fail && !items[1].parks());
    assert!(!items[2].is_async && !items[2].can_fail && items[2].parks());
}

/// A public item, as its source shows it.
#[derive(Debug)]
struct Item {
    kind: &'static str,
    name: String,
    /// File and line.
    place: String,
    doc: String,
    is_async: bool,
    can_fail: bool,
}

impl Item {
    fn has(&self, part: &str) -> bool {
        self.doc.lines().any(|line| line.starts_with(part))
    }

    /// Whether it is a function that parks its thread: by its name, or by what it says it does.
    fn parks(&self) -> bool {
        let says_so = |line: &str| line.starts_with("Waits ") || line.starts_with("Parks ");
        let may_park = self.kind == "fn" && !self.is_async;
        may_park && (PARKING.contains(&self.name.as_str()) || self.doc.lines().any(says_so))
    }
}

const KINDS: &[&str] = &[
    "fn", "struct", "enum", "union", "trait", "type", "static", "const",
];

/// The public items of one source file.
fn items(file: &str, text: &str) -> Vec<Item> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (mut items, mut doc, mut is_attribute) = (Vec::new(), String::new(), false);
    for (index, line) in lines.iter().enumerate() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text.strip_prefix(' ').unwrap_or(text));
            doc.push('\n');
            continue;
        }
        is_attribute |= line.starts_with("#[");
        if is_attribute {
            is_attribute = !line.ends_with(']');
            continue;
        }
        let doc = std::mem::take(&mut doc);
        let Some(rest) = line.strip_prefix("pub ") else {
            continue;
        };
        let is_async = rest.starts_with("async ");
        let rest = rest.trim_start_matches("async ");
        // `const fn` is a function.
        let rest = match rest.strip_prefix("const ") {
            Some(function) if function.starts_with("fn ") => function,
            _ => rest,
        };
        let Some((kind, rest)) = rest.split_once(' ') else {
            continue;
        };
        let Some(kind) = KINDS.iter().find(|known| **known == kind) else {
            continue;
        };
        let is_in_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let signature = lines[index..].iter().take_while(|line| **line != "}");
        let end = signature
            .clone()
            .position(|line| line.ends_with(['{', ';']));
        let signature: Vec<&str> = signature.take(end.unwrap_or(0) + 1).copied().collect();
        let returned = signature.join(" ");
        let returned = returned.rsplit_once(") -> ").map_or("", |(_, type_)| type_);
        items.push(Item {
            kind,
            name: rest.chars().take_while(|it| is_in_name(*it)).collect(),
            place: format!("{file}:{}", index + 1),
            doc,
            is_async,
            can_fail: *kind == "fn" && returned.trim_start_matches("io::").starts_with("Result<"),
        });
    }
    items
}

/// The public items of the bridge.
fn bridge() -> Vec<Item> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = tests.join("../adapters/bridge/src");
    let mut found = Vec::new();
    for path in files(&source) {
        let name = path.strip_prefix(&source).expect("a file below it");
        let name = name.to_string_lossy();
        let is_test = name.ends_with("tests.rs") || name.contains("tests/");
        if !is_test && !NOT_PUBLIC.iter().any(|part| name.starts_with(part)) {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            found.extend(items(&name, &text));
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the bridge") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
