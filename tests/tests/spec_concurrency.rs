//! Waiting is not working in turn: many slow handlers take the time of few.

use std::cell::Cell;
use std::time::Duration;

use mayhem_core::{Delivery, Event, Verdict};
use mayhem_tests::contract::Stage;

#[test]
fn a_thousand_handlers_of_100_ms_take_the_time_of_a_thousand_divided_by_the_concurrency() {
    for (concurrency, rounds) in [(1, 1_000), (64, 16), (1_000, 1)] {
        let stage = Stage::new();
        stage.publish(1_000);
        stage.broker.finish();
        let consumer = stage
            .consumer()
            .handler(async |_: &Delivery| {
                stage.clock.sleep(100 * MILLISECOND).await;
                Verdict::Ack
            })
            .concurrency(concurrency)
            .build();

        let report = stage.run(consumer);

        assert_eq!(report.totals.acked, 1_000);
        assert_eq!(stage.elapsed(), rounds * 100 * MILLISECOND);
    }
}

#[test]
fn spawned_handlers_are_as_concurrent_as_inline_ones() {
    use futures::FutureExt;
    let stage = Stage::new();
    stage.publish(1_000);
    stage.broker.finish();
    let clock = stage.clock.clone();
    let consumer = stage
        .consumer()
        .spawned_handler(stage.sim.spawner(), move |_: &Delivery| {
            let sleep = clock.sleep(100 * MILLISECOND);
            async move {
                sleep.await;
                Verdict::Ack
            }
            .boxed()
        })
        .concurrency(64)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 1_000);
    assert_eq!(stage.elapsed(), 16 * 100 * MILLISECOND);
    assert_eq!(stage.sim.task_count(), 0);
}

#[test]
fn never_more_handlers_run_than_the_concurrency_allows() {
    for concurrency in [1, 7, 64] {
        let stage = Stage::new();
        stage.publish(300);
        stage.broker.finish();
        let (running, running_max) = (Cell::new(0), Cell::new(0));
        let consumer = stage
            .consumer()
            .handler(async |delivery: &Delivery| {
                running.set(running.get() + 1);
                running_max.set(running_max.get().max(running.get()));
                let length = delivery.id().as_str().len() as u32;
                stage.clock.sleep(length * 10 * MILLISECOND).await;
                running.set(running.get() - 1);
                Verdict::Ack
            })
            .concurrency(concurrency)
            .build();

        let _ = stage.run(consumer);

        assert_eq!(running_max.get(), concurrency);
    }
}

#[test]
fn one_slow_message_does_not_hold_up_the_others() {
    let stage = Stage::new();
    let ids = stage.publish(11);
    stage.broker.finish();
    let slow = &ids[0];
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            let is_slow = delivery.id() == slow;
            let length = if is_slow { 3_600 * SECOND } else { SECOND };
            stage.clock.sleep(length).await;
            Verdict::Ack
        })
        .concurrency(2)
        .lease_max(2 * 3_600 * SECOND)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 11);
    let others_acked = stage.events().into_iter().filter(|(at, event)| {
        matches!(event, Event::Acked(_)) && at.as_nanos() <= (10 * SECOND).as_nanos() as u64
    });
    assert_eq!(others_acked.count(), 10);
}

#[test]
fn a_prefetch_of_one_still_handles_everything() {
    let stage = Stage::new();
    stage.publish(50);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| Verdict::Ack)
        .prefetch(1)
        .build();

    assert_eq!(stage.run(consumer).totals.acked, 50);
}

#[test]
fn no_more_deliveries_are_in_hand_than_the_prefetch_allows() {
    let stage = Stage::new();
    stage.publish(200);
    stage.broker.finish();
    let in_hand = Cell::new(0_usize);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            stage.clock.sleep(SECOND).await;
            Verdict::Ack
        })
        .concurrency(4)
        .prefetch(10)
        .build();
    let control = consumer.control();

    let watch = async {
        while !stage.broker.is_drained() {
            in_hand.set(in_hand.get().max(control.stats().outstanding));
            stage.clock.sleep(100 * MILLISECOND).await;
        }
    };
    let report = stage.run_with(consumer, watch);

    assert_eq!(report.totals.acked, 200);
    assert_eq!(in_hand.get(), 10);
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
