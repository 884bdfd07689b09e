//! The runner as it is called: by people, who mistype, and by programs, which read what it prints.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mayhem-sim-runner"))
        .args(arguments)
        .output()
        .expect("the runner runs")
}

#[test]
fn wrong_usage_is_told_in_one_line_and_nothing_is_run() {
    for (arguments, told) in [
        (["--seeds", "abc"], "expected a seed, as 7, or a range"),
        (["--seeds", "5..1"], "there is no seed in it"),
        (["--seeds", "3..3"], "there is no seed in it"),
        (["--seeds", "-1..3"], "expected a seed, as 7, or a range"),
        (["--seconds", "0"], "expected a number of seconds above 0"),
        (["--hours", "-1"], "expected a number of hours above 0"),
        (["--hours", "nan"], "expected a number of hours above 0"),
        (["--hours", "1e30"], "more than there are"),
        (["--threads", "0"], "expected a whole number above 0"),
        (["--threads", "-1"], "expected a whole number above 0"),
        (["--messages", "0"], "expected a whole number above 0"),
        (["--messages", "many"], "expected a whole number above 0"),
        (["--replay", "no.tape"], "neither a seed, nor a file"),
    ] {
        let output = run(&arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.contains(told), "{arguments:?}: {text}");
        assert!(arguments.iter().all(|it| first.contains(it)), "{text}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
}

#[test]
fn a_program_that_is_no_runner_has_no_hash() {
    let [missing, other] =
        ["./no-such-program", "/bin/true"].map(|name| run(&["--seeds", "0..2", "--same-as", name]));

    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text(&missing).contains("--same-as ./no-such-program: "));
    assert!(text(&other).contains("and not printed by /bin/true"));
    assert_eq!([missing, other].map(|it| it.status.code()), [Some(1); 2]);
}

#[test]
fn with_json_standard_output_is_one_object() {
    let output = run(&["--seeds", "0..2", "--seconds", "0.01", "--json"]);

    let totals: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let seeds = totals["totals"]["seeds"].as_u64();
    assert!(seeds.is_some_and(|seeds| seeds > 2), "{totals}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [&["--seeds", "0..2"][..], &["--replay", "3"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mayhem-sim-runner"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the runner runs");
        drop(child.stdout.take());

        let output = child.wait_with_output().expect("it ends");

        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
