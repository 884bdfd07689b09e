use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::control::lock;
use crate::testing::{Fault, ManualClock, Rig, millis, seconds};
use crate::{Clock, Delivery, Event, Handler, Outcome, Settle, Verdict};

/// Sleeps, then acks.
fn sleeper(clock: &ManualClock, seconds_count: u64) -> impl Handler + use<> {
    let clock = clock.clone();
    async move |_: &Delivery| {
        clock.sleep(seconds(seconds_count)).await;
        Verdict::Ack
    }
}

fn lost(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::LeaseLost(_)))
}

#[test]
fn a_handler_three_leases_long_is_delivered_once() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 30)).build().run());

    let totals = report.totals;
    assert_eq!((totals.received, totals.acked, totals.expired), (1, 1, 0));
    // At 5, 10, 15, 20 and 25 s: whenever half of a lease is left.
    assert_eq!(totals.extended, 5);
}

#[test]
fn waiting_messages_are_kept_under_lease_as_well() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c", "d"]);

    let handler = sleeper(&rig.clock, 20);
    let report = rig.run(rig.builder().concurrency(1).handler(handler).build().run());

    assert_eq!((report.totals.received, report.totals.acked), (4, 4));
}

#[test]
fn leases_that_came_together_are_extended_together() {
    let mut rig = Rig::new();
    rig.broker.publish((0..250).map(|n| n.to_string()));

    let handler = sleeper(&rig.clock, 7);
    let report = rig.run(
        rig.builder()
            .concurrency(250)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(report.totals.extended, 250);
    let mut sizes = rig.broker.with(|state| state.extend_batches.clone());
    assert_eq!(
        sizes.iter().map(Vec::len).collect::<Vec<_>>(),
        [100, 100, 50]
    );
    let ids: std::collections::BTreeSet<String> = sizes.drain(..).flatten().collect();
    assert_eq!(ids.len(), 250);
}

#[test]
fn at_the_longest_lease_the_handler_is_told_and_keeps_its_permit_until_it_ends() {
    let mut rig = Rig::new();
    rig.broker.publish(["long", "next"]);
    let clock = rig.clock.clone();
    let log = Arc::new(Mutex::new(Vec::new()));
    let entries = Arc::clone(&log);
    let handler = async move |delivery: &Delivery| {
        let at = |what: &str| {
            let id = delivery.id().to_string();
            lock(&entries).push((clock.now().as_nanos() / 1_000_000_000, id, what.to_owned()));
        };
        at("start");
        if delivery.id().as_str() == "long" && delivery.attempt() == 1 {
            assert_eq!(delivery.lease_remaining(), seconds(10));
            delivery.lease_lost().await;
            at("lost");
            assert_eq!(delivery.lease_remaining(), seconds(0));
            clock.sleep(seconds(5)).await;
        }
        at("end");
        Verdict::Ack
    };

    let builder = rig
        .builder()
        .concurrency(1)
        .lease_max(seconds(25))
        .prefetch(1);
    let report = rig.run(builder.handler(handler).build().run());

    let entry = |at, id: &str, what: &str| (at, id.to_owned(), what.to_owned());
    assert_eq!(
        lock(&log)[..4],
        [
            entry(0, "long", "start"),
            entry(25, "long", "lost"),
            entry(30, "long", "end"),
            entry(30, "next", "start"),
        ]
    );
    assert_eq!(report.totals.expired, 1);
    // Nothing was said to the broker about the lost lease; the message came again and was acked.
    assert!(
        rig.broker
            .settled()
            .iter()
            .all(|(_, _, outcome)| *outcome == Outcome::Done)
    );
    assert_eq!(report.totals.acked, 2);
}

#[test]
fn no_nack_is_sent_for_a_lost_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() == 1 {
            clock.sleep(seconds(15)).await;
            return Verdict::Retry { after: None };
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().prefetch(1).handler(handler).build().run());

    assert_eq!(
        (
            report.totals.expired,
            report.totals.nacked,
            report.totals.acked
        ),
        (1, 0, 1)
    );
    assert_eq!(lost(&rig), 1);
    assert_eq!(rig.broker.settled().len(), 1);
}

