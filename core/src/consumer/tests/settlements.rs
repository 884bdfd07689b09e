use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::testing::{Fault, Rig, millis, seconds, sleeper};
use crate::control::lock;
use crate::{Clock, Delivery, Outcome, Settle, Verdict};

#[test]
fn an_ack_does_not_queue_behind_an_extension_and_is_not_undone_by_it() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.extend_latency = seconds(4));

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(6)))
            .build()
            .run(),
    );

    assert_eq!(report.totals.acked, 1);
    assert_eq!(rig.clock.now().as_nanos(), 6_000_000_000);
}

#[test]
fn a_nack_waits_for_the_extension_on_its_way() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.extend_latency = seconds(4));
    let clock = rig.clock.clone();
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let handler = async move |delivery: &Delivery| {
        lock(&seen).push(clock.now().as_nanos() / 1_000_000);
        if delivery.attempt() == 2 {
            return Verdict::Ack;
        }
        clock.sleep(seconds(6)).await;
        Verdict::Retry {
            after: Some(seconds(1)),
        }
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(
        (
            report.totals.nacked,
            report.totals.acked,
            report.totals.expired
        ),
        (1, 1, 0)
    );
    // The extension was sent at 5 s and answered at 9 s; the nack delays by 1 s more.
    assert_eq!(*lock(&times), [0, 10_000]);
}

#[test]
fn an_ack_that_finds_no_lease_is_a_lost_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let (broker, clock) = (rig.broker.clone(), rig.clock.clone());
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() == 1 {
            broker.with(|state| state.redeliver(clock.now() + seconds(60), "a"));
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().prefetch(1).handler(handler).build().run());

    assert_eq!(rig.lost(), 1);
    assert_eq!((report.totals.expired, report.totals.acked), (1, 1));
}

#[test]
fn a_duplicate_in_hand_is_merged_and_settled_under_the_newer_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let calls = Arc::new(AtomicUsize::new(0));
    let (broker, clock, counter) = (rig.broker.clone(), rig.clock.clone(), Arc::clone(&calls));
    let handler = async move |_: &Delivery| {
        counter.fetch_add(1, Ordering::Relaxed);
        broker.with(|state| state.redeliver(clock.now(), "a"));
        broker.publish([""; 0]);
        clock.sleep(seconds(1)).await;
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let totals = report.totals;
    assert_eq!((totals.received, totals.merged, totals.acked), (2, 1, 1));
    assert_eq!(
        rig.broker.settled(),
        [("a".to_owned(), Settle::Ack, Outcome::Done)]
    );
}

#[test]
fn a_failing_settlement_is_tried_again_until_the_lease_ends() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Retryable; 3]));

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(1)))
            .build()
            .run(),
    );

    assert_eq!((report.totals.acked, rig.broker.settled().len()), (1, 1));

    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    // For longer than a lease: the message is delivered again, and acked then.
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Retryable; 14]));

    let report = rig.run(
        rig.builder()
            .prefetch(1)
            .handler(sleeper(&rig.clock, seconds(1)))
            .build()
            .run(),
    );

    assert_eq!((report.totals.acked, report.totals.expired), (1, 1));
    assert_eq!(rig.lost(), 1);
}

#[test]
fn a_short_answer_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker.with(|state| {
        state.settle_faults.push_back(Fault::Short);
        state.extend_faults.push_back(Fault::Short);
    });

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(7)))
            .build()
            .run(),
    );

    // They had taken effect, so that the second answer is that the leases are gone.
    assert_eq!(report.totals.expired, 3);
    assert_eq!(rig.broker.left(), 0);
}

#[test]
fn acks_leave_at_once_when_none_is_on_its_way_and_gather_meanwhile() {
    let mut rig = Rig::new();
    rig.broker.publish((0..30).map(|n| n.to_string()));
    rig.broker.with(|state| state.settle_latency = seconds(1));
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let number: u64 = delivery.id().as_str().parse().expect("a number");
        clock.sleep(millis(number)).await;
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(report.totals.acked, 30);
    assert_eq!(
        rig.broker.with(|state| state.settle_batches.clone()),
        [1, 29]
    );
}

#[test]
fn an_ack_refused_because_the_message_came_again_is_sent_under_the_newer_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.settle_latency = seconds(1));
    let (broker, clock) = (rig.broker.clone(), rig.clock.clone());
    let handler = async move |_: &Delivery| {
        broker.with(|state| state.redeliver(clock.now() + millis(500), "a"));
        broker.publish([""; 0]);
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    let totals = report.totals;
    assert_eq!(
        (totals.received, totals.merged, totals.acked, totals.expired),
        (2, 1, 1, 0)
    );
}
