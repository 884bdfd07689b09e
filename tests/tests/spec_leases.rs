//! A lease lasts exactly as long as its message is in hand.

use std::time::Duration;

use mayhem_core::{Clock, Delivery, Event, MessageId, Plan, Verdict};
use mayhem_sim::{FactKind, Fate, Faults, SettleKind, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn a_handler_three_leases_long_is_delivered_once() {
    let stage = stage(Faults::default());
    let id = stage.broker.publish("long");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            stage.clock.sleep(3 * LEASE).await;
            Verdict::Ack
        })
        .lease(LEASE)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 1);
    assert_eq!(stage.deliveries(&id), [Duration::ZERO]);
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn messages_that_wait_for_a_permit_keep_their_leases() {
    let stage = stage(Faults::default());
    let ids = stage.publish(20);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            stage.clock.sleep(LEASE - SECOND).await;
            Verdict::Ack
        })
        .lease(LEASE)
        .concurrency(1)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 20);
    assert_eq!(stage.elapsed(), 20 * (LEASE - SECOND));
    for id in &ids {
        assert_eq!(stage.deliveries(id), [Duration::ZERO]);
    }
}

#[test]
fn an_ack_ends_the_lease() {
    let settlement = leave(async |_| Verdict::Ack);
    assert_eq!(settlement, SettleKind::Ack);
}

#[test]
fn a_retry_ends_the_lease() {
    let settlement = leave(async |_| Verdict::Retry { after: Some(LONG) });
    let (after, counted) = (LONG, true);
    assert_eq!(settlement, SettleKind::Nack { after, counted });
}

#[test]
fn a_postponement_ends_the_lease() {
    let settlement = leave(async |_| Verdict::Postpone { after: LONG });
    let (after, counted) = (LONG, false);
    assert_eq!(settlement, SettleKind::Nack { after, counted });
}

#[test]
fn a_dead_letter_ends_the_lease() {
    let settlement = leave(async |_| Verdict::Dead("hopeless".to_owned()));
    assert_eq!(settlement, SettleKind::Dead);
}

#[test]
fn a_panic_ends_the_lease() {
    let settlement = leave(async |_| panic!("planned"));
    assert!(matches!(settlement, SettleKind::Nack { counted: true, .. }));
}

#[test]
fn a_cancel_ends_the_lease() {
    let stage = stage(Faults::default());
    let id = stage.broker.publish("cancelled");
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| std::future::pending().await)
        .lease(LEASE)
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(3 * LEASE).await;
        control.stop(NOW);
    };

    let _ = stage.run_with(consumer, script);

    let after = Duration::ZERO;
    let nack = SettleKind::Nack {
        after,
        counted: false,
    };
    assert_eq!(stage.settlements(&id), [(3 * LEASE, nack)]);
    assert!(matches!(stage.broker.truth(&id).fate, Fate::Ready { .. }));
}

#[test]
fn a_handler_is_never_promised_more_than_the_broker_grants() {
    let stage = Stage::with(
        3,
        SimSettings {
            lease: LEASE,
            call_latency: Duration::ZERO..=SECOND,
            ..SimSettings::default()
        },
    );
    stage.publish(20);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            for _ in 0..100 {
                let promised = stage.clock.now() + delivery.lease_remaining();
                let truth = stage.broker.truth(delivery.id());
                let Fate::Leased { until, .. } = truth.fate else {
                    panic!("the lease is kept: {truth:?}");
                };
                assert!(promised <= until, "{promised:?} is after {until:?}");
                stage.clock.sleep(SECOND / 3).await;
            }
            Verdict::Ack
        })
        .lease(LEASE)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.panicked, 0);
    assert_eq!(report.totals.acked, 20);
}

#[test]
fn leases_survive_extensions_that_fail_for_a_while() {
    let stage = stage(Faults {
        refused: 0.5,
        ..Faults::default()
    });
    let ids = stage.publish(20);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            stage.clock.sleep(10 * LEASE).await;
            Verdict::Ack
        })
        .lease(LEASE)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 20);
    assert!(ids.iter().all(|id| stage.deliveries(id).len() == 1));
    assert!(stage.count(|event| matches!(event, Event::BrokerFailed { .. })) > 0);
}

#[test]
fn a_thousand_leases_that_came_together_are_extended_at_a_few_instants() {
    let stage = stage(Faults::default());
    stage.publish(1_000);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| {
            stage.clock.sleep(3 * LEASE).await;
            Verdict::Ack
        })
        .lease(LEASE)
        .concurrency(1_000)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 1_000);
    let facts = stage.broker.facts();
    let called = facts
        .iter()
        .filter(|fact| matches!(fact.kind, FactKind::ExtendCalled { .. }));
    let mut instants: Vec<_> = called.map(|fact| fact.at).collect();
    instants.dedup();
    assert!(instants.len() <= 6, "extended at {instants:?}");
}

/// Lets one handler end one way, waits ten leases, and returns how the lease was settled; it was
/// settled once, at once, and was not extended afterwards.
fn leave(handler: impl AsyncFn(&Delivery) -> Verdict) -> SettleKind {
    let stage = stage(Faults::default());
    let id: MessageId = stage.broker.publish("one");
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            stage.clock.sleep(2 * LEASE).await;
            handler(delivery).await
        })
        .lease(LEASE)
        .backoff(mayhem_core::Backoff {
            base: LONG,
            max: LONG,
            ..mayhem_core::Backoff::default()
        })
        .build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(12 * LEASE).await;
        control.stop(NOW);
    };

    let _ = stage.run_with(consumer, script);

    let settlements = stage.settlements(&id);
    assert_eq!(settlements.len(), 1, "{settlements:?}");
    assert_eq!(settlements[0].0, 2 * LEASE);
    let facts = stage.broker.facts_of(&id);
    let settled_at = facts
        .iter()
        .find(|fact| matches!(fact.kind, FactKind::Settled(_)));
    let settled_at = settled_at.expect("an honest broker does as it is told").at;
    let is_extension = |kind: &FactKind| matches!(kind, FactKind::Extended { .. });
    assert!(facts.iter().any(|fact| is_extension(&fact.kind)));
    assert!(
        !facts
            .iter()
            .any(|fact| fact.at > settled_at && is_extension(&fact.kind))
    );
    settlements[0].1
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
/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(3_600);
