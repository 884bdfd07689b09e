use std::time::Duration;

use super::{BranchError, BranchFailure, Joined};
use crate::Verdict;

fn joined(errors: Vec<(&'static str, bool, BranchError)>) -> Joined {
    let failures = errors
        .into_iter()
        .map(|(branch, required, error)| BranchFailure {
            branch,
            required,
            error,
        })
        .collect();
    Joined { failures }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn without_failures_the_verdict_is_an_ack() {
    assert_eq!(joined(Vec::new()).verdict(), Verdict::Ack);
    assert!(joined(Vec::new()).is_ok());
}

#[test]
fn an_optional_branch_does_not_touch_the_verdict() {
    let joined = joined(vec![("notify", false, BranchError::dead("no such room"))]);

    assert_eq!(joined.verdict(), Verdict::Ack);
    assert!(joined.is_ok());
}

#[test]
fn dead_comes_before_retry_and_retry_before_postpone() {
    let postpone = || ("a", true, BranchError::postpone(seconds(60), "too early"));
    let retry = || ("b", true, BranchError::retry("timeout"));
    let dead = || ("c", true, BranchError::dead("no such host"));

    assert_eq!(
        joined(vec![postpone()]).verdict(),
        Verdict::Postpone { after: seconds(60) }
    );
    assert_eq!(
        joined(vec![postpone(), retry()]).verdict(),
        Verdict::Retry { after: None }
    );
    let all = joined(vec![postpone(), retry(), dead()]);
    assert_eq!(all.verdict(), Verdict::Dead("c: no such host".to_owned()));
    assert!(!all.is_ok());
}

#[test]
fn a_panic_is_a_retry() {
    let joined = joined(vec![("a", true, BranchError::Panicked("oh".to_owned()))]);

    assert_eq!(joined.verdict(), Verdict::Retry { after: None });
}

#[test]
fn the_longest_delay_that_was_asked_for_is_taken() {
    let retries = joined(vec![
        ("a", true, BranchError::retry_after(seconds(2), "x")),
        ("b", true, BranchError::retry("x")),
        ("c", true, BranchError::retry_after(seconds(7), "x")),
    ]);
    let postponed = joined(vec![
        ("a", true, BranchError::postpone(seconds(9), "x")),
        ("b", true, BranchError::postpone(seconds(4), "x")),
        ("c", false, BranchError::postpone(seconds(99), "x")),
    ]);

    assert_eq!(
        retries.verdict(),
        Verdict::Retry {
            after: Some(seconds(7))
        }
    );
    assert_eq!(postponed.verdict(), Verdict::Postpone { after: seconds(9) });
}

#[test]
fn every_reason_for_a_dead_letter_is_named_with_its_sources() {
    #[derive(Debug)]
    struct Outer(std::fmt::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot write")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let joined = joined(vec![
        ("a", true, BranchError::dead(Outer(std::fmt::Error))),
        ("b", true, BranchError::dead("no such host")),
    ]);

    let cause = std::fmt::Error.to_string();
    assert_eq!(
        joined.verdict(),
        Verdict::Dead(format!("a: cannot write: {cause}; b: no such host"))
    );
}
