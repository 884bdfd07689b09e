//! Files that are not what they should be.

use std::fs;
use std::time::Duration;

use mayhem_tests::rig::{Rig, Settings};

#[test]
fn garbage_in_place_of_a_database_is_one_clear_line_and_exit_4() {
    for suffix in ["", ".queue"] {
        let rig = rig();
        fs::write(rig.state_file(suffix), noise(20_000)).expect("the folder can be written");

        let ended = rig.daemon().wait(Duration::from_secs(20));

        assert_eq!(ended.code, Some(4), "{}", ended.stdout);
        assert_one_line(&rig.last_log(), &format!("mandrill.db{suffix}"));
        let status = rig.run(&["history", "-c", &rig.config()]);
        assert!(!status.stderr.contains("panicked"), "{}", status.stderr);
    }
}

#[test]
fn a_database_of_another_schema_version_is_one_clear_line_and_exit_4() {
    for suffix in ["", ".queue"] {
        let rig = rig();
        assert_eq!(
            rig.daemon_ready().stop(Duration::from_secs(10)).code,
            Some(0)
        );
        let file = rig.state_file(suffix);
        let mut bytes = fs::read(&file).expect("a database");
        bytes[USER_VERSION..USER_VERSION + 4].copy_from_slice(&4242_u32.to_be_bytes());
        fs::write(&file, bytes).expect("the file can be written");

        let ended = rig.daemon().wait(Duration::from_secs(20));

        assert_eq!(ended.code, Some(4), "{}", ended.stdout);
        assert_one_line(&rig.last_log(), &format!("mandrill.db{suffix}"));
    }
}

#[test]
fn random_bytes_as_the_config_are_one_clear_line_and_exit_2() {
    for length in [1, 10, 1000, 100_000] {
        let rig = rig();
        fs::write(rig.file("mandrill.toml"), noise(length)).expect("the folder can be written");

        let ended = rig.daemon().wait(Duration::from_secs(20));

        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert_one_line(&rig.last_log(), "mandrill.toml");
        assert_eq!(rig.traces(), Vec::<String>::new(), "nothing was created");
    }
}

#[test]
fn a_second_daemon_is_told_who_holds_the_state_and_exits_4() {
    let rig = rig();
    let first = rig.daemon_ready();

    let second = rig.daemon().wait(Duration::from_secs(20));

    assert_eq!(second.code, Some(4), "{}", second.stdout);
    let log = rig.last_log();
    assert!(
        log.contains(&first.pid().to_string()),
        "it names the holder: {log}"
    );
    assert_eq!(first.stop(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn an_unknown_target_is_refused_at_once_with_a_suggestion_and_exit_2() {
    let rig = rig();
    for (target, suggestion) in [("web-11", "web-1"), ("wbe-2", "web-2")] {
        let ended = rig.run(&["restart", target, "--reason", "typo", "-c", &rig.config()]);
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert!(ended.stderr.contains(suggestion), "{}", ended.stderr);
    }
    for target in ["--", "-oProxyCommand=x", "../x", "a b", "$(id)", ""] {
        let ended = rig.run(&[
            "restart",
            "--reason",
            "x",
            "-c",
            &rig.config(),
            "--",
            target,
        ]);
        assert_eq!(ended.code, Some(2), "{target}: {}", ended.stdout);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// Where a SQLite file holds its `user_version`: <https://sqlite.org/fileformat2.html>, 1.3.
const USER_VERSION: usize = 60;

fn rig() -> Rig {
    Rig::new(
        env!("CARGO_BIN_EXE_mandrill-under-test"),
        Settings::default(),
    )
}

/// The same bytes every time, without any structure.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..length).map(|_| random.u8(128..)).collect()
}

fn assert_one_line(log: &str, names: &str) {
    assert_eq!(log.trim_end().lines().count(), 1, "one line: {log}");
    assert!(log.contains(names), "it names {names}: {log}");
    assert!(!log.contains("panicked"), "no panic: {log}");
}
