//! The demo, as somebody sees it who has just cloned the repository.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use mandrill::queue::TOPIC;
use mayhem_tests::rig::{Ended, Rig, Settings, text};
use serde_json::Value;
use vendor_sdk::{Client, Options};

#[test]
fn the_demo_restarts_real_processes_and_its_totals_add_up() {
    let rig = rig();
    let state = rig.file("state").display().to_string();
    let ended = rig.run(&[
        "demo", "--json", "--for", "3s", "--rate", "4/s", "--seed", "1", "--state", &state,
    ]);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary = ended.summary();
    assert_eq!(summary["balanced"], true, "{summary}");
    assert_eq!(summary["outstanding"], 0, "{summary}");
    let published = ids(&ended, &["published"]);
    assert_eq!(summary["published"], published.len(), "{summary}");
    assert!(published.len() >= 5, "{summary}");
    let mut found = ids(
        &ended,
        &["restarted", "blocked", "failed", "lost", "released"],
    );
    found.extend(still_queued(&rig));
    assert_eq!(
        published, found,
        "every published request is finished or still in the queue"
    );
    let restarts: Vec<Value> = ended
        .lines()
        .into_iter()
        .filter(|line| line["event"] == "restarted")
        .collect();
    assert!(!restarts.is_empty(), "{}", ended.stdout);
    for restart in restarts {
        assert_ne!(restart["before"], restart["after"], "{restart}");
        assert!(restart["before"]["pid"].is_u64() && restart["after"]["started"].is_u64());
        assert!(restart["elapsed_ms"].is_u64(), "{restart}");
    }
    assert_eq!(
        rig.processes(),
        Vec::<u32>::new(),
        "nothing of the demo is left running"
    );
}

#[test]
fn every_line_of_the_demo_has_the_documented_fields() {
    let ended = rig().run(&["demo", "--json", "--for", "1s", "--rate", "4/s"]);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.lines() {
        let event = text(&line["event"]);
        if event == "summary" {
            let counts = [
                "received",
                "acked",
                "nacked",
                "released",
                "dead_lettered",
                "expired",
                "abandoned",
                "merged",
                "outstanding",
                "extended",
                "redelivered",
                "restarted",
                "blocked",
                "failed",
                "lost",
                "published",
            ];
            assert!(counts.iter().all(|count| line[count].is_u64()), "{line}");
            for thread in line["threads"].as_array().expect("a list") {
                assert!(
                    thread["name"].is_string() && thread["owner"].is_string(),
                    "{thread}"
                );
                assert!(thread.get("job").is_some(), "{thread}");
            }
            continue;
        }
        assert!(EVENTS.contains(&event), "{line}");
        for field in ["id", "target", "attempt", "at"] {
            assert!(
                line.get(field).is_some() || event == "published",
                "{field}: {line}"
            );
        }
        assert!(text(&line["at"]).ends_with('Z'), "{line}");
    }
}

#[test]
fn the_demo_survives_hosts_and_handlers_that_misbehave() {
    let ended = rig().run(&[
        "demo", "--chaos", "--json", "--for", "4s", "--rate", "6/s", "--seed", "5",
    ]);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary = ended.summary();
    assert_eq!(summary["balanced"], true, "{summary}");
    let went_wrong: u64 = ["failed", "lost"]
        .iter()
        .filter_map(|count| summary[count].as_u64())
        .sum();
    assert!(went_wrong > 0, "chaos shows: {summary}");
}

#[test]
fn the_demo_drains_when_its_reader_goes_away() {
    let rig = rig();
    let mut command = rig.command(&["demo", "--for", "20s", "--rate", "5/s"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut first).expect("a line");
    drop(stdout);

    let mut log = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut log).expect("UTF-8");
    let status = child.wait().expect("our own child");

    assert!(!first.is_empty());
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

fn rig() -> Rig {
    let settings = Settings {
        count: 0,
        ..Settings::default()
    };
    Rig::new(env!("CARGO_BIN_EXE_mandrill-under-test"), settings)
}

/// The ids of the requests that the demo left in its queue.
fn still_queued(rig: &Rig) -> Vec<String> {
    let queue = rig.file("state").join("mandrill.db.queue");
    let client = Client::open(&queue, Options::default()).expect("the queue opens");
    let messages = client.browse(TOPIC).expect("the queue can be read");
    client.close().expect("the queue closes");
    messages
        .iter()
        .map(|message| message.id.to_string())
        .collect()
}

/// The ids of the events named `names`.
fn ids(ended: &Ended, names: &[&str]) -> BTreeSet<String> {
    let is_named = |line: &Value| names.contains(&text(&line["event"]));
    let lines = ended.lines().into_iter().filter(is_named);
    lines.map(|line| text(&line["id"]).to_owned()).collect()
}

/// Every event there is.
const EVENTS: &[&str] = &[
    "published",
    "received",
    "restarted",
    "blocked",
    "failed",
    "lost",
    "retried",
    "postponed",
    "acked",
    "nacked",
    "released",
    "dead_lettered",
    "extended",
    "slow_poll",
    "lease_lost",
    "shutdown",
];
