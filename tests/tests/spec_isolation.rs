//! One message's failure touches only that message; a failure of the service stops it in order.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mayhem_core::{
    Consumer, Control, Delivery, Event, Failure, Instant, MessageId, Phase, Verdict,
};
use mayhem_sim::{Fate, Faults, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn a_panic_touches_only_its_message() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    let bad = &ids[4];
    let panicked_ids = panicking(&stage, async |delivery| {
        stage.clock.sleep(SECOND).await;
        assert!(delivery.id() != bad, "planned");
        stage.clock.sleep(SECOND).await;
        Verdict::Ack
    });

    assert_eq!(panicked_ids, std::slice::from_ref(bad));
    assert_others_acked_at_once(&stage, &ids, bad);
}

#[test]
fn a_panic_before_the_first_await_touches_only_its_message() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    let bad = &ids[0];
    let panicked_ids = panicking(&stage, async |delivery| {
        assert!(delivery.id() != bad, "planned");
        Verdict::Ack
    });

    assert_eq!(panicked_ids, std::slice::from_ref(bad));
    assert_others_acked_at_once(&stage, &ids, bad);
}

#[test]
fn a_panic_in_what_a_handler_drops_touches_only_its_message() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "planned");
        }
    }
    let stage = Stage::new();
    let ids = stage.publish(10);
    let bad = &ids[9];
    let panicked_ids = panicking(&stage, async |delivery| {
        let _bomb = Bomb(delivery.id() == bad);
        stage.clock.sleep(SECOND).await;
        Verdict::Ack
    });

    assert_eq!(panicked_ids, std::slice::from_ref(bad));
    assert_others_acked_at_once(&stage, &ids, bad);
}

#[test]
fn a_poll_that_blocks_is_reported_with_the_id_of_its_message() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    stage.broker.finish();
    let slow = &ids[3];
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            stage.clock.sleep(SECOND).await;
            let blocked = if delivery.id() == slow { 150 } else { 90 };
            stage.clock.block(Duration::from_millis(blocked));
            stage.clock.sleep(SECOND).await;
            stage.clock.block(Duration::from_millis(90));
            Verdict::Ack
        })
        .slow_poll(Duration::from_millis(100))
        .build();

    let report = stage.run(consumer);

    let slow_poll = |(_, event)| match event {
        Event::SlowPoll { delivery, took } => Some((delivery.id, took)),
        _ => None,
    };
    let slow_polls: Vec<_> = stage.events().into_iter().filter_map(slow_poll).collect();
    assert_eq!(slow_polls, [(slow.clone(), Duration::from_millis(150))]);
    assert_eq!(report.totals.slow_polls, 1);
    assert_eq!(report.totals.acked, 10);
}

#[test]
fn a_slow_poll_of_a_spawned_handler_is_reported_with_the_id_of_its_message() {
    use futures::FutureExt;
    let stage = Stage::new();
    let ids = stage.publish(4);
    stage.broker.finish();
    let (clock, slow) = (stage.clock.clone(), ids[2].clone());
    let consumer = stage
        .consumer()
        .spawned_handler(stage.sim.spawner(), move |delivery: &Delivery| {
            let (clock, is_slow) = (clock.clone(), *delivery.id() == slow);
            async move {
                clock.block(Duration::from_millis(if is_slow { 150 } else { 90 }));
                Verdict::Ack
            }
            .boxed()
        })
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.slow_polls, 1);
    let is_slow_poll = |event: &Event| matches!(event, Event::SlowPoll { .. });
    let events = stage.events();
    let slow_poll = events.iter().find(|(_, event)| is_slow_poll(event));
    assert_eq!(slow_poll.and_then(|(_, event)| event.id()), Some(&ids[2]));
}

#[test]
fn a_broker_that_breaks_stops_the_consumer_in_order() {
    let stage = Stage::with(
        1,
        SimSettings {
            faults: Faults {
                permanent_from: Some(Instant::ZERO + 5 * SECOND),
                ..Faults::default()
            },
            ..SimSettings::default()
        },
    );
    let ids = stage.publish(10);
    let started = Cell::new(0);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            started.set(started.get() + 1);
            assert!(stage.elapsed() < 5 * SECOND, "nothing starts afterwards");
            stage.clock.sleep(2 * SECOND).await;
            Verdict::Ack
        })
        .concurrency(2)
        .build();

    let report = stage.run(consumer);

    assert!(
        matches!(report.error, Some(Failure::Broker(_))),
        "{report:?}"
    );
    assert_eq!((report.totals.acked, started.get()), (4, 6));
    assert_eq!((report.totals.received, report.totals.abandoned), (10, 6));
    assert!(
        stage.elapsed() <= 15 * SECOND,
        "ended after {:?}",
        stage.elapsed()
    );
    assert_eq!(stage.phases().last(), Some(&Phase::Closed));
    assert!(stage.phases().is_sorted());
    let acked = ids
        .iter()
        .filter(|id| stage.broker.truth(id).fate == Fate::Acked);
    assert_eq!(acked.count(), 4);
}

