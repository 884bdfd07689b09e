//! The daemon is killed at each step of a restart, wherever the source names a fault point.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use mayhem_tests::rig::{Daemon, Rig, Settings};

#[test]
fn a_kill_at_any_step_of_restarting_a_child_gives_one_restart_and_one_verdict() {
    let mut hit = BTreeSet::new();
    for point in fault_points()
        .into_iter()
        .filter(|point| !point.starts_with("open."))
    {
        let rig = Rig::new(
            env!("CARGO_BIN_EXE_mandrill-under-test"),
            Settings::default(),
        );
        // The first children are started without a fault: a restart is what is looked at.
        rig.daemon_ready().kill();
        let faulty = rig.daemon_with(&[("MANDRILL_FAULT", &point)]);
        let ids = rig.restart(&["web-1"]);
        if !dies_or_finishes(&rig, faulty, &ids) {
            continue;
        }
        hit.insert(point.clone());

        let mut daemon = rig.daemon_ready();
        rig.await_quiet(&mut daemon, Duration::from_secs(30));
        let history = rig.history();
        history.assert_each_ended_once(&ids);
        assert_eq!(history.outcome(&ids[0]), "verified", "killed at {point}");
        assert_eq!(
            rig.starts("web-1").len(),
            2,
            "killed at {point}: one request, one restart"
        );
        assert_eq!(
            rig.starts("web-2").len(),
            1,
            "killed at {point}: nobody asked for web-2"
        );
        assert_eq!(
            daemon.stop(Duration::from_secs(10)).code,
            Some(0),
            "after {point}"
        );
    }
    assert!(hit.len() >= 15, "a restart has more steps than {hit:?}");
}

#[test]
fn a_kill_at_any_step_of_a_restart_by_command_runs_it_at_most_once() {
    let mut hit = BTreeSet::new();
    for point in fault_points()
        .into_iter()
        .filter(|point| !point.starts_with("open."))
    {
        let rig = Rig::new(
            env!("CARGO_BIN_EXE_mandrill-under-test"),
            Settings {
                count: 0,
                timeout: "2s",
                ..Settings::default()
            },
        );
        let scripts = Scripts::write(&rig);
        let faulty = rig.daemon_with(&[("MANDRILL_FAULT", &point)]);
        let ids = rig.restart(&["db-1"]);
        if !dies_or_finishes(&rig, faulty, &ids) {
            continue;
        }
        hit.insert(point.clone());

        let mut daemon = rig.daemon_ready();
        rig.await_quiet(&mut daemon, Duration::from_secs(30));
        let history = rig.history();
        history.assert_each_ended_once(&ids);
        let outcome = history.outcome(&ids[0]);
        let runs = scripts.runs();
        assert!(runs <= 1, "killed at {point}: the command ran {runs} times");
        let is_told_as_it_was = match outcome {
            "verified" => runs == 1,
            other => other == "failed",
        };
        assert!(
            is_told_as_it_was,
            "killed at {point}: {outcome} after {runs} runs"
        );
        assert_eq!(
            daemon.stop(Duration::from_secs(10)).code,
            Some(0),
            "after {point}"
        );
    }
    assert!(
        hit.len() >= 12,
        "a restart by command has more steps than {hit:?}"
    );
}

#[test]
fn a_kill_at_any_step_of_the_first_start_leaves_one_child_per_target() {
    let mut hit = BTreeSet::new();
    for point in fault_points()
        .into_iter()
        .filter(|point| point.starts_with("open."))
    {
        let rig = Rig::new(
            env!("CARGO_BIN_EXE_mandrill-under-test"),
            Settings::default(),
        );
        let faulty = rig.daemon_with(&[("MANDRILL_FAULT", &point)]);
        let ended = faulty.wait(Duration::from_secs(20));
        assert_eq!(
            ended.signal,
            Some(9),
            "it died at {point}: {}",
            ended.stdout
        );
        hit.insert(point.clone());

        let daemon = rig.daemon_ready();
        // The daemon itself, and one child per target.
        assert_eq!(
            rig.processes().len(),
            1 + rig.targets().len(),
            "killed at {point}"
        );
        assert_eq!(
            daemon.stop(Duration::from_secs(10)).code,
            Some(0),
            "after {point}"
        );
        assert_eq!(
            rig.processes(),
            Vec::<u32>::new(),
            "after {point} all children are stopped"
        );
    }
    assert!(
        hit.len() >= 5,
        "starting a child has more steps than {hit:?}"
    );
}

