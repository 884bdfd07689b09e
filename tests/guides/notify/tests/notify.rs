//! The adapter against the real watcher and real files, driven by tokio.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use mayhem_bridge::{ThreadInfo, ThreadKind, inventory};
use mayhem_guide_notify::changes;

#[test]
fn every_file_that_is_written_comes_out_of_the_stream() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let stream = changes(folder.path(), 1024).expect("watching");
    let files: BTreeSet<PathBuf> = (0..20)
        .map(|number| folder.path().join(format!("file-{number}")))
        .collect();
    for file in &files {
        fs::write(file, "text").expect("written");
    }

    let seen = tokio().block_on(async {
        let mut stream = stream;
        let mut seen = BTreeSet::new();
        while !files.is_subset(&seen) {
            let change = stream
                .next()
                .await
                .expect("the watch goes on")
                .expect("a change");
            seen.extend(change.paths);
        }
        let on_a_foreign_thread = |it: &ThreadInfo| {
            it.kind == ThreadKind::Vendor
                && it.owner == "changes"
                && it.name.starts_with("notify-rs")
        };
        assert!(
            inventory().iter().any(on_a_foreign_thread),
            "{:?}",
            inventory()
        );
        assert_eq!(stream.stats().refused, 0);
        seen
    });
    assert!(seen.iter().all(|path| path.starts_with(folder.path())));
}

#[test]
fn a_reader_who_is_late_is_told_that_it_missed_changes_and_the_watcher_never_waits() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let mut stream = changes(folder.path(), 4).expect("watching");
    for number in 0..50 {
        fs::write(folder.path().join(format!("file-{number}")), "text").expect("written");
    }
    eventually("more came than there is room for", || {
        stream.stats().refused > 0
    });

    let stats = stream.stats();
    assert_eq!((stats.depth, stats.blocked_now), (4, 0));
    // The oldest are there, in order; for the rest the reader looks at the folder.
    let first = tokio()
        .block_on(stream.next())
        .expect("one")
        .expect("a change");
    assert_eq!(first.paths, [folder.path().join("file-0")]);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 50);
}

#[test]
fn dropping_the_stream_in_a_task_ends_the_watchers_thread() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let stream = changes(folder.path(), 16).expect("watching");
    fs::write(folder.path().join("one"), "text").expect("written");
    tokio().block_on(async {
        let mut stream = stream;
        assert!(stream.next().await.is_some());
        drop(stream);
        // Dropped by a hook, on a thread of its own: nothing waits for the watcher here.
        assert!(async {}.now_or_never().is_some());
    });
    let is_watcher = |it: &ThreadInfo| it.name.starts_with("notify-rs");
    eventually("the watcher has ended", || {
        !inventory().iter().any(is_watcher)
    });
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime")
}

/// One test at a time: they look at all threads of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` holds; fails the test if it does not within a minute.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        // Only to leave the processor to others; the condition decides.
        thread::sleep(Duration::from_millis(1));
    }
}
