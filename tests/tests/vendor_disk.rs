//! The vendor SDK on a disk that is full, read-only, or fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use vendor_sdk::{Client, Options};

const PROBE: &str = env!("CARGO_BIN_EXE_sdk-probe");
const TOPIC: &str = "probe";
/// Messages of a life under faults. strace counts calls by thread, and the thread that opens makes
/// some syncs and writes; with more publishes than those, each thread's faults are met.
const COUNT: &str = "14";
/// More syncs than any thread of such a life makes.
const SYNC_COUNT_MAX: usize = 60;
/// More writes.
const WRITE_COUNT_MAX: usize = 400;

#[test]
fn a_full_disk_latches_and_everything_is_there_once_there_is_space() {
    let folder = TempDir::new().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=2m tmpfs \"$2\" && exec \"$1\" space \"$2/queue\"";
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        PROBE,
    ]);
    let Some(output) = run(command.arg(folder.path()), "unshare") else {
        return;
    };
    if !output.status.success() && output.stdout.is_empty() {
        skip("this machine allows no mount namespace");
        return;
    }
    let text = String::from_utf8(output.stdout).expect("text");
    let facts = |fact: &str| -> Vec<&str> {
        let prefix = format!("{fact} ");
        text.lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect()
    };
    let one = |fact: &str| {
        let found = facts(fact);
        assert_eq!(found.len(), 1, "{fact}: {text}");
        found[0].to_owned()
    };

    assert!(output.status.success(), "{text}");
    let path = folder.path().join("queue").display().to_string();
    assert!(
        one("full").starts_with(&format!("no space left for {path}:")),
        "{text}"
    );
    assert!(
        one("latched").starts_with("stopped after an earlier error: no space left"),
        "{text}"
    );
    let other = folder.path().join("other").display().to_string();
    assert!(one("other").contains(&other), "{text}");
    let read_only = one("read-only");
    assert!(
        read_only.starts_with(&format!("cannot use {path}:")),
        "{text}"
    );
    assert!(read_only.to_lowercase().contains("read-only"), "{text}");
    let kept: BTreeSet<&str> = facts("kept").into_iter().collect();
    let published: BTreeSet<&str> = facts("published").into_iter().collect();
    assert!(
        published.len() >= 10 && kept.is_superset(&published),
        "{text}"
    );
}

#[test]
fn a_sync_that_fails_is_never_followed_by_a_confirmation() {
    let mut surfaced = 0;
    for number in 1..=SYNC_COUNT_MAX {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("queue");
        let log = folder.path().join("strace");
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={number}");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-s", "256", "-e", "trace=fsync,fdatasync,write"]);
        command
            .args(["-e", &inject, "-o"])
            .arg(&log)
            .args([PROBE, "once"])
            .arg(&path)
            .arg(COUNT);
        let Some(output) = run(&mut command, "strace") else {
            return;
        };
        let trace = fs::read_to_string(&log).expect("strace writes what it saw");
        let Some(at) = trace.find("(INJECTED)") else {
            assert!(output.status.success(), "nothing failed: {trace}");
            assert!(
                surfaced > 10,
                "syncs of both threads were made to fail: {surfaced}"
            );
            return;
        };
        // SQLite ignores a failed sync of the folder; the SDK's own sync follows it. A sync at
        // the end moves what the log holds already.
        let line_start = trace[..at].rfind('\n').map_or(0, |end| end + 1);
        let failed = &trace[line_start..at];
        let is_folder = failed.contains(&format!("<{}>", folder.path().display()));
        let is_closing = trace[..at].contains("closing");
        let is_confirmed_after = trace[at..].contains("\"published ");
        if !is_folder && !is_closing {
            assert!(
                !is_confirmed_after,
                "sync {number} failed, then confirmed:\n{trace}"
            );
            assert!(
                !output.status.success(),
                "sync {number} was swallowed:\n{trace}"
            );
            surfaced += 1;
        }
        assert_kept(&path, &String::from_utf8(output.stdout).expect("text"));
    }
    panic!("more than {SYNC_COUNT_MAX} syncs");
}

#[test]
fn a_write_that_finds_no_space_is_told_and_loses_nothing_confirmed() {
    for number in 1..=WRITE_COUNT_MAX {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("queue");
        let log = folder.path().join("strace");
        let inject = format!("inject=pwrite64:error=ENOSPC:when={number}");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=pwrite64", "-e", &inject, "-o"]);
        command
            .arg(&log)
            .args([PROBE, "once"])
            .arg(&path)
            .arg(COUNT);
        let Some(output) = run(&mut command, "strace") else {
            return;
        };
        let text = String::from_utf8(output.stdout).expect("text");
        let trace = fs::read_to_string(&log).expect("strace writes what it saw");
        assert_kept(&path, &text);
        if !trace.contains("(INJECTED)") {
            assert!(output.status.success(), "nothing failed: {text}");
            return;
        }
        if !text.contains("closing") {
            let told = text.lines().last().expect("it says why it ended");
            assert!(told.starts_with("error "), "{text}");
            assert!(told.contains(&*path.display().to_string()), "{text}");
        }
    }
    panic!("more than {WRITE_COUNT_MAX} writes");
}

/// What was confirmed is there when the file is opened again.
fn assert_kept(path: &Path, text: &str) {
    let client = Client::open(path, Options::default()).expect("it opens again");
    let kept: BTreeSet<String> = client
        .browse(TOPIC)
        .expect("read")
        .iter()
        .map(|message| message.id.to_string())
        .collect();
    for id in text
        .lines()
        .filter_map(|line| line.strip_prefix("published "))
    {
        assert!(kept.contains(id), "{id} was confirmed and is lost");
    }
    client.close().expect("closed");
}

/// Runs a program of the machine; `None`, said aloud, where there is none.
fn run(command: &mut Command, name: &str) -> Option<Output> {
    let output = command.output();
    if output.is_err() {
        skip(&format!("this machine has no {name}"));
    }
    output.ok()
}

/// A skip is a failure where CI is set.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}
