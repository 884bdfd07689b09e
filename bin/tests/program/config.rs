//! Configs from outside: written, checked, and refused by every command that reads one.

use std::fs;
use std::io::Write;

use serde_json::Value;

use crate::place::{CONFIG, Place};

#[test]
fn a_missing_config_is_one_line_that_says_what_to_do() {
    let place = Place::empty();
    for arguments in [
        &["run"][..],
        &["status"],
        &["history", "--json"],
        &["check-config"],
        &["resume", "web-1"],
        &["restart", "web-1", "--reason", "x"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(
            ended.stderr.starts_with("mandrill: ./mandrill.toml: "),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("mandrill init"), "{}", ended.stderr);
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn check_config_names_every_problem_with_its_line_and_what_was_meant() {
    let place = Place::new(&format!(
        "[service]\nstat = \"x\"\n[policy]\ncooldwn = 7\n{CONFIG}"
    ));

    let ended = place.run(&["check-config", "mandrill.toml"]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stdout,
        "mandrill.toml:2: unknown key `stat` in [service]; did you mean `state`?\n\
         mandrill.toml:4: unknown key `cooldwn` in [policy]; did you mean `cooldown`?\n"
    );
    assert_eq!(ended.stderr, "mandrill: mandrill.toml: 2 problems\n");

    let ended = place.run(&["check-config", "mandrill.toml", "--json"]);
    assert_eq!(ended.code, Some(2));
    let report = &ended.json()[0];
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"][0]["line"], 2);
    assert_eq!(report["problems"][1]["suggestion"], "cooldown");

    let ended = place.run(&["run"]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "mandrill: ./mandrill.toml:2: unknown key `stat` in [service]; did you mean `state`? (and \
         1 more: `mandrill check-config ./mandrill.toml`)\n"
    );
}

#[test]
fn check_config_shows_the_policy_that_each_group_gets() {
    let place = Place::new(&format!(
        "[policy]\nsettle = \"3s\"\n{CONFIG}cooldown = \"1h\"\n"
    ));

    let ended = place.run(&["check-config"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .contains("warning: group \"web\" loosens `cooldown`"),
        "{}",
        ended.stdout
    );
    let row = ended.stdout.lines().last().unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "web", "3", "process", "yes", "1h", "1", "30s", "3s", "10m", "none"
        ]
    );

    let report = &place.run(&["check-config", "--json"]).json()[0];
    assert_eq!(report["groups"][0]["targets"][2], "web-3");
    assert_eq!(report["groups"][0]["spacing"], "30s");
}

#[test]
fn init_writes_a_config_that_passes_and_never_replaces_one() {
    let place = Place::empty();

    let ended = place.run(&["init"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = place.run(&["check-config"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let written = fs::read_to_string(place.folder.path().join("mandrill.toml")).unwrap();
    // Where the build folder is a link, the program knows itself by the real path.
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_mandrill")).unwrap();
    let program = program.to_str().unwrap();
    assert!(written.contains(program), "the program's own path");

    let ended = place.run(&["init"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--force"), "{}", ended.stderr);
    assert_eq!(place.run(&["init", "--force"]).code, Some(0));
    assert_eq!(place.run(&["init", "--stdout"]).stdout, written);
}

#[test]
fn failures_are_json_too_where_logs_are() {
    let place = Place::new("nonsense");

    let ended = place.run(&["run", "--log", "json"]);

    assert_eq!(ended.code, Some(2));
    let line: Value = serde_json::from_str(ended.stderr.trim_end()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .contains("./mandrill.toml:1: this is no TOML")
    );
}

#[test]
fn hostile_bytes_as_the_config_are_one_escaped_line_and_exit_2() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut corpus: Vec<Vec<u8>> = (0..20)
        .map(|number| (0..1 << (number % 14)).map(|_| random.u8(..)).collect())
        .collect();
    corpus.extend([
        b"\x1b[2J\x1b]0;owned\x07 = 1".to_vec(),
        "\u{202e}key = 1".as_bytes().to_vec(),
        "[".repeat(50_000).into_bytes(),
        "a.".repeat(50_000).into_bytes(),
        format!("x = {}", "{a=".repeat(10_000)).into_bytes(),
    ]);
    for bytes in corpus {
        let place = Place::new("");
        let mut file = fs::File::create(place.folder.path().join("mandrill.toml")).unwrap();
        file.write_all(&bytes).unwrap();

        let ended = place.run(&["run"]);

        let is_dangerous = |found: char| found.is_control() && found != '\n' || found == '\u{202e}';
        assert_eq!(ended.code, Some(2), "{bytes:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains(is_dangerous), "{:?}", ended.stderr);
        assert_eq!(place.run(&["check-config"]).code, Some(2));
        assert_eq!(place.files(), ["mandrill.toml"]);
    }
}
