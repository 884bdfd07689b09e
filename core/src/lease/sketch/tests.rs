use std::time::Duration;

use super::{HALF_LIFE, Sketch};
use crate::Instant;
use crate::metrics::Tally;

const FAST: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_secs(10);

/// Never too small, and at most a quarter too large.
fn is_about(seen: Duration, exact: Duration) -> bool {
    seen >= exact && seen <= exact * 5 / 4
}

#[test]
fn nothing_is_expected_of_what_was_never_seen() {
    assert_eq!(Sketch::new().p99(Instant::ZERO), Duration::ZERO);
}

#[test]
fn one_slow_one_of_a_few_counts_and_of_a_thousand_does_not() {
    let mut few = Sketch::new();
    few.add(Instant::ZERO, Tally::of(FAST, 20));
    few.add(Instant::ZERO, Tally::of(SLOW, 1));
    let mut many = Sketch::new();
    many.add(Instant::ZERO, Tally::of(FAST, 1_000));
    many.add(Instant::ZERO, Tally::of(SLOW, 1));

    assert!(is_about(few.p99(Instant::ZERO), SLOW));
    assert!(is_about(many.p99(Instant::ZERO), FAST));
}

#[test]
fn a_bad_hour_is_forgotten_a_half_at_a_time() {
    let mut sketch = Sketch::new();
    sketch.add(Instant::ZERO, Tally::of(SLOW, 1_000));
    // From then on all is well, as often as before.
    let mut now = Instant::ZERO;
    let mut recovered = None;
    for minutes in 1..120_u64 {
        now = now + Duration::from_secs(60);
        sketch.add(now, Tally::of(FAST, 1_000));
        if recovered.is_none() && is_about(sketch.p99(now), FAST) {
            recovered = Some(minutes);
        }
    }

    // The slow ones are below a hundredth of all after some 17 min.
    let recovered = recovered.expect("it recovers");
    assert!((5..30).contains(&recovered), "after {recovered} min");
}

#[test]
fn after_a_long_rest_nothing_is_left() {
    let mut sketch = Sketch::new();
    sketch.add(Instant::ZERO, Tally::of(SLOW, 3));

    assert!(is_about(sketch.p99(Instant::ZERO + HALF_LIFE * 6), SLOW));
    let later = Instant::ZERO + HALF_LIFE * 1_000_000;
    assert_eq!(sketch.p99(later), Duration::ZERO);
}