#[test]
fn who_watches_changes_nothing() {
    let run = |seed, is_watched| {
        let faults = Faults {
            refused: 0.2,
            reply_lost: 0.2,
            duplicate: 0.2,
            early_expiry: 0.1,
            ..Faults::default()
        };
        let settings = SimSettings {
            faults,
            ..SimSettings::default()
        };
        let stage = Stage::with(seed, settings);
        stage.publish(40);
        stage.broker.finish();
        let builder = Consumer::builder()
            .broker(stage.broker.clone())
            .clock(stage.clock.clone())
            .concurrency(4)
            .handler(async |delivery: &Delivery| {
                stage.clock.sleep(40 * SECOND).await;
                assert!(delivery.attempt() > 1, "planned");
                Verdict::Ack
            });
        let report = if is_watched {
            let watched = Arc::new(OnceLock::<Control>::new());
            let watch = Arc::clone(&watched);
            let consumer = builder.on_event(move |_| {
                let control = watch.get().expect("set below");
                assert!(control.metrics().stats.totals.received >= control.stats().totals.acked);
                control.health();
            });
            let consumer = consumer.build();
            watched.set(consumer.control()).expect("set once");
            stage.sim.run(consumer.run())
        } else {
            stage.sim.run(builder.build().run())
        };
        (report.expect("it has an end").totals, stage.broker.facts())
    };

    for seed in 0..20 {
        let (watched, alone) = (run(seed, true), run(seed, false));
        assert_eq!(watched.0, alone.0, "seed {seed}");
        assert!(
            watched.1 == alone.1,
            "seed {seed}: the broker saw a difference"
        );
        assert!(
            watched.0.panicked > 0 && watched.0.extended > 0,
            "seed {seed}"
        );
    }
}

#[test]
fn an_observer_that_panics_stops_the_consumer_in_order() {
    let stage = Stage::new();
    let ids = stage.publish(5);
    let consumer = stage
        .consumer_told(|event| assert!(!matches!(event, Event::Acked(_)), "planned"))
        .handler(async |_: &Delivery| {
            stage.clock.sleep(SECOND).await;
            Verdict::Ack
        })
        .concurrency(1)
        .build();

    let report = stage.run(consumer);

    assert!(
        matches!(report.error, Some(Failure::ObserverPanicked(_))),
        "{report:?}"
    );
    assert!(report.is_balanced());
    let is_left = |id: &&MessageId| matches!(stage.broker.truth(id).fate, Fate::Ready { .. });
    let acked = ids
        .iter()
        .filter(|id| stage.broker.truth(id).fate == Fate::Acked);
    assert_eq!(
        acked.count() + ids.iter().filter(is_left).count(),
        5,
        "nothing is held"
    );
}

#[test]
fn a_handler_whose_task_is_dropped_is_nacked() {
    use futures::FutureExt;
    use futures::task::{FutureObj, Spawn, SpawnError};
    /// Takes tasks and throws them away.
    struct Careless;
    impl Spawn for Careless {
        fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            drop(future);
            Ok(())
        }
    }
    let stage = Stage::new();
    let id = stage.broker.publish("dropped");
    let consumer = stage
        .consumer()
        .spawned_handler(Careless, |_: &Delivery| async { Verdict::Ack }.boxed())
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(SECOND / 1_000).await;
        control.stop(mayhem_core::Plan::default());
    };

    let report = stage.run_with(consumer, script);

    assert!(report.totals.nacked > 0);
    assert_eq!(report.totals.acked, 0);
    assert_eq!(stage.broker.truth(&id).attempts, 0);
}

#[test]
fn an_executor_that_takes_no_more_tasks_stops_the_consumer_in_order() {
    use futures::FutureExt;
    use futures::task::{FutureObj, Spawn, SpawnError};
    struct Gone;
    impl Spawn for Gone {
        fn spawn_obj(&self, _: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            Err(SpawnError::shutdown())
        }
    }
    let stage = Stage::new();
    let id = stage.broker.publish("kept");
    let consumer = stage
        .consumer()
        .spawned_handler(Gone, |_: &Delivery| async { Verdict::Ack }.boxed())
        .build();

    let report = stage.run(consumer);

    assert!(
        matches!(report.error, Some(Failure::ExecutorShutDown)),
        "{report:?}"
    );
    assert!(matches!(stage.broker.truth(&id).fate, Fate::Ready { .. }));
    assert_eq!(stage.broker.truth(&id).attempts, 0);
}

/// Runs a handler until the source ends; a message that panicked is acked at its second attempt.
fn panicking(stage: &Stage, handler: impl AsyncFn(&Delivery) -> Verdict) -> Vec<MessageId> {
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| match delivery.attempt() {
            1 => handler(delivery).await,
            _ => Verdict::Ack,
        })
        .build();
    let report = stage.run(consumer);
    assert_eq!(report.totals.panicked, 1);
    let panic = |(_, event)| match event {
        Event::HandlerPanicked { delivery, message } => {
            assert!(message.contains("planned"), "{message}");
            Some(delivery.id)
        }
        _ => None,
    };
    stage.events().into_iter().filter_map(panic).collect()
}

fn assert_others_acked_at_once(stage: &Stage, ids: &[MessageId], bad: &MessageId) {
    for id in ids {
        let deliveries = stage.deliveries(id).len();
        assert_eq!(deliveries, if id == bad { 2 } else { 1 });
        assert_eq!(stage.broker.truth(id).fate, Fate::Acked);
    }
}

const SECOND: Duration = Duration::from_secs(1);
