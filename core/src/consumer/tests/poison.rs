use std::sync::{Arc, Mutex};

use futures::future::pending;

use super::testing::{Fault, Rig, ack, millis, seconds, sleeper};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Outcome, Plan, Settle, Verdict};

fn poisoned(rig: &Rig) -> usize {
    rig.count(|event| matches!(event, Event::Poisoned { .. }))
}

/// Runs a consumer and drops it in the middle: what a crash does to its leases.
fn crash(rig: &mut Rig, started: &Arc<Mutex<Vec<u32>>>, poison_after: u32) {
    let log = Arc::clone(started);
    let handler = async move |delivery: &Delivery| {
        lock(&log).push(delivery.attempt());
        pending().await
    };
    let builder = rig.builder().max_deliveries(3).poison_after(poison_after);
    rig.start(builder.handler(handler).build().run());
    assert!(rig.advance(seconds(1)).is_none());
    rig.abort();
    rig.clock.set(rig.clock.now() + seconds(10));
}

#[test]
fn a_message_that_crashed_each_of_its_consumers_is_dead_lettered_and_not_started_again() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let started = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        crash(&mut rig, &started, 0);
    }

    let log = Arc::clone(&started);
    let handler = async move |delivery: &Delivery| {
        lock(&log).push(delivery.attempt());
        Verdict::Ack
    };
    let report = rig.run(
        rig.builder()
            .max_deliveries(3)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(*lock(&started), [1, 2, 3]);
    let totals = report.totals;
    assert_eq!(
        (totals.dead_lettered, totals.poisoned, totals.acked),
        (1, 1, 0)
    );
    assert_eq!(poisoned(&rig), 1);
    let reason = "poison: attempt 4 of at most 3, and those before were never settled: a crash, a \
                  hang or a lost lease";
    let reason = reason.to_owned();
    assert_eq!(
        rig.broker.settled(),
        [("a".to_owned(), Settle::Dead { reason }, Outcome::Done)]
    );
}

#[test]
fn a_message_that_outlives_each_of_its_leases_is_dead_lettered_in_the_end() {
    let mut rig = Rig::new();
    rig.broker.publish(["slow"]);
    let handler = sleeper(&rig.clock, seconds(30));

    let builder = rig.builder().lease_max(seconds(20)).max_deliveries(2);
    let report = rig.run(builder.prefetch(1).handler(handler).build().run());

    let totals = report.totals;
    assert_eq!(
        (totals.expired, totals.poisoned, totals.dead_lettered),
        (2, 1, 1)
    );
}

#[test]
fn more_attempts_are_started_where_that_is_wanted() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let started = Arc::new(Mutex::new(Vec::new()));

    for _ in 0..7 {
        crash(&mut rig, &started, u32::MAX);
    }

    assert_eq!(*lock(&started), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(poisoned(&rig), 0);
}

#[test]
fn a_message_that_only_waited_is_not_poison_however_often_its_lease_ran_out() {
    let mut rig = Rig::new();
    rig.broker.publish(["long", "waits"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        if delivery.id().as_str() == "long" {
            clock.sleep(seconds(200)).await;
        }
        Verdict::Ack
    };

    let builder = rig.builder().lease_max(seconds(20)).max_deliveries(2);
    let consumer = builder.concurrency(1).handler(handler).build();
    let control = consumer.control();
    // Nor can it be handed back in time.
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Retryable; 1_000]));
    rig.start(consumer.run());
    assert!(rig.advance(seconds(199)).is_none());
    assert!(control.stats().totals.expired > 5, "{:?}", control.stats());
    rig.broker.with(|state| state.settle_faults.clear());
    let _ = rig.advance(seconds(60));

    // The one that was really started outlived its lease, and that is what counts.
    let is_it = |event: &Event| event.id().is_some_and(|id| id.as_str() == "waits");
    let dead = |event: &Event| matches!(event, Event::Poisoned { .. }) && is_it(event);
    assert_eq!(rig.count(dead), 0);
    let acked = |event: &Event| matches!(event, Event::Acked(_)) && is_it(event);
    assert_eq!(rig.count(acked), 1);
}

#[test]
fn a_message_whose_acks_cannot_be_told_is_not_poison() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Retryable; 60]));

    let builder = rig.builder().max_deliveries(2).prefetch(1);
    let report = rig.run(builder.handler(ack).build().run());

    assert!(report.totals.expired > 2, "{:?}", report.totals);
    assert_eq!((report.totals.acked, report.totals.poisoned), (1, 0));
}

#[test]
fn a_delivery_that_was_merged_is_no_start() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let (broker, clock) = (rig.broker.clone(), rig.clock.clone());
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() > 1 {
            return Verdict::Ack;
        }
        // It comes again five times while it is handled, and its handler fails.
        for _ in 0..5 {
            clock.sleep(seconds(1)).await;
            broker.with(|state| state.redeliver(clock.now(), "a"));
            broker.publish([""; 0]);
        }
        clock.sleep(seconds(1)).await;
        Verdict::Retry { after: None }
    };

    let builder = rig.builder().max_deliveries(2);
    let report = rig.run(builder.handler(handler).build().run());

    let totals = report.totals;
    assert_eq!((totals.merged, totals.poisoned, totals.acked), (5, 0, 1));
}

#[test]
fn stops_cost_no_attempt_and_make_no_dead_letter_however_many_there_are() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker.with(|state| state.ends = false);
    for round in 0..20 {
        let handler = async |delivery: &Delivery| {
            assert_eq!(delivery.attempt(), 1);
            pending().await
        };
        let builder = rig.builder().concurrency(2).max_deliveries(1);
        let consumer = builder.handler(handler).build();
        let control = rig.begin(consumer);
        assert!(rig.advance(millis(1_700 * round)).is_none());

        control.stop(Plan::default());
        if round % 2 == 0 {
            control.stop(Plan::default());
        }
        let report = rig.finish();

        let totals = report.totals;
        assert_eq!((totals.nacked, totals.released), (2, 1), "round {round}");
        assert_eq!((totals.dead_lettered, totals.panicked), (0, 0));
    }
    assert_eq!(rig.broker.left(), 3);
}

#[test]
fn poison_that_comes_while_the_consumer_stops_is_handed_back() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.at_close = vec![("poison".to_owned(), 99)];
    });
    let consumer = rig.builder().handler(ack).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!((report.totals.released, report.totals.poisoned), (1, 0));
}
