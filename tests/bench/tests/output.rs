//! What the benchmark program prints.

use std::collections::BTreeMap;
use std::process::Command;

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
        assert!(0.0 < min && min <= value && value <= max, "{row}");
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
        "bridge_2x_boxed64",
        "bridge_4x_boxed64",
        "portal_round_trip",
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
