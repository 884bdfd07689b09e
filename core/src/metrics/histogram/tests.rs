use std::time::Duration;

use fastrand::Rng;

use super::{BUCKETS, Histogram, bucket_of, last_of};

#[test]
fn every_bucket_begins_where_the_one_before_it_ends() {
    let mut first = 0;
    for bucket in 0..BUCKETS {
        let last = last_of(bucket);
        assert_eq!((bucket_of(first), bucket_of(last)), (bucket, bucket));
        assert!(last - first <= first / 4, "bucket {bucket} is too wide");
        first = last.wrapping_add(1);
    }
    assert_eq!(first, 0, "the last bucket ends at the largest number");
}

#[test]
fn a_quantile_is_never_too_small_and_at_most_a_quarter_too_large() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let mut nanos: Vec<u64> = (0..rng.usize(1..500))
            .map(|_| rng.u64(..) >> rng.u32(8..64))
            .collect();
        let histogram: Histogram = nanos.iter().copied().map(Duration::from_nanos).collect();
        nanos.sort_unstable();

        for percent in [0, 1, 25, 50, 90, 99, 100] {
            let rank = (nanos.len() * percent).div_ceil(100).max(1);
            let exact = nanos[rank - 1];
            let seen = histogram.quantile(percent as f64 / 100.0).as_nanos();
            let seen = u64::try_from(seen).expect("584 years");
            let limit = exact + exact / 4;
            assert!((exact..=limit).contains(&seen), "seed {seed}, {percent} %");
        }
        assert_eq!(histogram.count(), nanos.len() as u64);
    }
}

#[test]
fn an_empty_histogram_is_all_zero() {
    let empty = Histogram::default();

    assert_eq!(
        (empty.quantile(0.5), empty.max()),
        (Duration::ZERO, Duration::ZERO)
    );
    assert_eq!((empty.count(), empty.buckets().count()), (0, 0));
}

#[test]
fn fractions_that_make_no_sense_are_taken_as_the_nearest_that_does() {
    let histogram: Histogram = [Duration::from_nanos(1), Duration::from_nanos(3)]
        .into_iter()
        .collect();

    for (fraction, nanos) in [(-1.0, 1), (f64::NAN, 1), (2.0, 3), (f64::INFINITY, 3)] {
        assert_eq!(
            histogram.quantile(fraction),
            Duration::from_nanos(nanos),
            "{fraction}"
        );
    }
}
