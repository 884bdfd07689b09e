use std::sync::{Arc, Mutex};

use super::testing::{Fault, Rig, millis, seconds, sleeper};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Outcome, Plan, Verdict};

#[test]
fn a_handler_three_leases_long_is_delivered_once() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(30)))
            .build()
            .run(),
    );

    let totals = report.totals;
    assert_eq!((totals.received, totals.acked, totals.expired), (1, 1, 0));
    // At 5, 10, 15, 20 and 25 s: whenever half of a lease is left.
    assert_eq!(totals.extended, 5);
}

#[test]
fn waiting_messages_are_kept_under_lease_as_well() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c", "d"]);

    let handler = sleeper(&rig.clock, seconds(20));
    let report = rig.run(rig.builder().concurrency(1).handler(handler).build().run());

    assert_eq!((report.totals.received, report.totals.acked), (4, 4));
}

#[test]
fn leases_that_came_together_are_extended_together() {
    let mut rig = Rig::new();
    rig.broker.publish((0..250).map(|n| n.to_string()));

    let handler = sleeper(&rig.clock, seconds(7));
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
    assert_eq!(rig.lost(), 1);
    assert_eq!(rig.broker.settled().len(), 1);
}

#[test]
fn a_message_whose_lease_ended_while_it_waited_is_never_started() {
    let mut rig = Rig::new();
    rig.broker.publish(["first", "stale"]);
    let started = Arc::new(Mutex::new(Vec::new()));
    let (log, clock, broker) = (Arc::clone(&started), rig.clock.clone(), rig.broker.clone());
    let handler = async move |delivery: &Delivery| {
        lock(&log).push(delivery.id().to_string());
        // The clock moves under a poll, and no newer delivery comes: nothing but the start itself
        // can notice.
        broker.with(|state| state.receive_faults.push_back(Fault::Hang));
        clock.block(seconds(11));
        Verdict::Ack
    };
    let consumer = rig
        .builder()
        .concurrency(1)
        .prefetch(2)
        .handler(handler)
        .build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!(*lock(&started), ["first"]);
    assert_eq!(report.totals.expired, 2);
}

#[test]
fn a_delivery_that_is_over_does_not_go_on_under_the_next_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["first", "stale"]);
    let started = Arc::new(Mutex::new(Vec::new()));
    let (log, clock) = (Arc::clone(&started), rig.clock.clone());
    let handler = async move |delivery: &Delivery| {
        lock(&log).push((delivery.id().to_string(), delivery.attempt()));
        if delivery.id().as_str() == "first" && delivery.attempt() == 1 {
            clock.block(seconds(11));
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().concurrency(1).handler(handler).build().run());

    assert!(!lock(&started).contains(&("stale".to_owned(), 1)));
    assert_eq!((report.totals.acked, report.totals.expired), (2, 2));
}

#[test]
fn a_failing_extension_is_tried_again_while_the_lease_lasts() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.extend_faults.extend([Fault::Retryable, Fault::Lost]));

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(12)))
            .build()
            .run(),
    );

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

    let report = rig.run(
        rig.builder()
            .handler(sleeper(&rig.clock, seconds(12)))
            .build()
            .run(),
    );

    assert_eq!(rig.lost(), 1);
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
fn prefetch_bounds_what_is_in_hand() {
    let mut rig = Rig::new();
    rig.broker.publish((0..100).map(|n| n.to_string()));
    let handler = sleeper(&rig.clock, seconds(1));
    let consumer = rig
        .builder()
        .prefetch(10)
        .concurrency(3)
        .handler(handler)
        .build();
    let control = rig.begin(consumer);

    for _ in 0..20 {
        assert!(rig.advance(millis(500)).is_none());
        let stats = control.stats();
        assert!(stats.outstanding <= 10 && stats.running == 3, "{stats:?}");
    }

    assert_eq!(rig.finish().totals.acked, 100);
}

#[test]
fn what_waits_under_a_lease_that_cannot_be_extended_is_handed_back_before_it_ends() {
    let mut rig = Rig::new();
    rig.broker.publish(["long", "waits", "waits too"]);
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let is_long = delivery.id().as_str() == "long";
        clock.sleep(seconds(if is_long { 9 } else { 0 })).await;
        Verdict::Ack
    };
    let consumer = rig.builder().concurrency(1).prefetch(3).handler(handler);

    let report = rig.run(consumer.build().run());

    let totals = report.totals;
    assert_eq!((totals.acked, totals.released, totals.expired), (3, 2, 0));
    assert_eq!(totals.redelivered, 0, "it was no attempt");
}
