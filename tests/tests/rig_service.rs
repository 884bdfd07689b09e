//! The service and its commands, from outside.

use std::process::Stdio;
use std::time::Duration;

use mayhem_tests::rig::{Rig, Settings, Start, until};
use serde_json::Value;

#[test]
fn restart_waits_for_the_outcome_and_tells_it_by_its_exit_code() {
    let rig = rig(Settings {
        cooldown: "1h",
        ..Settings::default()
    });
    let daemon = rig.daemon_ready();
    let config = rig.config();
    let restart = [
        "restart",
        "web-1",
        "--reason",
        "why not",
        "--wait",
        "--json",
        "-c",
        config.as_str(),
    ];

    let first = rig.run(&restart);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let lines = first.lines();
    assert_eq!(lines[0]["event"], "published");
    assert_eq!(lines[1]["outcome"], "verified", "{}", lines[1]);
    assert_eq!(lines[1]["id"], lines[0]["id"]);
    assert_eq!(lines[1]["reason"], "why not");

    let second = rig.run(&restart);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    let blocked = &second.lines()[1];
    assert_eq!(blocked["outcome"], "blocked", "{blocked}");
    assert!(
        blocked["until"].is_string(),
        "it says when it could pass: {blocked}"
    );
    assert_eq!(
        rig.starts("web-1").len(),
        2,
        "a blocked request restarts nothing"
    );
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn requests_made_while_the_daemon_is_down_are_kept_and_shown() {
    let rig = rig(Settings::default());
    let config = rig.config();
    let waited = rig.run(&[
        "restart",
        "web-1",
        "--reason",
        "early",
        "--wait",
        "--timeout",
        "200ms",
        "-c",
        &config,
    ]);
    assert_eq!(waited.code, Some(5), "{}", waited.stderr);
    let status = rig.status();
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(status["consumer"], Value::Null);
    assert_eq!(status["queue"]["ready"], 1, "{status}");
    assert_eq!(rig.history().outcomes().get("open"), Some(&1));

    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(20));

    assert_eq!(rig.history().outcomes().get("verified"), Some(&1));
    let consumer = &rig.status()["consumer"];
    assert_eq!(consumer["healthy"], true, "{consumer}");
    assert_eq!(consumer["handling"], 0, "{consumer}");
    assert!(consumer["handled_p99_ms"].is_u64(), "{consumer}");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
    assert_eq!(
        rig.history().outcomes().get("verified"),
        Some(&1),
        "also when it is down again"
    );
}

#[test]
fn children_survive_a_killed_daemon_and_the_next_one_adopts_them() {
    let rig = rig(Settings::default());
    rig.daemon_ready().kill();
    let before = children(&rig);
    assert!(
        before.iter().all(Start::is_alive),
        "children outlive their daemon"
    );

    let daemon = rig.daemon_ready();

    assert_eq!(children(&rig), before, "the same processes");
    assert_eq!(rig.starts("web-1").len(), 1, "adopting is not starting");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
    assert!(
        !before.iter().any(Start::is_alive),
        "a clean stop stops them"
    );
}

#[test]
fn a_child_that_dies_by_itself_is_shown_as_down_until_somebody_asks_for_it() {
    let rig = rig(Settings::default());
    let mut daemon = rig.daemon_ready();
    rig.running("web-1").expect("it runs").kill_group();
    until("web-1 is down", Duration::from_secs(10), || {
        (state_of(&rig, "web-1") == "down").then_some(())
    });
    assert_eq!(
        rig.starts("web-1").len(),
        1,
        "nobody starts it behind the operator's back"
    );

    let ids = rig.restart(&["web-1"]);
    rig.await_quiet(&mut daemon, Duration::from_secs(20));

    assert_eq!(rig.history().outcome(&ids[0]), "verified");
    assert_eq!(state_of(&rig, "web-1"), "up");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn a_target_that_does_not_come_back_is_lost_and_takes_no_requests_until_it_is_resumed() {
    let rig = Rig::new(
        BINARY,
        Settings {
            count: 0,
            timeout: "1s",
            ..Settings::default()
        },
    );
    let sick = rig.group(
        "sick",
        1,
        &["--fail-after-starts", "1", "--failure", "unhealthy"],
    );
    let mut daemon = rig.daemon();
    until("the sick child runs", Duration::from_secs(20), || {
        rig.running(&sick[0])
    });

    let first = rig.restart(&["sick-1"]);
    rig.await_quiet(&mut daemon, Duration::from_secs(20));
    assert_eq!(rig.history().outcome(&first[0]), "lost");
    assert_eq!(state_of(&rig, "sick-1"), "lost");

    let second = rig.restart(&["sick-1"]);
    rig.await_quiet(&mut daemon, Duration::from_secs(20));
    assert_eq!(rig.history().outcome(&second[0]), "blocked");
    assert_eq!(rig.starts("sick-1").len(), 2, "a lost target is left alone");

    let resumed = rig.run(&["resume", "sick-1", "-c", &rig.config()]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let third = rig.restart(&["sick-1"]);
    rig.await_quiet(&mut daemon, Duration::from_secs(20));
    assert_eq!(
        rig.history().outcome(&third[0]),
        "lost",
        "it was tried, and is lost again"
    );
    assert_eq!(rig.starts("sick-1").len(), 3);
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn the_service_goes_on_when_its_reader_goes_away() {
    let rig = rig(Settings::default());
    let config = rig.config();
    let mut command = rig.command(&["run", "--json", "-c", &config]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut child = Reaped(child);
    drop(child.0.stdout.take());
    until("the children run", Duration::from_secs(20), || {
        rig.running("web-2")
    });

    let waited = rig.run(&["restart", "web-1", "--reason", "x", "--wait", "-c", &config]);

    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
    assert!(
        child.0.try_wait().expect("our own child").is_none(),
        "it still runs"
    );
}

fn rig(settings: Settings) -> Rig {
    Rig::new(BINARY, settings)
}

/// The child of every target that was started last.
fn children(rig: &Rig) -> Vec<Start> {
    rig.targets()
        .iter()
        .filter_map(|target| rig.starts(target).pop())
        .collect()
}

/// What `status` says about a target.
fn state_of(rig: &Rig, target: &str) -> String {
    let status = rig.status();
    let targets = status["targets"].as_array().expect("a list of targets");
    let found = targets
        .iter()
        .find(|row| row["name"] == target)
        .expect("it is listed");
    mayhem_tests::rig::text(&found["state"]).to_owned()
}

/// Kills a process that was not given to a rig.
struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Ignored, both: it may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_mandrill-under-test");