#[test]
fn a_message_whose_lease_ended_while_it_waited_is_never_started() {
    let mut rig = Rig::new();
    rig.broker.publish(["first", "stale"]);
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let started = Arc::new(Mutex::new(Vec::new()));
    let (log, clock) = (Arc::clone(&started), rig.clock.clone());
    let handler = async move |delivery: &Delivery| {
        lock(&log).push((delivery.id().to_string(), delivery.attempt()));
        if delivery.id().as_str() == "first" && delivery.attempt() == 1 {
            // The clock moves under a poll: nothing could notice before the next start.
            clock.block(seconds(11));
        }
        Verdict::Ack
    };

    let builder = rig.builder().concurrency(1).max_deliveries(9);
    let report = rig.run(builder.handler(handler).build().run());

    assert!(!lock(&started).contains(&("stale".to_owned(), 1)));
    assert_eq!((report.totals.acked, report.totals.expired), (2, 2));
}

#[test]
fn a_failing_extension_is_tried_again_while_the_lease_lasts() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.extend_faults.extend([Fault::Retryable, Fault::Lost]));

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 12)).build().run());

    assert_eq!((report.totals.acked, report.totals.expired), (1, 0));
    assert_eq!(
        rig.count(|event| matches!(
            event,
            Event::BrokerFailed {
                permanent: false,
                ..
            }
        )),
        2
    );
}

#[test]
fn an_extension_that_never_answers_loses_only_its_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.extend_faults.push_back(Fault::Hang));

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 12)).build().run());

    assert_eq!(lost(&rig), 1);
    assert_eq!((report.totals.expired, report.totals.acked), (1, 1));
}

#[test]
fn the_deadline_counts_from_when_the_extension_was_sent() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.extend_latency = seconds(3));
    let remaining = Arc::new(Mutex::new(None));
    let (clock, seen) = (rig.clock.clone(), Arc::clone(&remaining));
    let handler = async move |delivery: &Delivery| {
        clock.sleep(seconds(9)).await;
        *lock(&seen) = Some(delivery.lease_remaining());
        Verdict::Ack
    };

    let _ = rig.run(rig.builder().handler(handler).build().run());

    // Sent at 4.98 s (a renewal is rounded down by up to a 256th), so it lasts until 14.98 s.
    let remaining = lock(&remaining).expect("the handler ran");
    assert!(
        (millis(5_900)..=millis(6_000)).contains(&remaining),
        "{remaining:?}"
    );
}

#[test]
fn an_ack_does_not_queue_behind_an_extension_and_is_not_undone_by_it() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.extend_latency = seconds(4));

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 6)).build().run());

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

    assert_eq!(lost(&rig), 1);
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

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 1)).build().run());

    assert_eq!((report.totals.acked, rig.broker.settled().len()), (1, 1));

    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    // For longer than a lease: the message is delivered again, and acked then.
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Retryable; 14]));

    let report = rig.run(
        rig.builder()
            .prefetch(1)
            .handler(sleeper(&rig.clock, 1))
            .build()
            .run(),
    );

    assert_eq!((report.totals.acked, report.totals.expired), (1, 1));
    assert_eq!(lost(&rig), 1);
}

#[test]
fn a_short_answer_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker.with(|state| {
        state.settle_faults.push_back(Fault::Short);
        state.extend_faults.push_back(Fault::Short);
    });

    let report = rig.run(rig.builder().handler(sleeper(&rig.clock, 7)).build().run());

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
fn prefetch_bounds_what_is_in_hand() {
    let mut rig = Rig::new();
    rig.broker.publish((0..100).map(|n| n.to_string()));
    let handler = sleeper(&rig.clock, 1);
    let consumer = rig
        .builder()
        .prefetch(10)
        .concurrency(3)
        .handler(handler)
        .build();
    let control = consumer.control();
    rig.start(consumer.run());

    for _ in 0..20 {
        assert!(rig.advance(millis(500)).is_none());
        let stats = control.stats();
        assert!(stats.outstanding <= 10 && stats.running == 3, "{stats:?}");
    }

    assert_eq!(rig.finish().totals.acked, 100);
}
