//! The command line from outside: what is printed where, and the exit codes. No daemon is needed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::place::{CONFIG, Ended, Place};

#[test]
fn every_command_explains_itself_with_examples() {
    let place = Place::empty();
    for command in [
        "demo",
        "init",
        "check-config",
        "run",
        "restart",
        "status",
        "history",
        "resume",
        "demo-child",
        "demo-publish",
    ] {
        let ended = place.run(&[command, "--help"]);
        assert_eq!(ended.code, Some(0), "{command}");
        assert!(
            ended.stdout.contains("Examples:"),
            "{command}: {}",
            ended.stdout
        );
        assert!(
            ended.stdout.contains("--json"),
            "{command}: {}",
            ended.stdout
        );
    }
    let ended = place.run(&["--help"]);
    assert!(
        !ended.stdout.contains("demo-child"),
        "hidden: {}",
        ended.stdout
    );
}

#[test]
fn wrong_usage_exits_2_on_standard_error_only() {
    let place = Place::new(CONFIG);
    for arguments in [
        &["restart"][..],
        &["restart", "web-1"],
        &["nonsense"],
        &["demo", "--rate", "fast"],
        &["history", "--since", "yesterday"],
        &["restart", "web-1", "--reason", ""],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn looking_at_a_state_that_is_not_there_shows_nothing_and_makes_nothing() {
    let place = Place::new(CONFIG);

    let history = place.run(&["history", "--json"]);
    assert_eq!((history.code, history.stdout.as_str()), (Some(0), ""));
    assert_eq!(place.run(&["history"]).stdout, "no requests\n");
    let ended = place.run(&["status", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let status = &ended.json()[0];
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(status["targets"].as_array().unwrap().len(), 3);
    assert_eq!(status["targets"][0]["name"], "web-1");
    assert_eq!(status["targets"][0]["group"], "web");
    assert_eq!(status["queue"]["ready"], 0);
    assert_eq!(status["open_intents"], Value::Array(Vec::new()));
    assert_eq!(status["threads"], Value::Array(Vec::new()));
    assert_eq!(place.run(&["status"]).code, Some(0));
    assert_eq!(place.run(&["resume", "web-1"]).code, Some(0));

    assert_eq!(place.files(), ["mandrill.toml"]);
}

#[test]
fn a_request_is_published_without_a_daemon_and_waits_in_the_history() {
    let place = Place::new(CONFIG);

    let arguments = [
        "restart",
        "web-1",
        "web-2",
        "web-1",
        "--reason",
        "new kernel",
        "--json",
    ];
    let ended = place.run(&arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let published = ended.json();
    let targets: Vec<_> = published.iter().map(|event| &event["target"]).collect();
    assert_eq!(targets, ["web-1", "web-2"]);
    assert!(published.iter().all(|event| event["event"] == "published"));
    assert!(ended.stderr.contains("given twice"), "{}", ended.stderr);

    let rows = place.run(&["history", "--json"]).json();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["id"], published[0]["id"]);
    for key in [
        "id",
        "target",
        "reason",
        "by",
        "outcome",
        "detail",
        "until",
        "attempts",
        "requested_at",
        "finished_at",
        "before",
        "after",
    ] {
        assert!(rows[0].as_object().unwrap().contains_key(key), "{key}");
    }
    assert_eq!(rows[0]["outcome"], "open");
    assert_eq!(rows[0]["reason"], "new kernel");
    assert!(rows[0]["by"].as_str().unwrap().starts_with("uid:"));
    assert_eq!(
        place
            .run(&["history", "--json", "--target", "web-2"])
            .json()
            .len(),
        1
    );
    assert_eq!(
        place.run(&["status", "--json"]).json()[0]["queue"]["ready"],
        2
    );
}

#[test]
fn waiting_without_a_daemon_times_out_with_5_and_prints_the_open_request() {
    let place = Place::new(CONFIG);

    let arguments = [
        "restart",
        "web-3",
        "--reason",
        "x",
        "--wait",
        "--timeout",
        "200ms",
        "--json",
    ];
    let ended = place.run(&arguments);

    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let lines = ended.json();
    assert_eq!(lines.len(), 2, "{}", ended.stdout);
    assert_eq!(lines[1]["outcome"], "open");
    assert_eq!(lines[1]["id"], lines[0]["id"]);
}

#[test]
fn an_unknown_target_publishes_nothing_at_all() {
    let place = Place::new(CONFIG);

    let ended = place.run(&["restart", "web-1", "wbe-2", "--reason", "x"]);

    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout, "");
    assert!(
        ended.stderr.contains("did you mean web-2?"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.files(), ["mandrill.toml"]);
    let ended = place.run(&["resume", "web-4"]);
    assert_eq!(ended.code, Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new(CONFIG);
    let targets: Vec<String> = (1..=3).map(|number| format!("web-{number}")).collect();
    let mut arguments = vec!["restart", "--reason", "x"];
    arguments.extend(targets.iter().map(String::as_str));
    assert_eq!(place.run(&arguments).code, Some(0));

    for arguments in [
        &["history"][..],
        &["history", "--json"],
        &["status"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "",
            "{arguments:?}"
        );
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let place = Place::new(CONFIG);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();

    let output = place.command(&["status"]).stdout(full).output().unwrap();

    let ended = Ended::new(output);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("standard output"), "{}", ended.stderr);
}

#[test]
fn closed_standard_error_is_no_panic() {
    let place = Place::new(CONFIG);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let mut command = place.command(&["restart", "web-9", "--reason", "x"]);
    let status = command.stderr(writer).status().unwrap();

    assert_eq!(status.code(), Some(2));
}

#[test]
fn garbage_in_place_of_the_state_is_one_line_that_names_the_file_and_exit_4() {
    for name in ["mandrill.db", "mandrill.db.queue"] {
        let place = Place::new(CONFIG);
        fs::write(place.folder.path().join(name), vec![0xa5; 8192]).unwrap();

        for arguments in [
            &["history"][..],
            &["status"],
            &["restart", "web-1", "--reason", "x"],
        ] {
            let ended = place.run(arguments);
            if arguments[0] == "restart" && Path::new(name).extension() == Some("db".as_ref()) {
                // The journal is the daemon's business; a request only needs the queue.
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
                continue;
            }
            assert_eq!(
                ended.code,
                Some(4),
                "{name} {arguments:?}: {}",
                ended.stderr
            );
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            assert!(ended.stderr.contains(name), "{}", ended.stderr);
        }
    }
}
