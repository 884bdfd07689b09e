//! A disk that is full or cannot be written.

use std::time::Duration;

use mayhem_tests::rig::{Ended, Rig, Settings, text};

/// Room for the state of a small service, not for much more.
const BYTES: u64 = 16 << 20;

#[test]
fn a_full_disk_at_the_start_is_one_line_that_names_the_file_and_exit_4() {
    let Some(rig) = rig() else { return };
    rig.space().expect("a file system of its own").fill();
    assert_unusable(&rig.daemon().wait(Duration::from_secs(20)), &rig);
}

#[test]
fn a_read_only_disk_at_the_start_is_one_line_that_names_the_file_and_exit_4() {
    let Some(rig) = rig() else { return };
    rig.space()
        .expect("a file system of its own")
        .make_read_only();
    assert_unusable(&rig.daemon().wait(Duration::from_secs(20)), &rig);
}

#[test]
fn a_disk_that_fills_up_stops_the_service_and_nothing_is_lost_once_there_is_space() {
    let Some(rig) = rig() else { return };
    let space = rig.space().expect("a file system of its own");
    let daemon = rig.daemon_ready();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(rig.restart(&["web-1", "web-2"]));
    }
    daemon.await_event("a restart", |event| text(&event["event"]) == "restarted");

    space.fill();
    let ended = daemon.wait(Duration::from_secs(30));

    assert_eq!(ended.code, Some(4), "{}", ended.stdout);
    let log = rig.last_log();
    assert!(log.contains("mandrill.db"), "it names the file: {log}");
    assert!(!log.contains("panicked"), "no panic: {log}");

    space.empty();
    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(60));
    let history = rig.history();
    history.assert_each_ended_once(&ids);
    for target in rig.targets() {
        let most = 1 + history.started(&target);
        assert!(
            rig.starts(&target).len() <= most,
            "{target}: no restart without a verdict"
        );
    }
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

/// A rig on a small disk, or the news that there cannot be one. Where CI is set that is a failure.
fn rig() -> Option<Rig> {
    let settings = Settings {
        settle: "100ms",
        ..Settings::default()
    };
    let binary = env!("CARGO_BIN_EXE_mandrill-under-test");
    let rig = Rig::in_small_space(binary, settings, BYTES);
    if rig.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "this machine allows no mount namespace"
        );
        eprintln!("SKIPPED: this machine allows no mount namespace");
    }
    rig
}

fn assert_unusable(ended: &Ended, rig: &Rig) {
    assert_eq!(ended.code, Some(4), "{}", ended.stdout);
    let log = rig.last_log();
    assert_eq!(log.lines().count(), 1, "one line: {log}");
    assert!(log.contains("mandrill.db"), "it names the file: {log}");
}
