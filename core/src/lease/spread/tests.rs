use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::lease::testing::insert;
use crate::lease::{ExtendBatch, LeaseSettings, LeaseTable};
use crate::{Instant, Outcome};

const MINUTE: Duration = Duration::from_secs(60);

/// What was sent to the broker for leases that were all received at once.
struct Kept {
    /// How many calls there were in each second.
    calls: Vec<u32>,
    /// How many leases were extended in all, and how many were lost.
    extended: usize,
    lost: usize,
    /// The least that was left of a lease when its extension was sent.
    slack: Duration,
}

/// Keeps `count` leases of a minute for so many seconds with a broker that takes `round_trip`.
fn keep(
    count: usize,
    adaptive: Option<RangeInclusive<Duration>>,
    extend_count_max: usize,
    round_trip: Duration,
    seconds: usize,
) -> Kept {
    let mut table = LeaseTable::new(LeaseSettings {
        lease: MINUTE,
        adaptive,
        seed: 1,
        lease_max: MINUTE * 1_000,
        extend_count_max,
    });
    let start = Instant::ZERO + MINUTE;
    for number in 0..count {
        insert(&mut table, start, &number.to_string(), start + MINUTE);
    }
    let mut kept = Kept {
        calls: vec![0; seconds],
        extended: 0,
        lost: 0,
        slack: Duration::MAX,
    };
    let mut flying: VecDeque<ExtendBatch> = VecDeque::new();
    let mut now = start;
    loop {
        let answer = flying.front().map(|batch| batch.sent + round_trip);
        let Some(next) = [table.next_wake(), answer].into_iter().flatten().min() else {
            return kept;
        };
        // What is to be done at once may have been due for long: time does not go back.
        now = now.max(next);
        let second = (now - start).as_secs() as usize;
        if second >= seconds {
            return kept;
        }
        if answer.is_some_and(|answer| answer <= now)
            && let Some(batch) = flying.pop_front()
        {
            let outcomes = vec![Outcome::Done; batch.members.len()];
            table.answered(now, batch.sent);
            assert!(
                table
                    .extended(&batch.members, batch.sent, &outcomes)
                    .is_empty()
            );
        }
        let commands = table.poll(now);
        kept.lost += commands.lost.len();
        if let Some(batch) = commands.batch {
            assert!(batch.members.len() <= extend_count_max);
            kept.calls[second] += 1;
            kept.extended += batch.members.len();
            kept.slack = kept.slack.min(batch.earliest - now);
            flying.push_back(batch);
        }
    }
}

/// The most calls in a second, and how many there are in one when all are spread evenly.
fn peak_and_mean(calls: &[u32]) -> (f64, f64) {
    let peak = calls.iter().max().copied().unwrap_or(0);
    let sum: u32 = calls.iter().sum();
    (f64::from(peak), f64::from(sum) / calls.len() as f64)
}

#[test]
fn leases_that_came_at_once_are_extended_evenly_in_few_calls_and_in_time() {
    let (count, seconds) = (40_000, 240);
    let kept = keep(count, None, 100, Duration::from_millis(50), seconds);

    // A lease rests for half a minute: so many full calls are enough.
    let fewest = count as f64 / 100.0 * (seconds as f64 - 30.0) / 30.0;
    let (peak, mean) = peak_and_mean(&kept.calls[30..]);
    let calls = kept.calls.iter().sum::<u32>();
    assert!(f64::from(calls) <= 1.2 * fewest, "{calls} of {fewest}");
    assert!(peak <= 1.5 * mean, "{peak} in a second, {mean} on average");
    assert_eq!(kept.lost, 0);
    // Nothing is put off for the sake of evenness, except behind what was due with it.
    assert!(kept.slack >= Duration::from_secs(29), "{:?}", kept.slack);
}

#[test]
fn few_leases_are_one_call_for_each_rest() {
    let kept = keep(1_000, None, 1_000, Duration::from_millis(50), 301);

    assert_eq!(kept.calls.iter().sum::<u32>(), 10);
    assert_eq!(kept.calls.iter().filter(|count| **count > 0).count(), 10);
}

#[test]
fn one_lease_per_call_is_spread_as_well() {
    let (count, seconds) = (2_000, 180);
    let kept = keep(count, None, 1, Duration::from_millis(1), seconds);

    let (peak, mean) = peak_and_mean(&kept.calls[30..]);
    assert!(peak <= 1.5 * mean, "{peak} in a second, {mean} on average");
    assert_eq!((kept.lost, kept.extended >= 5 * count), (0, true));
}

#[test]
fn slow_calls_lose_no_lease_because_more_of_them_fly() {
    // Four calls at a time would extend 20,000 leases in 50 s; they end after 30 s.
    let kept = keep(20_000, None, 400, Duration::from_secs(4), 200);

    assert_eq!(kept.lost, 0);
}

#[test]
fn adaptive_leases_rest_longer_and_come_apart() {
    let (count, seconds) = (10_000, 400);
    let range = MINUTE..=MINUTE * 10;
    let fixed = keep(count, None, 100, Duration::from_millis(50), seconds);
    let adaptive = keep(count, Some(range), 100, Duration::from_millis(50), seconds);

    let sum = |kept: &Kept| kept.calls.iter().sum::<u32>();
    assert!(
        sum(&adaptive) * 4 < sum(&fixed) * 3,
        "a fifth is left, not half"
    );
    assert_eq!(adaptive.lost, 0);
    assert!(adaptive.slack >= MINUTE / 5 - Duration::from_secs(1));
}
