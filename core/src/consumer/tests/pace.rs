use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::{Rig, millis, seconds};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Instant, Plan, Rate, Verdict};

/// A handler that takes a while, and when it was started.
fn timed(rig: &Rig, takes: Duration) -> (impl AsyncFn(&Delivery) -> Verdict + 'static, Starts) {
    let (clock, starts) = (rig.clock.clone(), Starts::default());
    let told = Arc::clone(&starts);
    let handler = async move |_: &Delivery| {
        lock(&told).push(clock.now());
        clock.sleep(takes).await;
        Verdict::Ack
    };
    (handler, starts)
}

type Starts = Arc<Mutex<Vec<Instant>>>;

fn at(starts: &Starts) -> Vec<u64> {
    let millis = |instant: &Instant| instant.as_nanos() / 1_000_000;
    lock(starts).iter().map(millis).collect()
}

fn every_second(burst: u32) -> Rate {
    Rate {
        count: 1,
        period: seconds(1),
        burst,
    }
}

#[test]
fn handlers_start_in_a_burst_and_then_at_the_rate() {
    let mut rig = Rig::new();
    rig.broker.publish((0..6).map(|n| n.to_string()));
    let (handler, starts) = timed(&rig, millis(1));
    let builder = rig.builder().rate(every_second(3));

    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(at(&starts), [0, 0, 0, 1000, 2000, 3000]);
    assert_eq!(report.totals.acked, 6);
}

#[test]
fn what_waits_for_the_rate_keeps_its_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let (handler, starts) = timed(&rig, millis(1));
    let rate = Rate {
        count: 1,
        period: seconds(25),
        burst: 1,
    };
    let builder = rig.builder().rate(rate);

    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(at(&starts), [0, 25_000, 50_000]);
    assert_eq!((report.totals.acked, report.totals.expired), (3, 0));
}

#[test]
fn the_rate_costs_no_more_wakes_than_there_are_starts() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    rig.broker.publish((0..100).map(|n| n.to_string()));
    let starts = Starts::default();
    let (told, clock) = (Arc::clone(&starts), rig.clock.clone());
    let handler = async move |_: &Delivery| {
        lock(&told).push(clock.now());
        Verdict::Ack
    };
    let builder = rig.builder().rate(every_second(1)).lease(seconds(1000));
    rig.broker.with(|state| state.lease = seconds(1000));
    rig.start(builder.handler(handler).build().run());

    assert!(rig.advance(seconds(60)).is_none());

    assert_eq!(lock(&starts).len(), 61);
    // A start, and the answer to the settlement.
    assert!(rig.polls() <= 3 * 61, "{}", rig.polls());
}

#[test]
fn a_pause_and_a_stop_do_not_wait_for_the_rate() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let (handler, starts) = timed(&rig, millis(1));
    let builder = rig.builder().rate(every_second(1));
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(millis(500)).is_none());

    control.pause();
    assert!(rig.advance(seconds(10)).is_none());
    assert_eq!(at(&starts), [0]);
    control.resume();
    assert!(rig.advance(millis(500)).is_none());
    assert_eq!(at(&starts), [0, 10_500]);

    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");
    assert_eq!((report.totals.acked, report.totals.released), (2, 1));
}

#[test]
fn the_rate_can_be_changed_and_lifted_while_handlers_wait_for_it() {
    let mut rig = Rig::new();
    rig.broker.publish((0..8).map(|n| n.to_string()));
    let (handler, starts) = timed(&rig, millis(1));
    let builder = rig.builder().rate(every_second(1));
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(millis(1500)).is_none());

    let faster = Rate {
        count: 10,
        ..every_second(1)
    };
    control.set_rate(Some(faster));
    assert!(rig.advance(millis(200)).is_none());
    // Half of a token was there already.
    assert_eq!(at(&starts), [0, 1000, 1550, 1650]);

    control.set_rate(None);
    let report = rig.finish();
    assert_eq!(at(&starts)[4..], [1700; 4]);
    assert_eq!(report.totals.acked, 8);
    let told = |event: &Event| matches!(event, Event::RateSet(_));
    assert_eq!(rig.count(told), 2);
}

#[test]
fn lowered_concurrency_interrupts_nobody_and_holds_once_enough_have_ended() {
    let mut rig = Rig::new();
    rig.broker.publish((0..12).map(|n| n.to_string()));
    let (handler, starts) = timed(&rig, seconds(1));
    let consumer = rig.builder().concurrency(6).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(millis(500)).is_none());

    control.set_concurrency(2);
    assert!(rig.settle().is_none());
    let stats = control.stats();
    assert_eq!((stats.running, stats.concurrency), (6, 2));

    let report = rig.finish();
    let two_a_second = [1000, 1000, 2000, 2000, 3000, 3000];
    assert_eq!(at(&starts)[6..], two_a_second);
    assert_eq!(report.totals.acked, 12);
    assert_eq!(rig.count(|event| *event == Event::ConcurrencySet(2)), 1);
}

#[test]
fn raised_concurrency_starts_more_at_once_up_to_the_prefetch() {
    let mut rig = Rig::new();
    rig.broker.publish((0..1200).map(|n| n.to_string()));
    let (handler, starts) = timed(&rig, seconds(1));
    let builder = rig.builder().concurrency(1).prefetch(500);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(millis(500)).is_none());

    for concurrency in [3, 2, 70, 5000] {
        control.set_concurrency(concurrency);
        assert!(rig.settle().is_none());
        let stats = control.stats();
        assert_eq!(stats.concurrency, concurrency.min(500));
        assert_eq!(stats.running, concurrency.clamp(3, 500));
    }

    let report = rig.finish();
    assert_eq!(report.totals.acked, 1200);
    assert_eq!(lock(&starts).len(), 1200);
}

#[test]
fn a_concurrency_set_before_the_run_is_that_of_the_run() {
    let mut rig = Rig::new();
    rig.broker.publish((0..9).map(|n| n.to_string()));
    let (handler, starts) = timed(&rig, seconds(1));
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    consumer.control().set_concurrency(0);
    consumer.control().set_concurrency(3);

    let report = rig.run(consumer.run());

    assert_eq!(at(&starts), [0, 0, 0, 1000, 1000, 1000, 2000, 2000, 2000]);
    assert_eq!(report.totals.acked, 9);
}

#[test]
fn handlers_in_slots_that_were_added_are_woken_like_the_others() {
    let mut rig = Rig::new();
    rig.broker.publish((0..300).map(|n| n.to_string()));
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let number: u64 = delivery.id().as_str().parse().expect("a number");
        // Each at a time of its own, twice.
        clock.sleep(millis(10 + number)).await;
        clock.sleep(millis(10 + number)).await;
        Verdict::Ack
    };
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = rig.begin(consumer);
    for concurrency in [2, 70, 299, 300] {
        control.set_concurrency(concurrency);
        assert!(rig.advance(millis(1)).is_none());
    }
    assert_eq!(control.stats().running, 300);

    let report = rig.finish();

    assert_eq!(report.totals.acked, 300);
    assert_eq!(rig.clock.now(), Instant::ZERO + millis(3 + 2 * (10 + 299)));
}