/// Waits until `daemon` has died at its fault point, and says so, or has finished the request
/// without passing it.
fn dies_or_finishes(rig: &Rig, mut daemon: Daemon, ids: &[String]) -> bool {
    let mut is_finished = false;
    mayhem_tests::rig::until(
        "the daemon dies or finishes",
        Duration::from_secs(30),
        || {
            is_finished = rig.history().outcome_or_open(&ids[0]) != "open";
            (is_finished || daemon.has_ended()).then_some(())
        },
    );
    if !is_finished || daemon.has_ended() {
        let ended = daemon.wait(Duration::from_secs(10));
        assert_eq!(
            ended.signal,
            Some(9),
            "it died at the fault point: {}",
            ended.stdout
        );
        return true;
    }
    // A point after the verdict, in the acknowledgement or in the stop, is still to come.
    let ended = daemon.stop(Duration::from_secs(20));
    ended.signal == Some(9)
}

/// The names of the program's fault points: the string literals in its source that start like one.
fn fault_points() -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/src"),
        &mut points,
    );
    assert!(
        points.len() >= 10,
        "the program has fault points: {points:?}"
    );
    points
}

fn collect(folder: &Path, points: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the program's source") {
        let path = entry.expect("an entry of the source").path();
        if path.is_dir() {
            collect(&path, points);
            continue;
        }
        let text = fs::read_to_string(&path).expect("source is text");
        let is_point = |literal: &&str| {
            let starts_like_one = PARTS.iter().any(|part| literal.starts_with(part));
            let is_name = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '-');
            starts_like_one && literal.chars().all(is_name)
        };
        points.extend(text.split('"').filter(is_point).map(str::to_owned));
        for call in text.split("fault::point(\"").skip(1) {
            let name = call.split('"').next().unwrap_or_default();
            assert!(points.contains(name), "{name}: add its first part to PARTS");
        }
    }
}

/// How the names of fault points start.
const PARTS: &[&str] = &["restart.", "open.", "command.", "journal."];

/// A host that is only a file: restarting it writes another boot id.
struct Scripts {
    log: std::path::PathBuf,
}

impl Scripts {
    fn write(rig: &Rig) -> Self {
        let log = rig.file("restarts");
        let boot_id = rig.file("boot-id");
        fs::write(&boot_id, "first\n").expect("the folder can be written");
        let restart = rig.file("restart.sh");
        let text = format!(
            "#!/bin/sh\necho \"$1\" >> {}\ncat /proc/sys/kernel/random/uuid > {}\n",
            log.display(),
            boot_id.display()
        );
        fs::write(&restart, text).expect("the folder can be written");
        fs::set_permissions(&restart, fs::Permissions::from_mode(0o755)).expect("own file");
        let config = fs::read_to_string(rig.file("mandrill.toml")).expect("the config is there");
        rig.write_config(&format!(
            "{config}
[[group]]
name = \"db\"
armed = true
targets = [\"db-1\"]
boot_id = {{ argv = [\"/bin/cat\", \"{}\"] }}
restarter = {{ kind = \"command\", argv = [\"{}\", \"{{target}}\"], timeout = \"2s\" }}
",
            boot_id.display(),
            restart.display()
        ));
        Self { log }
    }

    fn runs(&self) -> usize {
        fs::read_to_string(&self.log)
            .unwrap_or_default()
            .lines()
            .count()
    }
}
