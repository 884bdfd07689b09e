//! Messages that come again while they are in hand, or once more when they are long over.

use std::sync::{Arc, Mutex};

use super::testing::{ManualClock, Rig, millis, seconds};
use crate::control::lock;
use crate::{Clock, Delivery, Handler, Instant, LeaseToken, Message, MessageId, Received, Verdict};

/// When handlers started, in milliseconds.
type Starts = Arc<Mutex<Vec<u64>>>;

/// Retries the first attempt after a while, and acks what follows.
fn retrier(clock: &ManualClock, after: std::time::Duration) -> (Starts, impl Handler + use<>) {
    let (clock, starts) = (clock.clone(), Starts::default());
    let seen = Arc::clone(&starts);
    let handler = async move |_: &Delivery| {
        let is_first = lock(&seen).is_empty();
        lock(&seen).push(clock.now().as_nanos() / 1_000_000);
        if !is_first {
            return Verdict::Ack;
        }
        clock.sleep(after).await;
        Verdict::Retry {
            after: Some(seconds(1)),
        }
    };
    (starts, handler)
}

/// Answers by which call it is, from 1; and when each was.
fn answering<F: Fn(usize) -> Verdict>(
    clock: &ManualClock,
    verdict: F,
) -> (Starts, impl Handler + use<F>) {
    let (clock, starts) = (clock.clone(), Starts::default());
    let seen = Arc::clone(&starts);
    let handler = async move |_: &Delivery| {
        lock(&seen).push(clock.now().as_nanos() / 1_000_000);
        verdict(lock(&seen).len())
    };
    (starts, handler)
}

/// Delivers the first attempt of `a` once more, under the lease that it had.
fn repeat(rig: &Rig) {
    let message = Message {
        id: MessageId::from("a"),
        lease: LeaseToken::from("token-1"),
        attempt: 1,
        payload: Vec::new(),
    };
    let deadline = Instant::ZERO + seconds(10);
    rig.broker
        .with(|state| state.stray.push(Received { message, deadline }));
    rig.broker.publish([""; 0]);
}

#[test]
fn a_nack_that_waits_for_an_extension_leaves_when_the_message_comes_under_a_newer_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.extend_latency = seconds(9));
    let (starts, handler) = retrier(&rig.clock, seconds(6));
    rig.start(rig.builder().handler(handler).build().run());
    // The extension was sent at 5 s and is answered at 14 s; the nack waits since 6 s.
    rig.advance(seconds(7));

    rig.broker
        .with(|state| state.redeliver(rig.clock.now(), "a"));
    rig.broker.publish([""; 0]);
    let report = rig.finish();

    assert_eq!(*lock(&starts), [0, 8_000]);
    let totals = report.totals;
    assert_eq!((totals.merged, totals.nacked, totals.acked), (1, 1, 1));
}

#[test]
fn a_nack_waits_for_the_extension_of_the_newer_lease_whatever_that_of_the_older_comes_to() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.extend_latency = millis(7_500));
    let (starts, handler) = retrier(&rig.clock, seconds(12));
    rig.start(rig.builder().handler(handler).build().run());
    rig.advance(seconds(6));

    // The first extension is answered at 12.5 s, the second one is on its way from 11 to 14 s.
    rig.broker.with(|state| {
        state.redeliver(rig.clock.now(), "a");
        state.extend_latency = seconds(3);
    });
    rig.broker.publish([""; 0]);
    let report = rig.finish();

    // The second extension leaves a little early, as all do.
    let second = lock(&starts)[1];
    assert!((14_900..=15_000).contains(&second), "{second} ms");
    assert_eq!((report.totals.nacked, report.totals.acked), (1, 1));
}

#[test]
fn the_duplicate_of_an_attempt_long_past_is_merged_while_a_nack_is_on_its_way() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let handler = async move |delivery: &Delivery| {
        lock(&seen).push(delivery.attempt());
        clock.sleep(seconds(1)).await;
        match delivery.attempt() {
            3.. => Verdict::Ack,
            _ => Verdict::Retry {
                after: Some(seconds(1)),
            },
        }
    };
    rig.start(rig.builder().handler(handler).build().run());
    // The second attempt ends at 3 s, and its nack takes effect at once but is answered at 4 s.
    rig.advance(millis(2_500));
    rig.broker.with(|state| state.settle_latency = seconds(1));
    rig.advance(seconds(1));

    repeat(&rig);
    let report = rig.finish();

    assert_eq!(*lock(&attempts), [1, 2, 3]);
    assert_eq!((report.totals.received, report.totals.merged), (4, 1));
    assert_eq!(rig.lost(), 0);
}

#[test]
fn the_duplicate_of_a_nack_on_its_way_is_merged_although_the_message_has_come_again() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| {
        state.caps.settle_count_max = 1;
        state.settle_latency = seconds(5);
    });
    let (starts, handler) = answering(&rig.clock, |call| match call {
        1 => Verdict::Postpone { after: seconds(1) },
        2 => Verdict::Postpone { after: seconds(9) },
        _ => Verdict::Ack,
    });
    rig.start(rig.builder().handler(handler).build().run());
    // Both nacks took effect, at 0 and 1 s, and are answered at 5 and 6 s.
    rig.advance(seconds(2));

    repeat(&rig);
    let report = rig.finish();

    // Under one lease there is one settlement.
    assert_eq!(*lock(&starts), [0, 1_000, 10_000]);
    let totals = report.totals;
    assert_eq!((totals.received, totals.merged), (4, 1));
    assert_eq!((totals.nacked, totals.acked, totals.expired), (2, 1, 0));
}

#[test]
fn a_postponed_message_that_comes_again_before_its_nack_is_answered_is_handled_anew() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.settle_latency = seconds(5));
    let (starts, handler) = answering(&rig.clock, |call| match call {
        1 => Verdict::Postpone { after: seconds(1) },
        _ => Verdict::Ack,
    });

    let report = rig.run(rig.builder().handler(handler).build().run());

    // The same attempt, under another lease.
    assert_eq!(*lock(&starts), [0, 1_000]);
    let totals = report.totals;
    assert_eq!((totals.received, totals.merged, totals.expired), (2, 0, 0));
    assert_eq!((totals.nacked, totals.acked), (1, 1));
}
