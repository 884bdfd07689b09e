//! That the bridge's comparison with others says nothing that no test shows.

use std::fs;
use std::path::Path;

use mayhem_bridge::{
    BlockingPool, BusyReason, Overflow, Portal, Push, SubmitError, callback_stream,
};
use mayhem_tests::docs::{cells, is_yes, root, rows};

/// Rows of the table.
const ROWS: usize = 35;

/// The longest adapter that a guide may show.
const ADAPTER_LINES_MAX: usize = 60;

#[test]
fn every_yes_names_tests_that_exist_and_every_no_says_why() {
    let docs = root().join("adapters/bridge/docs");
    let text = fs::read_to_string(docs.join("comparison.md")).expect("the comparison");
    let rows: Vec<&str> = rows(&text).collect();
    assert_eq!(rows.len(), ROWS);

    let mut yes = 0;
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(cells(row).len(), 11, "{row}");
        let is_there = |name: &str, path: &str| is_test(&docs.join(path), name);
        yes += usize::from(is_yes(row, index + 1, is_there));
    }
    assert!(
        text.contains(&format!("{yes} of {ROWS} are a yes")),
        "{yes}"
    );
}

#[test]
fn what_nobody_has_configured_is_bounded() {
    let (sink, _stream) = callback_stream("default").overflow(Overflow::Fail).build();
    let refused = (0..1_000_000).find(|value| sink.push(*value) == Push::Full(*value));
    assert!(refused.is_some());

    let (portal, _driver) = Portal::builder().build();
    let submissions = (0..1_000_000).map(|_| portal.run_coroutine_threadsafe(async {}));
    // Dropping a handle detaches: its future keeps its place.
    let refused = submissions.filter_map(Result::err).next();
    assert!(matches!(refused, Some(SubmitError::Full(_))));

    let pool = BlockingPool::builder().build();
    let (release, is_released) = std::sync::mpsc::channel::<()>();
    let is_released = std::sync::Arc::new(std::sync::Mutex::new(is_released));
    let refused = (0..1_000_000).find_map(|_| {
        let is_released = std::sync::Arc::clone(&is_released);
        // Ends when the sender is dropped, below.
        pool.run("hold", move |_| {
            is_released.lock().map(|end| end.recv().is_ok()).is_ok()
        })
        .err()
    });
    assert!(matches!(
        refused.expect("a bound").reason(),
        BusyReason::Full
    ));
    drop(release);
}

#[test]
fn every_adapter_of_the_guides_is_short_and_is_tested() {
    let guides = root().join("tests/guides");
    let mut seen = 0;
    for guide in fs::read_dir(guides).expect("the guides") {
        let guide = guide.expect("an entry").path();
        let adapter = fs::read_to_string(guide.join("src/lib.rs")).expect("an adapter");
        let lines = adapter.lines().count();
        assert!(
            lines < ADAPTER_LINES_MAX,
            "{}: {lines} lines",
            guide.display()
        );
        assert!(guide.join("tests").is_dir(), "{}", guide.display());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// Whether `name` is run as a test: one of the harness's, a model that its file lists, or a promise
/// or an executor that the contract suite lists.
fn is_test(path: &Path, name: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let is_listed = |text: &str| text.contains(&format!("    {name},\n"));
    match path.parent() {
        Some(folder) if folder.ends_with("tests/models/src") => is_listed(&text),
        Some(folder) if folder.ends_with("bridge_contract") => {
            let suite = fs::read_to_string(root().join("tests/tests/bridge_contract.rs"));
            is_listed(&suite.expect("the suite")) && text.contains(&format!("fn {name}("))
        }
        _ => text.contains(&format!("#[test]\nfn {name}(")),
    }
}
