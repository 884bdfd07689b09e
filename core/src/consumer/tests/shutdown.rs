use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use futures::future::pending;

use crate::testing::{Fault, Rig, millis, seconds};
use crate::{Clock, Delivery, Event, Phase, Plan, Settle, ShieldError, Verdict};

const PLAN: Plan = Plan {
    drain: seconds_const(20),
    grace: seconds_const(3),
    flush: seconds_const(2),
};

const fn seconds_const(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

fn phases(rig: &Rig) -> Vec<Phase> {
    let events = rig.events().into_iter();
    events
        .filter_map(|event| {
            if let Event::Phase(phase) = event {
                Some(phase)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn a_stop_with_nothing_in_hand_ends_at_once() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.advance(seconds(60)).is_none());

    control.stop(PLAN);
    let report = rig.settle().expect("an end");

    assert_eq!(report.totals.received, 0);
    assert_eq!(
        phases(&rig),
        [Phase::Draining, Phase::Flushing, Phase::Closed]
    );
    assert_eq!(rig.broker.with(|state| state.closes), 1);
}

#[test]
fn a_stop_before_the_run_starts_nothing() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    consumer.control().stop(PLAN);

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 0);
    assert_eq!(rig.broker.left(), 1);
}

#[test]
fn a_stop_releases_the_unstarted_and_what_the_source_still_held_and_drains_the_rest() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker
        .with(|state| state.at_close = vec![("late".to_owned(), 1)]);
    let clock = rig.clock.clone();
    let handler = async move |_: &Delivery| {
        clock.sleep(seconds(15)).await;
        Verdict::Ack
    };
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(PLAN);
    assert!(rig.settle().is_none());
    assert_eq!(control.stats().totals.released, 3);
    let report = rig.finish();

    assert_eq!((report.totals.acked, report.totals.released), (1, 3));
    assert!(report.totals.extended > 0, "leases are kept while draining");
    let uncounted = |settle: &Settle| matches!(settle, Settle::Nack { counted: false, .. });
    let handed_back = rig
        .broker
        .settled()
        .iter()
        .filter(|(_, settle, _)| uncounted(settle))
        .count();
    assert_eq!(handed_back, 3);
    assert_eq!(rig.clock.now().as_nanos(), 15_000_000_000);
}

#[test]
fn handlers_are_cancelled_when_the_drain_is_over_and_nacked_not_as_an_attempt() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| {
            pending::<()>().await;
            Verdict::Ack
        })
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (2, 0));
    assert_eq!(rig.clock.now().as_nanos(), 20_000_000_000);
    assert_eq!(
        phases(&rig),
        [
            Phase::Draining,
            Phase::Grace,
            Phase::Flushing,
            Phase::Closed
        ]
    );
}

#[test]
fn many_handlers_are_all_cancelled_even_with_no_grace() {
    let mut rig = Rig::new();
    rig.broker.publish((0..1000).map(|n| n.to_string()));
    let consumer = rig
        .builder()
        .concurrency(1000)
        .handler(async |_: &Delivery| {
            pending::<()>().await;
            Verdict::Ack
        })
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(Plan {
        drain: seconds(0),
        grace: seconds(0),
        flush: seconds(1),
    });
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (1000, 0));
}

#[test]
fn shielded_work_survives_the_cancel_and_the_delivery_waits_for_it() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let done = Arc::new(AtomicUsize::new(0));
    let (clock, counter) = (rig.clock.clone(), Arc::clone(&done));
    let handler = async move |delivery: &Delivery| {
        let (clock, counter) = (clock.clone(), Arc::clone(&counter));
        let view = delivery.clone();
        let shielded = delivery.shield(async move {
            clock.sleep(seconds(22)).await;
            assert!(view.is_cancelled());
            counter.fetch_add(1, Ordering::Relaxed);
        });
        shielded.await.expect("it is not abandoned");
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    let report = rig.finish();

    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert_eq!((report.totals.nacked, report.totals.abandoned), (1, 0));
    assert_eq!(rig.clock.now().as_nanos(), 22_000_000_000);
}

#[test]
fn shielded_work_that_outlasts_the_grace_is_dropped_and_its_delivery_abandoned() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        let result = delivery.shield(pending::<()>()).await;
        assert_eq!(result, Err(ShieldError::Abandoned));
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    let report = rig.finish();

    assert_eq!((report.totals.abandoned, report.totals.nacked), (1, 0));
    assert_eq!(rig.clock.now().as_nanos(), 23_000_000_000);
}

#[test]
fn an_ack_whose_shielded_work_panics_is_a_retry() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        if delivery.attempt() == 1 {
            drop(delivery.shield(async { panic!("a planned panic") }));
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!((report.totals.nacked, report.totals.acked), (1, 1));
    assert_eq!(
        rig.count(|event| matches!(event, Event::ShieldPanicked { .. })),
        1
    );
}

#[test]
fn the_delivery_is_settled_after_its_shielded_work() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let clock = clock.clone();
        drop(delivery.shield(async move { clock.sleep(seconds(25)).await }));
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(rig.clock.now().as_nanos(), 25_000_000_000);
    assert_eq!((report.totals.acked, report.totals.received), (1, 1));
}

