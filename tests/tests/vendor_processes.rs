//! The vendor SDK in several real processes at once, and in ones that are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vendor_sdk::{Client, Options, Settle, SubscribeOptions};

const TOPIC: &str = "probe";
/// How long something that is to come is waited for: only a defect fails by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that tells what it has been promised.
struct Probe {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: Option<ChildStdin>,
}

impl Probe {
    fn start(arguments: &[&str], path: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sdk-probe"))
            .arg(arguments[0])
            .arg(path)
            .args(&arguments[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the probe starts");
        let stdout = child.stdout.take().expect("piped");
        let stdin = child.stdin.take();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stdin,
        }
    }

    fn tell(&mut self) {
        let stdin = self.stdin.as_mut().expect("not ended yet");
        stdin.write_all(b"go\n").expect("the probe listens");
    }

    /// The next fact; `None` when the process has ended.
    fn fact(&mut self) -> Option<(String, String)> {
        let line = self.lines.next()?.expect("text");
        let (fact, of) = line.split_once(' ').expect("a fact and of what");
        Some((fact.to_owned(), of.to_owned()))
    }

    /// Lets the process end; returns the facts that were left.
    fn end(mut self) -> Vec<(String, String)> {
        drop(self.stdin.take());
        let facts = std::iter::from_fn(|| self.fact()).collect();
        assert!(self.child.wait().expect("it ends").success(), "{facts:?}");
        facts
    }

    /// Kills the process; returns the facts that it had still told.
    fn kill(mut self) -> Vec<(String, String)> {
        self.child.kill().expect("it runs");
        let facts = std::iter::from_fn(|| self.fact()).collect();
        self.child.wait().expect("it ends");
        facts
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Ignored, both: it has ended by itself, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("queue");
    (folder, path)
}

fn browse(path: &Path) -> BTreeSet<String> {
    let client = Client::open(path, Options::default()).expect("it opens");
    let browsed = client.browse(TOPIC).expect("read");
    client.close().expect("closed");
    browsed
        .iter()
        .map(|message| message.id.to_string())
        .collect()
}

#[test]
fn four_processes_that_create_one_file_at_once_all_publish_to_it() {
    for _ in 0..5 {
        let (folder, path) = place();
        let mut probes: Vec<Probe> = (0..4)
            .map(|_| Probe::start(&["publish", "25"], &path))
            .collect();
        for probe in &mut probes {
            probe.tell();
        }
        for probe in &mut probes {
            probe.tell();
        }
        let facts: Vec<_> = probes.into_iter().flat_map(Probe::end).collect();

        let ids: BTreeSet<String> = facts.into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), 200);
        assert_eq!(browse(&path), ids);
        for entry in fs::read_dir(folder.path()).expect("the folder") {
            let metadata = entry.expect("an entry").metadata().expect("it exists");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn a_process_killed_at_any_moment_loses_nothing_confirmed_and_repeats_nothing_acked() {
    let (_folder, path) = place();
    let mut random = fastrand::Rng::with_seed(7);
    let mut published = BTreeSet::new();
    let mut settling = BTreeSet::new();
    // In which round each was acked.
    let mut acked: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..25 {
        let mut probe = Probe::start(&["work"], &path);
        let patience = random.usize(0..400);
        let mut facts: Vec<_> = (0..patience).map_while(|_| probe.fact()).collect();
        assert_eq!(facts.len(), patience, "the probe runs until it is killed");
        facts.extend(probe.kill());
        for (fact, id) in facts {
            match fact.as_str() {
                "published" => assert!(published.insert(id), "published once"),
                "settling" => drop(settling.insert(id)),
                "acked" => drop(acked.insert(id, round)),
                "delivered" => {
                    let before = acked.get(&id).is_some_and(|acked| *acked < round);
                    assert!(!before, "{id} was acked and came back in round {round}");
                }
                other => panic!("{other} {id}"),
            }
        }
        let kept = browse(&path);
        for id in &published {
            assert!(
                kept.contains(id) || settling.contains(id),
                "{id} was lost in round {round}"
            );
        }
        for id in acked.keys() {
            assert!(!kept.contains(id), "{id} was acked and is still there");
        }
    }
    assert!(
        acked.len() > 100 && published.len() > 200,
        "the test has tested something"
    );
}

#[test]
fn what_another_process_publishes_arrives() {
    let (_folder, path) = place();
    let client = Client::open(&path, Options::default()).expect("it opens");
    let acker = client.clone();
    let (arrivals, arrived) = mpsc::channel();
    let _subscription = client
        .subscribe("reader", SubscribeOptions::new(TOPIC), move |leased| {
            let delay = SystemTime::now()
                .duration_since(leased.published_at)
                .unwrap_or_default();
            acker
                .settle(vec![(leased.token, Settle::Ack)])
                .expect("settled");
            // Ignored: the test has ended.
            let _ = arrivals.send((leased.id.to_string(), delay));
        })
        .expect("subscribed");
    let mut probe = Probe::start(&["publish", "1"], &path);
    let mut delays = Vec::new();
    for _ in 0..50 {
        probe.tell();
        let (_, id) = probe.fact().expect("it publishes");
        let (arrived_id, delay) = arrived.recv_timeout(PATIENCE).expect("it arrives");
        assert_eq!(arrived_id, id);
        delays.push(delay);
    }
    probe.end();
    delays.sort_unstable();
    // Reported, not asserted: the machine may be busy. Idle, the worst is below 50 ms.
    println!(
        "seen after {:?} in the middle, {:?} at worst",
        delays[25], delays[49]
    );
}

#[test]
fn a_subscriber_that_takes_over_gets_what_a_killed_one_held() {
    let (_folder, path) = place();
    let mut probe = Probe::start(&["work"], &path);
    while probe.fact().expect("it works").0 != "acked" {}
    probe.kill();
    let kept = browse(&path);
    let client = Client::open(&path, Options::default()).expect("it opens");
    let acker = client.clone();
    let (arrivals, arrived) = mpsc::channel();
    let options = SubscribeOptions {
        takeover: true,
        ..SubscribeOptions::new(TOPIC)
    };
    let _subscription = client
        .subscribe("worker", options, move |leased| {
            acker
                .settle(vec![(leased.token, Settle::Ack)])
                .expect("settled");
            // Ignored: the test has ended.
            let _ = arrivals.send(leased.id.to_string());
        })
        .expect("subscribed");

    // Long before a lease of 60 s runs out, or the patience would end first.
    let got: BTreeSet<String> = kept
        .iter()
        .map(|_| arrived.recv_timeout(PATIENCE / 2).expect("it arrives"))
        .collect();

    assert_eq!(got, kept);
}
