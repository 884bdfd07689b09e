//! The journal on real files: what it decides, what it keeps, and what it refuses to open.

mod admission;
mod files;
mod history;
mod model;
mod processes;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::{Admission, HistoryFilter, HistoryRow, Intent, Journal, Outcome, Refusal};
use crate::config::{Group, Policy, RestarterSpec};
use crate::fleet::Identity;
use crate::request::Request;
use crate::target::Target;

/// A folder with room for one journal.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mandrill.db")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }

    /// The names of all files, sorted.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Cooldown 60 s, two at a time, spacing 5 s.
fn group(name: &str, targets: &[&str]) -> Group {
    Group {
        name: name.to_owned(),
        armed: true,
        targets: targets.iter().map(|name| target(name)).collect(),
        policy: Policy {
            cooldown: Duration::from_secs(60),
            max_concurrent: 2,
            spacing: Duration::from_secs(5),
            settle: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
        },
        restarter: RestarterSpec::Command {
            argv: vec!["/bin/true".to_owned()],
            timeout: Duration::from_secs(10),
        },
        probe: None,
        boot_id: None,
    }
}

fn web() -> Group {
    group("web", &["web-1", "web-2", "web-3"])
}

fn target(name: &str) -> Target {
    Target::parse(name).unwrap()
}

fn request(id: &str, name: &str) -> Request {
    Request {
        id: id.to_owned(),
        target: target(name),
        reason: "kernel update".to_owned(),
        by: "ops".to_owned(),
        requested_at: at(-1),
    }
}

fn identity(pid: u32) -> Identity {
    Identity::Process {
        pid,
        started: u64::from(pid) * 100,
    }
}

/// A moment, in seconds after the beginning of all tests.
fn at(seconds: i64) -> Timestamp {
    let beginning: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    beginning + SignedDuration::from_secs(seconds)
}

/// Admits a request of the group `web`, whose target is pid 1 before.
fn admit(journal: &Journal, id: &str, name: &str, seconds: i64) -> Admission {
    let request = request(id, name);
    let before = identity(1);
    journal
        .admit(&request, &web(), Some(&before), 1, at(seconds))
        .unwrap()
}

#[track_caller]
fn go(admission: Admission) -> Intent {
    match admission {
        Admission::Go(intent) => intent,
        other => panic!("not admitted: {other:?}"),
    }
}

#[track_caller]
fn row(journal: &Journal, id: &str) -> HistoryRow {
    journal.find(id).unwrap().unwrap()
}

fn rows(journal: &Journal) -> Vec<(String, Outcome)> {
    journal
        .history(&HistoryFilter::default())
        .unwrap()
        .into_iter()
        .map(|row| (row.id, row.outcome))
        .collect()
}

fn refusal(outcome: Outcome, target: Option<&str>) -> Refusal {
    Refusal {
        outcome,
        detail: "no".to_owned(),
        target: target.map(str::to_owned),
        reason: None,
        by: None,
        requested_at: None,
        attempts: 1,
    }
}

/// A connection of no journal, to look at the file or to spoil it.
fn sqlite(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}
