use std::time::Duration;

use super::{BranchError, BranchFailure, Names, Raced};
use crate::Verdict;

fn raced(missing: usize, errors: Vec<BranchError>) -> Raced {
    let names = ["a", "b", "c", "d"];
    let failures = errors
        .into_iter()
        .zip(names)
        .map(|(error, branch)| BranchFailure {
            branch,
            required: true,
            error,
        })
        .collect();
    Raced {
        failures,
        missing,
        dropped: Names::default(),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn retry(after: Option<Duration>) -> Verdict {
    Verdict::Retry { after }
}

#[test]
fn enough_successes_are_an_ack_whatever_else_failed() {
    let raced = raced(
        0,
        vec![BranchError::dead("x"), BranchError::Panicked("y".into())],
    );

    assert!(raced.is_ok());
    assert_eq!(raced.verdict(), Verdict::Ack);
}

#[test]
fn one_branch_that_may_still_succeed_keeps_a_message_from_the_dead_letters() {
    let dead = || BranchError::dead("no such host");
    let any = raced(1, vec![dead(), BranchError::retry("timeout")]);
    let two = raced(2, vec![dead(), BranchError::retry("timeout")]);

    assert_eq!(any.verdict(), retry(None));
    assert_eq!(two.verdict(), Verdict::Dead("a: no such host".to_owned()));
    let reason = "a: no such host; b: no such host".to_owned();
    assert_eq!(
        raced(1, vec![dead(), dead()]).verdict(),
        Verdict::Dead(reason)
    );
}

#[test]
fn the_delay_is_the_shortest_after_which_enough_may_be_asked_again() {
    let errors = || {
        vec![
            BranchError::retry_after(seconds(9), "x"),
            BranchError::postpone(seconds(2), "x"),
            BranchError::retry_after(seconds(5), "x"),
        ]
    };

    assert_eq!(raced(1, errors()).verdict(), retry(Some(seconds(2))));
    assert_eq!(raced(2, errors()).verdict(), retry(Some(seconds(5))));
    assert_eq!(raced(3, errors()).verdict(), retry(Some(seconds(9))));
}

#[test]
fn only_when_nothing_was_attempted_is_it_a_postponement() {
    let put_off = |count| BranchError::postpone(seconds(count), "x");
    let panicked = || BranchError::Panicked("y".into());

    let postponed = raced(1, vec![put_off(7), BranchError::dead("x"), put_off(3)]);
    assert_eq!(postponed.verdict(), Verdict::Postpone { after: seconds(3) });
    assert_eq!(
        raced(1, vec![put_off(7), panicked()]).verdict(),
        retry(None)
    );
    let both = raced(2, vec![put_off(7), panicked()]);
    assert_eq!(both.verdict(), retry(Some(seconds(7))));
}

#[test]
fn an_optional_branch_does_not_touch_the_verdict_of_a_race() {
    let mut raced = raced(
        1,
        vec![
            BranchError::retry("x"),
            BranchError::retry_after(seconds(1), "x"),
        ],
    );
    raced.failures[0].required = false;

    assert_eq!(raced.verdict(), retry(Some(seconds(1))));
}
