use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::executor::LocalPool;
use futures::task::{FutureObj, Spawn, SpawnError};

use super::testing::{Fault, LocalSpawn, Rig, Touchy, ack, millis, seconds, sleeper};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Failure, HookOutcome, Message, Plan, Verdict};

#[test]
fn a_receive_that_fails_for_now_is_tried_again_after_a_while() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.receive_faults.extend([Fault::Retryable; 3]));

    let report = rig.run(rig.builder().handler(ack).build().run());

    assert_eq!(report.totals.acked, 1);
    assert!(rig.clock.now().as_nanos() >= 300_000_000, "no hot loop");
    assert!(report.error.is_none());
}

#[test]
fn a_broker_that_fails_for_good_stops_the_consumer_in_order() {
    for fault in [Fault::Permanent, Fault::Panic] {
        let mut rig = Rig::new();
        rig.broker.publish(["a", "b", "c"]);
        rig.broker.with(|state| {
            state.ends = false;
            state.settle_faults.extend([fault; 9]);
        });
        let clock = rig.clock.clone();
        let handler = async move |delivery: &Delivery| {
            if delivery.id().as_str() == "b" {
                clock.sleep(seconds(1000)).await;
            }
            Verdict::Ack
        };

        let report = rig.run(rig.builder().concurrency(2).handler(handler).build().run());

        assert_eq!(
            (report.totals.abandoned, report.totals.received),
            (3, 3),
            "{fault:?}"
        );
        let is_named = match fault {
            Fault::Panic => matches!(report.error, Some(Failure::BrokerPanicked(_))),
            _ => matches!(report.error, Some(Failure::Broker(_))),
        };
        assert!(is_named, "{:?}", report.error);
        assert_eq!(rig.clock.now().as_nanos(), 0, "nothing was waited for");
    }
}

#[test]
fn a_panic_at_the_very_first_call_of_the_broker_is_a_failure_like_any_other() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.caps_panic = true);
    let hook = async { Ok(()) };
    let consumer = rig.builder().after_stop("close", seconds(1), hook);

    let report = rig.run(consumer.handler(ack).build().run());

    let told = |message: &str| message.contains("a planned panic");
    assert!(matches!(&report.error, Some(Failure::BrokerPanicked(it)) if told(it)));
    assert_eq!((report.totals.received, rig.broker.left()), (0, 1));
    assert_eq!(report.hooks[0].outcome, HookOutcome::Done);
    assert_eq!(rig.broker.with(|state| state.receives), 0);
}

#[test]
fn an_observer_and_a_function_for_keys_may_panic_as_they_are_dropped() {
    for is_stopped in [false, true] {
        let mut rig = Rig::new();
        rig.broker.publish(["a", "b"]);
        let (observing, telling) = (Touchy, Touchy);
        let builder = rig.builder().ordered_by(move |_: &Message| {
            let _touchy = &telling;
            None
        });
        let consumer = builder.handler(ack).on_event(move |_| {
            let _touchy = &observing;
        });
        let consumer = consumer.build();
        let control = consumer.control();
        if is_stopped {
            control.stop(Plan::default());
        }

        let report = rig.run(consumer.run());

        let acked = if is_stopped { 0 } else { 2 };
        assert_eq!(report.totals.acked, acked, "{report:?}");
        assert!(report.error.is_none(), "{report:?}");
    }
}

#[test]
fn a_failure_of_receive_still_hands_messages_back() {
    for fault in [Fault::Permanent, Fault::Panic] {
        let mut rig = Rig::new();
        rig.broker.publish(["a", "b"]);
        let broker = rig.broker.clone();
        let clock = rig.clock.clone();
        let handler = async move |_: &Delivery| {
            broker.with(|state| state.receive_faults.push_back(fault));
            broker.publish(["c"]);
            clock.sleep(seconds(1)).await;
            Verdict::Ack
        };

        let builder = rig.builder().concurrency(1).prefetch(9);
        rig.broker.with(|state| state.receive_faults.clear());
        let report = rig.run(builder.handler(handler).build().run());

        assert!(report.error.is_some(), "{fault:?}");
        assert_eq!(report.totals.abandoned, 0);
        assert!(report.totals.released >= 1);
    }
}

#[test]
fn an_extend_that_fails_for_good_stops_the_consumer() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker
        .with(|state| state.extend_faults.push_back(Fault::Permanent));
    let handler = sleeper(&rig.clock, seconds(1000));

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert!(matches!(report.error, Some(Failure::Broker(_))));
    assert!(rig.clock.now().as_nanos() <= 5_000_000_000);
    assert_eq!(
        rig.broker.with(|state| state.extend_batches.len()),
        1,
        "not tried again"
    );
    assert_eq!(report.totals.nacked, 1);
}

#[test]
fn a_panicking_observer_stops_the_consumer_and_loses_nothing() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let builder = rig.builder().on_event(|event| {
        assert!(!matches!(event, Event::Acked(_)), "a planned panic");
    });

    let report = rig.run(builder.handler(ack).build().run());

    assert!(matches!(report.error, Some(Failure::ObserverPanicked(_))));
    assert_eq!(report.totals.acked, 2);
}