#[test]
fn a_shield_from_a_view_kept_after_the_end_is_abandoned() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let kept = Arc::new(std::sync::Mutex::new(None));
    let slot = Arc::clone(&kept);
    let handler = async move |delivery: &Delivery| {
        *crate::control::lock(&slot) = Some(delivery.clone());
        Verdict::Ack
    };
    let _ = rig.run(rig.builder().handler(handler).build().run());

    let view = crate::control::lock(&kept).take().expect("a view");
    let result = futures::executor::block_on(view.shield(async { 1 }));

    assert_eq!(result, Err(ShieldError::Abandoned));
}

#[test]
fn a_second_stop_cancels_at_once_and_waits_only_for_settlements() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "shielded"]);
    rig.broker.with(|state| state.settle_latency = millis(300));
    let handler = async |delivery: &Delivery| {
        if delivery.id().as_str() == "shielded" {
            drop(delivery.shield(pending::<()>()));
        }
        pending::<()>().await;
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    assert!(rig.advance(seconds(2)).is_none());
    control.stop(Plan {
        flush: seconds(1),
        ..PLAN
    });
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (2, 1));
    assert_eq!(rig.clock.now().as_nanos(), 2_300_000_000);
}

#[test]
fn a_second_stop_ends_within_its_flush_whatever_the_broker_does() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    rig.broker.with(|state| {
        state.settle_faults.extend([Fault::Hang; 9]);
        state.close_hangs = true;
    });
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    control.stop(Plan {
        flush: seconds(1),
        ..PLAN
    });
    let report = rig.finish();

    assert_eq!(report.totals.abandoned, 2);
    assert_eq!(rig.clock.now().as_nanos(), 1_000_000_000);
}

#[test]
fn a_third_stop_gives_up_at_once() {
    let mut rig = Rig::new();
    rig.broker.publish((0..10).map(|n| n.to_string()));
    rig.broker.with(|state| state.settle_latency = seconds(1));
    let consumer = rig
        .builder()
        .concurrency(5)
        .handler(async |_: &Delivery| {
            pending::<()>().await;
            Verdict::Ack
        })
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    for _ in 0..5 {
        control.stop(PLAN);
    }
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(report.totals.abandoned, 10);
}

#[test]
fn a_source_that_never_closes_is_waited_for_until_the_flush_is_over() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.close_hangs = true;
    });
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    let control = consumer.control();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());

    control.stop(PLAN);
    let report = rig.finish();

    assert_eq!(report.totals.received, 0);
    assert_eq!(rig.clock.now().as_nanos(), 2_000_000_000);
}

#[test]
fn an_idle_consumer_is_not_polled() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let consumer = rig
        .builder()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());
    let polls = rig.polls();

    assert!(rig.advance(seconds(3000)).is_none());

    assert_eq!(rig.polls(), polls);
}

/// Whatever the moment of the stop and whatever fails, the consumer ends in the time that its plan
/// allows, every delivery has one end, and no message is lost.
#[test]
fn a_stop_at_any_moment_ends_in_time_and_adds_up() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        let count = rng.usize(0..40);
        rig.broker.publish((0..count).map(|n| n.to_string()));
        rig.broker.with(|state| {
            state.ends = false;
            state.settle_latency = millis(rng.u64(0..2_000));
            state.extend_latency = millis(rng.u64(0..8_000));
            state.caps.settle_count_max = rng.usize(1..9);
            state.caps.extend_count_max = rng.usize(0..9);
            state.close_hangs = rng.u8(0..8) == 0;
            let faults = [Fault::Retryable, Fault::Hang, Fault::Short, Fault::Lost];
            let mut draw = |count| {
                (0..count)
                    .map(|_| *rng.choice(&faults).expect("one"))
                    .collect()
            };
            (state.settle_faults, state.extend_faults) = (draw(2), draw(2));
        });
        let (clock, dice) = (rig.clock.clone(), std::cell::RefCell::new(rng.fork()));
        let handler = async move |delivery: &Delivery| {
            let (kind, pause) = (dice.borrow_mut().u8(0..8), dice.borrow_mut().u64(0..30_000));
            if kind == 0 {
                let clock = clock.clone();
                drop(delivery.shield(async move { clock.sleep(millis(pause)).await }));
            }
            if kind != 1 {
                clock.sleep(millis(pause)).await;
            }
            match kind {
                2 => panic!("a planned panic"),
                3 => Verdict::Retry { after: None },
                4 => Verdict::Postpone {
                    after: millis(pause),
                },
                5 => pending().await,
                _ => Verdict::Ack,
            }
        };
        let builder = rig
            .builder()
            .concurrency(rng.usize(1..9))
            .prefetch(rng.usize(1..30));
        let consumer = builder
            .lease_max(seconds(rng.u64(5..60)))
            .handler(handler)
            .build();
        let control = consumer.control();
        rig.start(consumer.run());

        assert!(
            rig.advance(millis(rng.u64(0..40_000))).is_none(),
            "seed {seed}"
        );
        let stops = rng.usize(1..4);
        let stopped = rig.clock.now();
        let mut report = None;
        for _ in 0..stops {
            control.stop(PLAN);
            report = report.or_else(|| rig.advance(millis(rng.u64(0..5_000))));
        }
        let report = report.unwrap_or_else(|| rig.finish());

        assert!(report.is_balanced(), "seed {seed}");
        assert!(rig.clock.now() - stopped <= seconds(40), "seed {seed}");
        let settled = rig.broker.settled();
        let gone = settled.iter().filter(|(_, settle, outcome)| {
            *outcome == crate::Outcome::Done && !matches!(settle, Settle::Nack { .. })
        });
        assert_eq!(gone.count() + rig.broker.left(), count, "seed {seed}");
    }
}
