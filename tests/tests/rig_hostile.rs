//! Requests that nobody sane would send, published as raw bytes past our own command line.

use std::time::Duration;

use mandrill::queue::TOPIC;
use mayhem_tests::rig::{Rig, Settings};
use serde_json::json;
use vendor_sdk::{Client, Options, Outgoing};

#[test]
fn hostile_payloads_are_dead_lettered_and_nothing_of_them_is_executed_or_printed_bare() {
    let rig = Rig::new(
        env!("CARGO_BIN_EXE_mandrill-under-test"),
        Settings::default(),
    );
    let mut daemon = rig.daemon_ready();
    let canary = rig.file("canary");
    let payloads = payloads(&canary.display().to_string());
    let count = payloads.len();

    let client =
        Client::open(&rig.state_file(".queue"), Options::default()).expect("the queue opens");
    let messages = payloads.into_iter().map(Outgoing::from).collect();
    let ids = client
        .publish(TOPIC, messages)
        .expect("raw bytes are published");
    client.close().expect("the queue closes");
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    rig.await_quiet(&mut daemon, Duration::from_secs(30));

    let history = rig.history();
    history.assert_each_ended_once(&ids);
    for id in &ids {
        let outcome = history.outcome(id);
        let is_refused = matches!(outcome, "malformed" | "unknown-target");
        assert!(is_refused, "{}", history.row(id));
    }
    assert_eq!(
        rig.status()["queue"]["dead"],
        count,
        "each is a dead letter"
    );
    assert!(!canary.exists(), "nothing was executed");
    for target in rig.targets() {
        assert_eq!(rig.starts(&target).len(), 1, "nobody was restarted");
    }
    let plain = rig.run(&["history", "-c", &rig.config()]);
    assert_eq!(plain.code, Some(0));
    let ended = daemon.stop(Duration::from_secs(10));
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.summary()["dead_lettered"], count);
    let log = rig.logs().concat();
    for output in [&plain.stdout, &ended.stdout, &log] {
        let bare = output
            .chars()
            .find(|&c| (c.is_control() && c != '\n') || is_bidi(c));
        assert_eq!(bare, None, "output is escaped: {output:?}");
    }
}

#[test]
fn a_good_request_beside_hostile_ones_is_carried_out() {
    let rig = Rig::new(
        env!("CARGO_BIN_EXE_mandrill-under-test"),
        Settings::default(),
    );
    let client =
        Client::open(&rig.state_file(".queue"), Options::default()).expect("the queue opens");
    client
        .publish(TOPIC, vec![vec![0xff, 0xfe].into()])
        .expect("raw bytes are published");
    client.close().expect("the queue closes");
    let ids = rig.restart(&["web-1"]);

    let mut daemon = rig.daemon_ready();
    rig.await_quiet(&mut daemon, Duration::from_secs(30));

    assert_eq!(rig.history().outcome(&ids[0]), "verified");
    assert_eq!(daemon.stop(Duration::from_secs(10)).code, Some(0));
}

/// Targets and whole payloads; where one was executed, the file `canary` would appear.
fn payloads(canary: &str) -> Vec<Vec<u8>> {
    let targets = [
        format!("-oProxyCommand=touch {canary}"),
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("; touch {canary} #"),
        "../x".to_owned(),
        "../../etc/passwd".to_owned(),
        "a b".to_owned(),
        "$(id)".to_owned(),
        "web-1\0".to_owned(),
        "web-1\n".to_owned(),
        "WEB-1".to_owned(),
        String::new(),
        "\u{1b}[2J\u{1b}]0;owned\u{7}".to_owned(),
        "\u{202e}1-bew".to_owned(),
        "web-\u{200b}1".to_owned(),
        "a".repeat(254),
        "web-99".to_owned(),
    ];
    let mut payloads: Vec<Vec<u8>> = targets.iter().map(|target| request(target)).collect();
    payloads.extend([
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{\"v\":1".to_vec(),
        b"{\"v\":2,\"target\":\"web-1\"}".to_vec(),
        vec![0; 100],
        vec![0xff, 0xfe, 0x80],
        vec![b'a'; 1 << 20],
        b"[".repeat(16_000),
        b"{\"v\":".repeat(3_000),
        request_with_more("web-1"),
    ]);
    payloads
}

/// A well-formed request for a name that is none.
fn request(target: &str) -> Vec<u8> {
    let request = json!({
        "v": 1,
        "target": target,
        "reason": "\u{1b}[31m\u{202e}because\r\nforged line",
        "by": "\u{7}mallory",
        "requested_at": "2026-01-31T09:30:00Z",
    });
    request.to_string().into_bytes()
}

/// A request for a real target with a field that nobody knows.
fn request_with_more(target: &str) -> Vec<u8> {
    let text = String::from_utf8(request(target)).expect("JSON is UTF-8");
    text.replacen('{', "{\"argv\":[\"sh\"],", 1).into_bytes()
}

fn is_bidi(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