#[test]
fn spawned_handlers_are_settled_by_their_verdicts() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a", "bad"]);
    let consumer = rig.builder().max_deliveries(1).spawned_handler(
        LocalSpawn(pool.spawner()),
        |delivery: &Delivery| {
            async move {
                assert!(delivery.id().as_str() != "bad", "a planned panic");
                Verdict::Ack
            }
            .boxed()
        },
    );
    rig.start(consumer.build().run());

    let report = loop {
        pool.run_until_stalled();
        if let Some(report) = rig.settle() {
            break report;
        }
    };

    assert_eq!((report.totals.acked, report.totals.dead_lettered), (1, 1));
    assert_eq!(report.totals.panicked, 1);
}

#[test]
fn a_task_dropped_by_its_executor_is_nacked_and_not_as_an_attempt() {
    #[derive(Default)]
    struct Dropper(Mutex<u32>);
    impl Spawn for Dropper {
        fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            *lock(&self.0) += 1;
            if *lock(&self.0) > 2 {
                futures::executor::block_on(future);
            }
            Ok(())
        }
    }
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig
        .builder()
        .max_deliveries(1)
        .spawned_handler(Dropper::default(), |_: &Delivery| {
            async { Verdict::Ack }.boxed()
        });

    let report = rig.run(consumer.build().run());

    assert_eq!((report.totals.nacked, report.totals.acked), (2, 1));
    assert!(rig.count(|event| matches!(event, Event::Nacked { counted: true, .. })) == 0);
    assert!(
        rig.clock.now().as_nanos() >= millis(500).as_nanos() as u64,
        "no hot loop"
    );
}

#[test]
fn an_executor_that_is_shut_down_stops_the_consumer() {
    struct Closed;
    impl Spawn for Closed {
        fn spawn_obj(&self, _: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            Err(SpawnError::shutdown())
        }
    }
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let consumer = rig
        .builder()
        .concurrency(1)
        .spawned_handler(Closed, |_: &Delivery| async { Verdict::Ack }.boxed());

    let report = rig.run(consumer.build().run());

    assert!(matches!(report.error, Some(Failure::ExecutorShutDown)));
    assert_eq!((report.totals.nacked, report.totals.released), (1, 1));
}

#[test]
fn a_blocking_poll_of_a_task_is_measured_inside_the_task() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let consumer =
        rig.builder()
            .spawned_handler(LocalSpawn(pool.spawner()), move |_: &Delivery| {
                let clock = clock.clone();
                async move {
                    clock.block(millis(250));
                    Verdict::Ack
                }
                .boxed()
            });
    rig.start(consumer.build().run());

    let report = loop {
        // Time between polls is nobody's fault.
        rig.clock.set(rig.clock.now() + seconds(1));
        pool.run_until_stalled();
        if let Some(report) = rig.settle() {
            break report;
        }
    };

    assert_eq!(report.totals.slow_polls, 1);
    let took = rig.events().into_iter().find_map(|event| match event {
        Event::SlowPoll { took, .. } => Some(took),
        _ => None,
    });
    assert_eq!(took, Some(millis(250)));
}

#[test]
fn a_task_still_in_its_executor_is_cancelled_when_the_run_is_dropped() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let alive = Arc::new(());
    let held = Arc::downgrade(&alive);
    let slot = Mutex::new(Some(alive));
    let consumer =
        rig.builder()
            .spawned_handler(LocalSpawn(pool.spawner()), move |_: &Delivery| {
                let alive = lock(&slot).take();
                async move {
                    futures::future::pending::<()>().await;
                    drop(alive);
                    Verdict::Ack
                }
                .boxed()
            });
    rig.start(consumer.build().run());
    assert!(rig.settle().is_none());
    pool.run_until_stalled();
    assert!(held.upgrade().is_some());

    rig.abort();
    pool.run_until_stalled();

    assert!(held.upgrade().is_none());
}

/// What a consumer does that fails after 1 s with a handler that takes an hour, and is told to
/// stop `stops` times at 2 s, by this plan: when it ends.
fn stopped_after_a_failure(stops: usize, plan: Plan) -> u64 {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let clock = clock.clone();
        drop(delivery.shield({
            let clock = clock.clone();
            async move { clock.sleep(seconds(3600)).await }
        }));
        clock.sleep(seconds(3600)).await;
        Verdict::Ack
    };
    let failure_plan = Plan {
        drain: seconds(10),
        grace: seconds(20),
        flush: seconds(40),
    };
    let builder = rig.builder().failure_plan(failure_plan);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());
    rig.broker.with(|state| {
        state.receive_faults.push_back(Fault::Permanent);
        state.close_hangs = true;
    });
    control.pause();
    assert!(rig.advance(seconds(1)).is_none());

    for _ in 0..stops {
        control.stop(plan);
    }

    let report = rig.finish();
    assert!(matches!(report.error, Some(Failure::Broker(_))));
    rig.clock.now().as_nanos() / 1_000_000_000
}

#[test]
fn a_stop_after_a_failure_ends_it_no_later_than_either_plan_allows() {
    let plan = |drain, grace| Plan {
        drain: seconds(drain),
        grace: seconds(grace),
        flush: seconds(3),
    };

    assert_eq!(stopped_after_a_failure(0, plan(0, 0)), 31);
    assert_eq!(stopped_after_a_failure(1, plan(100, 100)), 31);
    assert_eq!(stopped_after_a_failure(1, plan(4, 5)), 11);
    assert_eq!(stopped_after_a_failure(1, plan(4, 100)), 26);
    assert_eq!(stopped_after_a_failure(2, plan(4, 5)), 2);
}
