//! Several at once: threads with one journal, journals of one file, processes, and a kill.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::super::{Admission, Journal, Outcome};
use super::{Place, at, group, identity, request, rows};
use crate::config::Group;

/// Tells a child process of these tests where its journal is and what to do there.
const CHILD: &str = "MANDRILL_JOURNAL_CHILD";

#[test]
fn threads_and_connections_admit_one_request_per_target() {
    let place = Place::new();
    let shared = place.open();

    let admitted: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker: u32| {
                let shared = shared.clone();
                let path = place.path();
                scope.spawn(move || {
                    let own = match worker % 2 {
                        0 => shared,
                        _ => Journal::open(&path).unwrap(),
                    };
                    admit_all(&own, &format!("thread-{worker}"))
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });

    assert_one_per_target(&admitted, &shared, 4);
}

#[test]
fn processes_that_all_make_the_file_admit_one_request_per_target() {
    let place = Place::new();

    let children: Vec<Child> = (0..4).map(|_| spawn("race", &place.path())).collect();
    let admitted: Vec<String> = children
        .into_iter()
        .flat_map(|mut child| {
            let lines: Vec<String> = marked_lines(&mut child).collect();
            assert!(child.wait().unwrap().success());
            lines
        })
        .collect();

    assert_one_per_target(&admitted, &place.open(), 4);
    assert!(!place.files().contains(&"mandrill.db.create".to_owned()));
}

#[test]
fn every_intent_that_was_reported_is_found_after_a_kill() {
    for lines in [1, 7, 30] {
        let place = Place::new();
        let mut child = spawn("until-killed", &place.path());
        let mut reported: Vec<String> = Vec::new();
        let mut output = marked_lines(&mut child);
        reported.extend(output.by_ref().take(lines));

        child.kill().unwrap();

        reported.extend(output);
        child.wait().unwrap();
        let journal = place.open();
        let found = journal.open_intents().unwrap();
        for id in &reported {
            let intent = found.iter().find(|intent| intent.id == *id);
            assert_eq!(intent.unwrap().before, Some(identity(1)), "{id}");
        }
        // The kill may have come after a commit and before the word about it, but not twice.
        assert!(found.len() - reported.len() <= 1);
    }
}

/// Not a test of its own: what a child process of the others runs.
#[test]
fn acts_for_another_process() {
    let Some(task) = env::var_os(CHILD) else {
        return;
    };
    let task = task.into_string().unwrap();
    let (task, path) = task.split_once(':').unwrap();
    let journal = Journal::open(&PathBuf::from(path)).unwrap();
    match task {
        "race" => {
            for id in admit_all(&journal, &format!("process-{}", std::process::id())) {
                report(&id);
            }
        }
        _ => {
            for number in 1.. {
                let name = format!("host-{number}");
                let fleet = group("fleet", &[&name]);
                let request = request(&name, &name);
                journal
                    .admit(&request, &fleet, Some(&identity(1)), 1, at(0))
                    .unwrap();
                report(&name);
            }
        }
    }
}

/// Asks for every target once, and returns the ids that were admitted.
fn admit_all(journal: &Journal, who: &str) -> Vec<String> {
    let fleet = fleet();
    let ask = |name: &str| {
        let id = format!("{name} {who}");
        let request = request(&id, name);
        match journal.admit(&request, &fleet, None, 1, at(0)).unwrap() {
            Admission::Go(intent) => Some(intent.id),
            Admission::Wait { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    fleet
        .targets
        .iter()
        .filter_map(|name| ask(name.as_str()))
        .collect()
}

fn fleet() -> Group {
    let names: Vec<String> = (1..=20).map(|number| format!("host-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut fleet = group("fleet", &names);
    fleet.policy.max_concurrent = names.len();
    fleet
}

fn assert_one_per_target(admitted: &[String], journal: &Journal, askers: usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for id in admitted {
        *counts.entry(id.split(' ').next().unwrap()).or_default() += 1;
    }
    assert_eq!(counts.len(), 20);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_eq!(journal.open_intents().unwrap().len(), 20);
    let known = rows(journal);
    assert_eq!(known.len(), 20 * askers);
    assert!(known.iter().all(|(_, outcome)| *outcome == Outcome::Open));
}

fn spawn(task: &str, path: &Path) -> Child {
    let module = module_path!().split_once("::").unwrap().1;
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("{module}::acts_for_another_process"))
        .env(CHILD, format!("{task}:{}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The test harness writes to the same output, and not always whole lines.
fn report(id: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "\nadmitted {id}").unwrap();
    output.flush().unwrap();
}

fn marked_lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .filter_map(|line| line.unwrap().strip_prefix("admitted ").map(str::to_owned))
}
