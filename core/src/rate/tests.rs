use std::time::Duration;

use proptest::prelude::*;

use super::{Bucket, Rate};
use crate::Instant;

fn rate() -> impl Strategy<Value = Rate> {
    let period = prop_oneof![0..1_000_u64, 0..10_000_000_000_u64, any::<u64>()];
    let count = prop_oneof![0..10_u32, any::<u32>()];
    (count, period, 0..50_u32).prop_map(|(count, period, burst)| Rate {
        count,
        period: Duration::from_nanos(period),
        burst,
    })
}

/// Takes what there is at `now`, at most a hundred.
fn take_all(bucket: &mut Bucket, now: Instant) -> u64 {
    let mut taken = 0;
    while taken < 100 && bucket.is_ready(now) {
        bucket.take();
        taken += 1;
    }
    taken
}

proptest! {
    #[test]
    fn no_more_is_taken_in_any_span_than_the_burst_and_what_the_span_adds(
        rate in rate(),
        pauses in prop::collection::vec(0..5_000_000_000_u64, 1..40),
    ) {
        let mut bucket = Bucket::new(rate);
        let (count, burst) = (u128::from(rate.count.max(1)), u128::from(rate.burst.max(1)));
        let period = rate.period.as_nanos().max(1);
        let mut taken = Vec::new();
        let mut now = 0_u64;
        for pause in pauses {
            now += pause;
            taken.push((now, take_all(&mut bucket, Instant::from_nanos(now))));
        }

        for first in 0..taken.len() {
            for last in first..taken.len() {
                let span = u128::from(taken[last].0 - taken[first].0);
                let sum: u64 = taken[first..=last].iter().map(|(_, count)| count).sum();
                // A nanosecond more, to which instants are rounded.
                prop_assert!(u128::from(sum) * period <= burst * period + (span + 1) * count);
            }
        }
    }

    #[test]
    fn the_next_token_is_there_when_it_is_said_to_be_and_not_a_nanosecond_earlier(
        rate in rate(),
        start in 0..1_u64 << 40,
    ) {
        let mut bucket = Bucket::new(rate);
        let start = Instant::from_nanos(start);
        while bucket.is_ready(start) {
            bucket.take();
        }

        let next = bucket.next();

        prop_assert!(next > start);
        if next < Instant::from_nanos(u64::MAX) {
            prop_assert!(!bucket.is_ready(next - Duration::from_nanos(1)));
            prop_assert!(bucket.is_ready(next));
        }
    }

    #[test]
    fn who_always_takes_the_next_token_gets_exactly_the_rate(
        count in 1..1_000_u32,
        // Long enough: of more than one in a nanosecond a burst of one lets only that one pass.
        period in 1_000..1_000_000_u64,
        burst in 1..10_u32,
    ) {
        let rate = Rate { count, period: Duration::from_nanos(period), burst };
        let mut bucket = Bucket::new(rate);
        let mut now = Instant::ZERO;
        let taken = 20 * u64::from(count) + u64::from(burst);
        for _ in 0..taken {
            now = now.max(bucket.next());
            prop_assert!(bucket.is_ready(now));
            bucket.take();
        }

        // Twenty periods, to the nanosecond: nothing is lost to rounding, however often.
        prop_assert!(now.as_nanos() <= 20 * period);
        prop_assert!(now.as_nanos() + period.div_ceil(u64::from(count)) > 20 * period);
    }

    #[test]
    fn a_change_of_the_rate_neither_makes_tokens_nor_loses_more_than_do_not_fit(
        from in rate(),
        to in rate(),
        nanos in 0..5_000_000_000_u64,
    ) {
        let mut bucket = Bucket::new(from);
        let now = Instant::from_nanos(nanos);
        take_all(&mut bucket, Instant::ZERO);
        let before = take_all(&mut bucket.clone(), now);

        bucket.change(now, to);

        prop_assert_eq!(take_all(&mut bucket, now), before.min(u64::from(to.burst.max(1))));
    }
}

#[test]
fn a_clock_that_stands_still_adds_nothing() {
    let mut bucket = Bucket::new(Rate::per_second(10));
    let now = Instant::from_nanos(7);
    assert_eq!(take_all(&mut bucket, now), 1);

    assert!(!bucket.is_ready(now));
    assert_eq!(bucket.next(), now + Duration::from_millis(100));
}
