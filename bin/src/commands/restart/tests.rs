use std::path::Path;

use super::{known_targets, requests_for, verdict};
use crate::config::check;
use crate::exit::Exit;
use crate::journal::{HistoryRow, Outcome};
use crate::target::Target;

fn row(outcome: Outcome) -> HistoryRow {
    HistoryRow {
        id: String::new(),
        target: None,
        reason: None,
        by: None,
        outcome,
        detail: None,
        until: None,
        attempts: 0,
        requested_at: None,
        finished_at: None,
        before: None,
        after: None,
    }
}

fn exit(outcomes: &[Outcome]) -> Exit {
    let rows: Vec<_> = outcomes.iter().copied().map(row).collect();
    verdict(&rows).map_or_else(|failure| failure.exit(), |()| Exit::Done)
}

#[test]
fn the_exit_of_a_wait_is_the_worst_that_happened() {
    use Outcome::{Blocked, Failed, Lost, Open, UnknownTarget, Verified};
    assert_eq!(exit(&[Verified, Verified]), Exit::Done);
    assert_eq!(exit(&[Verified, Blocked]), Exit::Blocked);
    assert_eq!(exit(&[Blocked, Open]), Exit::TimedOut);
    assert_eq!(exit(&[Open, Failed]), Exit::Error);
    assert_eq!(exit(&[Lost]), Exit::Error);
    assert_eq!(exit(&[UnknownTarget]), Exit::Error);
}

#[test]
fn every_wrong_target_is_named_with_what_was_meant() {
    let text = r#"[[group]]
name = "web"
restarter = { kind = "process", argv = ["x"], count = 2, first_port = 1 }
"#;
    let config = check(text, Path::new("")).config.unwrap();
    let known = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        known_targets(&config, &names, Path::new("m.toml"))
    };

    let failure = known(&["web-1", "wbe-2", "-x\u{1b}"]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert_eq!(
        failure.message(),
        "\"wbe-2\": m.toml has no such target; did you mean web-2?, \"-x\\u{1b}\": a target name \
         has only a-z, 0-9, '.', '_' and '-' (see byte 3) (nothing was done)"
    );
    let twice = known(&["web-2", "web-1", "web-2"]).unwrap();
    assert_eq!(
        twice.iter().map(Target::as_str).collect::<Vec<_>>(),
        ["web-2", "web-1"]
    );
}

#[test]
fn a_reason_is_required_and_bounded() {
    let target = [Target::parse("web-1").unwrap()];
    assert_eq!(requests_for(&target, "  ").unwrap_err().exit(), Exit::Usage);
    assert_eq!(
        requests_for(&target, &"x".repeat(1025)).unwrap_err().exit(),
        Exit::Usage
    );
    assert_eq!(
        requests_for(&target, "a\nb").unwrap_err().exit(),
        Exit::Usage
    );
    let request = &requests_for(&target, &"x".repeat(1024)).unwrap()[0];
    assert!(request.by.starts_with("uid:"), "{}", request.by);
}
