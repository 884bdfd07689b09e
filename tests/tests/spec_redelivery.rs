//! A message that comes again, and a lease that is lost: the one is not handled twice at a time,
//! the other is never settled.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use mayhem_core::{Delivery, Event, Plan, Verdict};
use mayhem_sim::{FactKind, Fate, Faults, SettleKind, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn a_lost_lease_is_told_to_the_handler_and_never_nacked() {
    let stage = stage(Faults::default());
    let id = stage.broker.publish("endless");
    stage.broker.finish();
    let (told_at, remaining) = (Cell::new(None), Cell::new(None));
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            if delivery.attempt() > 1 {
                return Verdict::Ack;
            }
            delivery.lease_lost().await;
            told_at.set(Some(stage.elapsed()));
            remaining.set(Some(delivery.lease_remaining()));
            Verdict::Retry { after: None }
        })
        .lease(LEASE)
        .lease_max(4 * LEASE)
        .build();

    let report = stage.run(consumer);

    assert!(told_at.get().is_some_and(|told_at| told_at <= 5 * LEASE));
    assert_eq!(remaining.get(), Some(Duration::ZERO));
    assert_eq!(report.totals.expired, 1);
    assert_eq!(stage.count(|event| matches!(event, Event::LeaseLost(_))), 1);
    let settlements = stage.settlements(&id);
    assert_eq!(settlements.len(), 1, "{settlements:?}");
    assert_eq!(settlements[0].1, SettleKind::Ack);
}

#[test]
fn a_lost_lease_gives_no_permit_back_before_its_handler_has_ended() {
    let stage = stage(Faults::default());
    stage.publish(2);
    stage.broker.finish();
    let running = Cell::new(0);
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            running.set(running.get() + 1);
            assert_eq!(running.get(), 1, "the limit is one");
            stage.clock.sleep(5 * LEASE).await;
            running.set(running.get() - 1);
            Verdict::Ack
        })
        .lease(LEASE)
        .lease_max(3 * LEASE)
        .concurrency(1)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(40 * LEASE).await;
        control.stop(NOW);
    };

    let report = stage.run_with(consumer, script);

    assert!(report.totals.expired > 0);
    assert_eq!(report.totals.panicked, 0);
}

#[test]
fn an_extension_that_finds_the_lease_gone_loses_it() {
    let stage = stage(Faults {
        gone: 1.0,
        ..Faults::default()
    });
    let id = stage.broker.publish("stolen");
    let told_at = Cell::new(None);
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            delivery.lease_lost().await;
            told_at.set(told_at.get().or(Some(stage.elapsed())));
            Verdict::Ack
        })
        .lease(LEASE)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(LEASE).await;
        control.stop(NOW);
    };

    let _ = stage.run_with(consumer, script);

    let facts = stage.broker.facts_of(&id);
    let extension = facts
        .iter()
        .find(|fact| matches!(fact.kind, FactKind::ExtendCalled { .. }));
    let extended_at = extension.expect("half a lease has passed").at;
    assert_eq!(
        told_at.get(),
        Some(extended_at - mayhem_core::Instant::ZERO)
    );
    assert!(stage.deliveries(&id).len() > 1, "the broker gave it away");
}

#[test]
fn a_message_delivered_twice_under_one_lease_is_handled_once() {
    let stage = stage(Faults {
        duplicate: 1.0,
        ..Faults::default()
    });
    let id = stage.broker.publish("twice");
    stage.broker.finish();
    let handled = RefCell::new(Vec::new());
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            handled.borrow_mut().push(delivery.lease_token().clone());
            stage.clock.sleep(2 * LEASE).await;
            Verdict::Ack
        })
        .lease(LEASE)
        .build();

    let report = stage.run(consumer);

    assert_eq!(handled.borrow().len(), 1);
    assert_eq!(report.totals.merged, 1);
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn a_lease_whose_ack_gets_no_answer_is_not_extended_for_ever() {
    let stage = stage(Faults {
        request_lost: 1.0,
        timeout: SECOND,
        ..Faults::default()
    });
    let id = stage.broker.publish("unheard");
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| Verdict::Ack)
        .lease(LEASE)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(3 * LEASE / 2).await;
        control.stop(NOW);
    };

    let report = stage.run_with(consumer, script);

    assert!(stage.settlements(&id).len() > 2, "it is asked for again");
    assert_eq!(report.totals.expired, 1);
    let facts = stage.broker.facts_of(&id);
    assert!(
        facts
            .iter()
            .all(|fact| !matches!(fact.kind, FactKind::ExtendCalled { .. }))
    );
}

#[test]
fn a_message_that_comes_again_before_its_nack_is_answered_is_handled_at_once() {
    let stage = Stage::with(
        1,
        SimSettings {
            lease: LEASE,
            call_latency: SECOND..=SECOND,
            ..SimSettings::default()
        },
    );
    let id = stage.broker.publish("again");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| match delivery.attempt() {
            1 => Verdict::Retry {
                after: Some(Duration::ZERO),
            },
            _ => Verdict::Ack,
        })
        .lease(LEASE)
        .nack_delay_min(Duration::ZERO)
        .build();

    let report = stage.run(consumer);

    assert_eq!((report.totals.nacked, report.totals.acked), (1, 1));
    assert_eq!(report.totals.merged, 0);
    assert_eq!(stage.deliveries(&id), [Duration::ZERO, SECOND]);
    let acked_at = stage.settlements(&id)[1];
    assert_eq!(acked_at.1, SettleKind::Ack);
    assert!(acked_at.0 <= 2 * SECOND, "{acked_at:?}");
}

#[test]
fn a_late_duplicate_does_not_take_the_place_of_the_newer_lease() {
    for seed in 0..20 {
        let settings = SimSettings {
            lease: LEASE,
            faults: Faults {
                duplicate: 1.0,
                ..Faults::default()
            },
            ..SimSettings::default()
        };
        let stage = Stage::with(seed, settings);
        let id = stage.broker.publish("late");
        stage.broker.finish();
        let consumer = stage
            .consumer()
            .handler(async |_: &Delivery| {
                if stage.elapsed().is_zero() {
                    return Verdict::Postpone {
                        after: Duration::ZERO,
                    };
                }
                stage.clock.sleep(3 * LEASE).await;
                Verdict::Ack
            })
            .lease(LEASE)
            .build();

        let report = stage.run(consumer);

        assert_eq!(report.totals.expired, 0, "seed {seed}");
        assert_eq!(stage.broker.truth(&id).attempts, 0, "seed {seed}");
    }
}

fn stage(faults: Faults) -> Stage {
    Stage::with(
        1,
        SimSettings {
            lease: LEASE,
            faults,
            ..SimSettings::default()
        },
    )
}

/// Cancels at once and lets nobody wait.
const NOW: Plan = Plan {
    drain: Duration::ZERO,
    grace: Duration::ZERO,
    flush: SECOND,
};
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(10);
