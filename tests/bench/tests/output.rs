//! What the benchmark program prints.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn each_case_prints_one_json_line_per_peer_and_ours_is_among_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .args(["bridge", "--quick", "--json"])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");

    let mut peers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a JSON line");
        let [value, min, max] =
            ["value", "min", "max"].map(|field| row[field].as_f64().expect("a number"));
        // A bridge that allocates nothing has reached what there is to reach.
        let least_is_zero = row["unit"] == "allocs/msg";
        assert!(min > 0.0 || (least_is_zero && min == 0.0), "{row}");
        assert!(min <= value && value <= max, "{row}");
        assert!(row["n"].as_u64().is_some_and(|n| n > 0), "{row}");
        let is_per_message = row["unit"] == "ns/msg";
        assert_eq!(row.get("median_ns").is_some(), is_per_message, "{row}");
        let [case, peer] = ["case", "peer"].map(|field| row[field].as_str().expect("a name"));
        peers
            .entry(case.to_owned())
            .or_default()
            .push(peer.to_owned());
    }
    let cases: Vec<&str> = peers.keys().map(String::as_str).collect();
    let expected = [
        "bridge_1x_boxed64",
        "bridge_1x_executors",
        "bridge_2x_boxed64",
        "bridge_4x_boxed64",
        "bridge_4x_executors",
        "bridge_4x_word",
        "bridge_allocations",
        "bridge_wake_latency",
        "portal_round_trip",
        "portal_round_trip_spinning",
    ];
    assert_eq!(cases, expected);
    for (case, peers) in &peers {
        assert_eq!(
            peers.iter().filter(|peer| *peer == "mayhem").count(),
            1,
            "{case}: {peers:?}"
        );
        assert!(
            peers.len() >= 2,
            "{case} has somebody to be compared with: {peers:?}"
        );
    }
}

#[test]
fn callgrind_counts_the_instructions_of_every_peer() {
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .args(["instructions", "--quick", "--json"])
        .output()
        .expect("the program starts");
    // Fails without valgrind; on Debian: sudo apt-get install valgrind
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert!(rows.len() > 2 && rows[0]["peer"] == "mayhem", "{text}");
    for row in rows {
        assert_eq!(row["case"], "bridge_instructions");
        assert_eq!(row["unit"], "instr/msg");
        assert!(
            row["value"].as_f64().is_some_and(|value| value > 10.0),
            "{row}"
        );
    }
}

#[test]
fn the_table_says_which_targets_are_met() {
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .args(["bridge", "--quick"])
        .output()
        .expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, targets) = text.split_once("targets\n").expect("they stand at the end");
    let lines: Vec<&str> = targets.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 10, "{targets}");
    let is_judged = |line: &&str| line.starts_with("  met ") || line.starts_with("  NOT MET ");
    assert!(lines.iter().all(is_judged), "{targets}");
}

#[test]
fn the_engine_is_measured_beside_its_peers_and_goroutines_are_missed_where_go_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .args(["engine", "--quick"])
        .env("PATH", "")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("go is missing"), "{told}");

    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (cases, targets) = text.split_once("targets\n").expect("they stand at the end");
    let rows = |name: &str| cases.lines().filter(|line| line.starts_with(name)).count();
    let names = ["engine  ", "end_to_end  ", "engine_two_cores  "];
    assert_eq!(names.map(rows), [1; 3], "{text}");
    assert!(rows("  mayhem ") > 3, "{text}");
    assert_eq!(rows("  tokio_lease_in_task "), 1, "{text}");
    assert_eq!(rows("  go_goroutines "), 0, "{text}");
    let absent = targets.lines().filter(|line| line.contains("absent "));
    let absent: Vec<&str> = absent.collect();
    assert!(
        absent.len() == 1 && absent[0].contains("go_goroutines"),
        "{text}"
    );
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .arg("nothing")
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("bridge"),
        "it lists what there is"
    );
}

#[test]
fn what_the_program_would_ask_itself_for_and_is_not_there_is_told() {
    for (option, told) in [
        ("--under-callgrind", "no peer is called nobody"),
        ("--in-hand", "no stage is called nobody"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
            .args(["engine", option, "nobody"])
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.trim(), format!("mayhem-bench: {told}"));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayhem-bench"))
        .args(["local", "--quick", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());

    let output = child.wait_with_output().expect("it ends");

    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
