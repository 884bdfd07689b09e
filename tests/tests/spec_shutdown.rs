//! Stopping: really done, in order, each phase with its deadline, and the totals add up.

use std::time::Duration;

use mayhem_core::{Delivery, Event, Phase, Plan, Verdict};
use mayhem_sim::{Fate, Faults, SettleKind, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn a_drain_finishes_what_has_started_and_releases_the_rest_at_once() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    let report = stop_at(&stage, SECOND, PLAN, async |_| {
        stage.clock.sleep(5 * SECOND).await;
        Verdict::Ack
    });

    assert_eq!((report.totals.acked, report.totals.released), (3, 7));
    for id in &ids[..3] {
        assert_eq!(stage.broker.truth(id).fate, Fate::Acked);
    }
    for id in &ids[3..] {
        let settlements = stage.settlements(id);
        assert_eq!(
            settlements,
            [(SECOND, RELEASE)],
            "not held while others drain"
        );
        assert!(matches!(stage.broker.truth(id).fate, Fate::Ready { from } if from.as_nanos() > 0));
        assert_eq!(
            stage.broker.truth(id).attempts,
            0,
            "a release is not an attempt"
        );
    }
    assert_eq!(stage.elapsed(), 5 * SECOND);
}

#[test]
fn leases_are_extended_while_handlers_drain() {
    let stage = Stage::with(
        1,
        SimSettings {
            lease: 2 * SECOND,
            ..SimSettings::default()
        },
    );
    let id = stage.broker.publish("long");
    let report = stop_at(&stage, SECOND, PLAN, async |_| {
        stage.clock.sleep(15 * SECOND).await;
        Verdict::Ack
    });

    assert_eq!(report.totals.acked, 1);
    assert_eq!(stage.deliveries(&id), [Duration::ZERO]);
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn a_cancel_is_an_outcome_of_its_own() {
    let stage = Stage::new();
    let id = stage.broker.publish("cancelled");
    let report = stop_at(&stage, SECOND, PLAN, async |_| std::future::pending().await);

    assert_eq!(report.totals.nacked, 1);
    let totals = report.totals;
    assert_eq!(
        (totals.retried, totals.postponed, totals.panicked),
        (0, 0, 0)
    );
    assert_eq!(totals.dead_lettered + totals.abandoned + totals.expired, 0);
    assert_eq!(stage.settlements(&id), [(SECOND + PLAN.drain, RELEASE)]);
    assert_eq!(
        stage.broker.truth(&id).attempts,
        0,
        "a cancel is not an attempt"
    );
    let is_noise = |event: &Event| {
        matches!(
            event,
            Event::HandlerPanicked { .. } | Event::BranchFailed { .. } | Event::Retried { .. }
        )
    };
    assert_eq!(stage.count(is_noise), 0);
}

#[test]
fn a_second_stop_cancels_at_once() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            drop(delivery.shield(std::future::pending::<()>()));
            std::future::pending().await
        })
        .concurrency(3)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(SECOND).await;
        control.stop(PLAN);
        stage.clock.sleep(SECOND).await;
        control.stop(PLAN);
    };

    let report = stage.run_with(consumer, script);

    assert_eq!(stage.elapsed(), 2 * SECOND);
    assert_eq!(report.totals.received, 10);
    assert_eq!(report.totals.released, 7);
    assert_eq!(report.totals.nacked + report.totals.abandoned, 3);
    assert!(
        ids[3..]
            .iter()
            .all(|id| stage.settlements(id) == [(SECOND, RELEASE)])
    );
}

#[test]
fn a_second_stop_hands_back_what_was_cancelled() {
    let stage = Stage::new();
    let id = stage.broker.publish("one");
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| std::future::pending().await)
        .build();
    let control = consumer.control();
    let script = async {
        control.stop(PLAN);
        stage.clock.sleep(SECOND).await;
        control.stop(PLAN);
    };
    // The delivery is there before the first stop.
    let started = async {
        stage.clock.sleep(SECOND).await;
        script.await;
    };

    let report = stage.run_with(consumer, started);

    assert_eq!(report.totals.nacked, 1);
    assert_eq!(stage.settlements(&id), [(2 * SECOND, RELEASE)]);
    assert!(matches!(stage.broker.truth(&id).fate, Fate::Ready { .. }));
}

#[test]
fn a_third_stop_gives_up() {
    let stage = black_hole();
    stage.publish(10);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| std::future::pending().await)
        .concurrency(3)
        .build();
    let control = consumer.control();
    let script = async {
        for _ in 0..3 {
            stage.clock.sleep(SECOND).await;
            control.stop(Plan::default());
        }
    };

    let report = stage.run_with(consumer, script);

    assert_eq!(stage.elapsed(), 3 * SECOND);
    assert_eq!((report.totals.received, report.totals.abandoned), (10, 10));
}

