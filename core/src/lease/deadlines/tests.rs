use std::time::Duration;

use super::Deadlines;
use crate::Instant;
use crate::metrics::Tally;

const MIN: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_fixed_lease_is_extended_with_half_of_it_left_whatever_is_seen() {
    let mut deadlines = Deadlines::fixed(MIN);
    deadlines.handled(at(1), Tally::of(MAX, 1_000));
    deadlines.answered(at(1), at(0));
    deadlines.look(at(1));

    assert_eq!((deadlines.lease(), deadlines.margin()), (MIN, MIN / 2));
    assert_eq!(deadlines.ahead(MIN / 2, false), MIN / 4);
}

#[test]
fn without_anything_seen_the_shortest_lease_is_used() {
    let deadlines = Deadlines::adaptive(MIN..=MAX);

    assert_eq!((deadlines.lease(), deadlines.margin()), (MIN, MIN / 5));
}

#[test]
fn slow_handlers_get_leases_that_need_no_extension() {
    let mut deadlines = Deadlines::adaptive(MIN..=MAX);
    deadlines.handled(at(1), Tally::of(Duration::from_secs(60), 100));
    deadlines.look(at(1));

    let lease = deadlines.lease();
    assert!(
        lease > Duration::from_secs(60) && lease < Duration::from_secs(80),
        "{lease:?}"
    );
}

#[test]
fn slow_calls_are_asked_for_early_and_for_long() {
    let mut deadlines = Deadlines::adaptive(MIN..=MAX);
    deadlines.answered(at(20), at(0));
    deadlines.look(at(20));

    assert!(deadlines.margin() >= 3 * Duration::from_secs(20));
    assert!(deadlines.lease() >= 2 * deadlines.margin());
}

#[test]
fn a_call_without_an_answer_is_as_slow_as_it_is_old() {
    let mut deadlines = Deadlines::adaptive(MIN..=MAX);
    deadlines.sent(at(0));
    deadlines.look(at(15));
    let waiting = deadlines.margin();
    deadlines.answered(at(15), at(0));
    deadlines.look(at(16));

    assert!(waiting >= Duration::from_secs(45));
    assert!(deadlines.margin() >= waiting);
}

#[test]
fn nothing_leaves_the_range_and_some_of_every_lease_is_used() {
    let mut deadlines = Deadlines::adaptive(MIN..=MAX);
    deadlines.handled(at(1), Tally::of(Duration::MAX, u64::MAX));
    deadlines.woken(at(1), Duration::from_secs(3600));
    deadlines.answered(at(5_000), at(0));
    deadlines.look(at(5_000));

    assert_eq!(deadlines.lease(), MAX);
    assert_eq!(deadlines.margin(), MAX * 4 / 5);
    assert_eq!(deadlines.period(), MAX / 5);
}

#[test]
fn the_first_extension_is_asked_for_with_no_less_than_half_left() {
    let deadlines = Deadlines::adaptive(MIN..=MAX);

    assert_eq!(deadlines.ahead(MIN, true), MIN / 2);
    assert_eq!(deadlines.ahead(MIN, false), MIN / 5);
    // Of a lease that is shorter than the margin, at once.
    assert_eq!(deadlines.ahead(MIN / 10, true), MIN / 10);
}