#[test]
fn a_stop_ends_within_its_plan_though_the_broker_never_answers() {
    let stage = black_hole();
    stage.publish(10);
    let report = stop_at(&stage, SECOND, PLAN, async |_| std::future::pending().await);

    assert!(stage.elapsed() <= SECOND + PLAN.drain + PLAN.grace + PLAN.flush);
    assert_eq!((report.totals.received, report.totals.abandoned), (10, 10));
}

#[test]
fn a_stop_with_nothing_in_hand_takes_no_time() {
    let stage = Stage::new();
    let _ = stop_at(&stage, SECOND, PLAN, async |_| Verdict::Ack);
    assert_eq!(stage.elapsed(), SECOND);
}

#[test]
fn a_stop_before_the_run_handles_nothing() {
    let stage = Stage::new();
    let ids = stage.publish(3);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    consumer.control().stop(PLAN);

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 0);
    for id in &ids {
        assert!(matches!(stage.broker.truth(id).fate, Fate::Ready { .. }));
        assert_eq!(stage.broker.truth(id).attempts, 0);
    }
}

#[test]
fn the_phases_are_entered_in_order() {
    let stage = Stage::new();
    stage.publish(3);
    let _ = stop_at(&stage, SECOND, PLAN, async |delivery| {
        drop(delivery.shield(std::future::pending::<()>()));
        std::future::pending().await
    });

    let phases = [
        Phase::Draining,
        Phase::Grace,
        Phase::Flushing,
        Phase::Closed,
    ];
    let entered = stage.phases();
    let entered = entered.strip_prefix(&[Phase::Running]).unwrap_or(&entered);
    assert_eq!(entered, phases);
    let entered_at = |phase| stage.first(|event| *event == Event::Phase(phase));
    assert_eq!(entered_at(Phase::Draining), Some(SECOND));
    assert_eq!(entered_at(Phase::Grace), Some(SECOND + PLAN.drain));
}

#[test]
fn the_next_consumer_finishes_what_the_last_one_released() {
    let stage = Stage::new();
    let ids = stage.publish(30);
    for _ in 0..100 {
        if stage.broker.is_drained() {
            break;
        }
        stage.broker.reopen();
        let _ = stop_at(&stage, 2 * SECOND, PLAN, async |_| {
            stage.clock.sleep(SECOND).await;
            Verdict::Ack
        });
    }

    for id in &ids {
        assert_eq!(stage.broker.truth(id).fate, Fate::Acked);
        assert_eq!(stage.broker.truth(id).attempts, 0);
    }
}

#[test]
fn a_run_that_is_dropped_loses_nothing() {
    let stage = Stage::new();
    let ids = stage.publish(10);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| std::future::pending().await)
        .build();
    let patience = stage.clock.sleep(SECOND);
    let run = Box::pin(consumer.run());
    let dropped = stage.sim.run(futures::future::select(run, patience));
    drop(dropped.expect("the patience ends"));

    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            assert_eq!(delivery.attempt(), 2);
            Verdict::Ack
        })
        .build();
    let report = stage.sim.run(consumer.run()).expect("the source ends");

    assert_eq!((report.totals.acked, report.totals.panicked), (10, 0));
    assert!(
        ids.iter()
            .all(|id| stage.broker.truth(id).fate == Fate::Acked)
    );
}

/// Runs a consumer of three handlers at a time and stops it at an instant.
fn stop_at(
    stage: &Stage,
    delay: Duration,
    plan: Plan,
    handler: impl AsyncFn(&Delivery) -> Verdict,
) -> mayhem_core::Report {
    let consumer = stage
        .consumer()
        .handler(handler)
        .concurrency(3)
        .lease(2 * SECOND)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(delay).await;
        control.stop(plan);
    };
    stage.run_with(consumer, script)
}

/// A broker that delivers, and answers neither settlements nor extensions.
fn black_hole() -> Stage {
    Stage::with(
        1,
        SimSettings {
            faults: Faults {
                request_lost: 1.0,
                timeout: 24 * 3_600 * SECOND,
                ..Faults::default()
            },
            ..SimSettings::default()
        },
    )
}

const PLAN: Plan = Plan {
    drain: Duration::from_secs(20),
    grace: Duration::from_secs(5),
    flush: Duration::from_secs(2),
};
const RELEASE: SettleKind = SettleKind::Nack {
    after: Duration::ZERO,
    counted: false,
};
const SECOND: Duration = Duration::from_secs(1);
