//! The broker: it is honest unless told otherwise, and then it fails as told.

use std::time::Duration;

use futures::future::{Either, select};
use mayhem_core::{
    Broker, BrokerError, Clock, Extension, Instant, Outcome, Pull, Received, Settle, Settlement,
};
use mayhem_sim::{Answer, FactKind, Fate, Faults, SimBroker, SimSettings, Simulation};

const SECOND: Duration = Duration::from_secs(1);

fn honest(sim: &Simulation) -> SimBroker {
    SimBroker::new(sim, SimSettings::default())
}

fn faulty(sim: &Simulation, faults: Faults) -> SimBroker {
    let settings = SimSettings {
        faults,
        ..SimSettings::default()
    };
    SimBroker::new(sim, settings)
}

async fn receive(broker: &SimBroker) -> Vec<Received> {
    let pull = Pull::Next { count_max: 10 };
    broker
        .receive(pull)
        .await
        .expect("no fault is set for receive")
}

fn settlement(received: &Received, settle: Settle) -> Vec<Settlement> {
    vec![Settlement {
        id: received.message.id.clone(),
        lease: received.message.lease.clone(),
        settle,
    }]
}

fn extension(received: &Received, duration: Duration) -> Vec<Extension> {
    vec![Extension {
        id: received.message.id.clone(),
        lease: received.message.lease.clone(),
        duration,
    }]
}

#[test]
fn an_ack_is_final_and_a_second_settlement_finds_the_lease_gone() {
    let sim = Simulation::new(1);
    let broker = honest(&sim);
    let id = broker.publish("a");

    sim.run(async {
        let batch = receive(&broker).await;
        let ack = settlement(&batch[0], Settle::Ack);
        assert_eq!(broker.settle(ack.clone()).await.unwrap(), [Outcome::Done]);
        assert_eq!(broker.settle(ack).await.unwrap(), [Outcome::Gone]);
    })
    .unwrap();

    assert_eq!(broker.truth(&id).fate, Fate::Acked);
    assert!(broker.is_drained());
}

#[test]
fn a_lease_that_runs_out_is_an_attempt_and_a_postponement_is_none() {
    let sim = Simulation::new(2);
    let broker = honest(&sim);
    broker.publish("a");

    sim.run(async {
        let first = receive(&broker).await;
        assert_eq!(first[0].deadline, Instant::ZERO + 60 * SECOND);
        let second = receive(&broker).await;
        assert_eq!(sim.clock().now(), Instant::ZERO + 60 * SECOND);
        assert_eq!(second[0].message.attempt, 2);
        let postpone = Settle::Nack {
            after: 5 * SECOND,
            counted: false,
        };
        broker
            .settle(settlement(&second[0], postpone))
            .await
            .unwrap();
        let third = receive(&broker).await;
        assert_eq!(sim.clock().now(), Instant::ZERO + 65 * SECOND);
        assert_eq!(third[0].message.attempt, 2);
    })
    .unwrap();
}

#[test]
fn an_extended_lease_lasts_from_the_moment_of_the_extension() {
    let sim = Simulation::new(3);
    let broker = honest(&sim);
    let id = broker.publish("a");

    sim.run(async {
        let batch = receive(&broker).await;
        sim.clock().sleep(50 * SECOND).await;
        let outcome = broker.extend(extension(&batch[0], 30 * SECOND)).await;
        assert_eq!(outcome.unwrap(), [Outcome::Done]);
    })
    .unwrap();

    let until = Instant::ZERO + 80 * SECOND;
    assert!(matches!(broker.truth(&id).fate, Fate::Leased { until: end, .. } if end == until));
}

#[test]
fn a_settlement_whose_caller_gave_up_still_takes_effect() {
    let sim = Simulation::new(4);
    let settings = SimSettings {
        call_latency: SECOND..=SECOND,
        ..SimSettings::default()
    };
    let broker = SimBroker::new(&sim, settings);
    let id = broker.publish("a");

    sim.run(async {
        let batch = receive(&broker).await;
        let settle = broker.settle(settlement(&batch[0], Settle::Ack));
        let patience = sim.clock().sleep(SECOND / 2);
        assert!(matches!(select(settle, patience).await, Either::Right(_)));
        broker.drained().await;
    })
    .unwrap();

    assert_eq!(broker.truth(&id).fate, Fate::Acked);
    assert_eq!(sim.clock().now(), Instant::ZERO + SECOND);
}

#[test]
fn a_delivery_taken_by_a_dropped_receive_comes_with_the_next() {
    let sim = Simulation::new(5);
    let settings = SimSettings {
        receive_latency: SECOND..=SECOND,
        ..SimSettings::default()
    };
    let broker = SimBroker::new(&sim, settings);
    let id = broker.publish("a");

    sim.run(async {
        let pull = Pull::Next { count_max: 1 };
        let dropped = select(broker.receive(pull), sim.clock().sleep(SECOND / 2)).await;
        assert!(matches!(dropped, Either::Right(_)));
        drop(dropped);
        let batch = receive(&broker).await;
        assert_eq!(batch[0].message.id, id);
        assert_eq!(batch[0].deadline, Instant::ZERO + 60 * SECOND);
    })
    .unwrap();

    assert_eq!(broker.truth(&id).deliveries, 1);
}

#[test]
fn closing_hands_over_what_is_under_way_and_ends_the_source() {
    let sim = Simulation::new(6);
    let settings = SimSettings {
        receive_latency: SECOND..=SECOND,
        ..SimSettings::default()
    };
    let broker = SimBroker::new(&sim, settings);
    broker.publish("a");

    sim.run(async {
        let mut pending = broker.receive(Pull::Next { count_max: 1 });
        select(&mut pending, sim.clock().sleep(SECOND / 2)).await;
        assert_eq!(broker.receive(Pull::Close).await.unwrap().len(), 1);
        assert_eq!(broker.receive(Pull::Close).await.unwrap().len(), 0);
        assert_eq!(pending.await.unwrap().len(), 0);
    })
    .unwrap();
}

#[test]
fn a_lost_reply_has_taken_effect_and_a_lost_request_has_not() {
    for (reply_lost, request_lost) in [(1.0, 0.0), (0.0, 1.0)] {
        let sim = Simulation::new(7);
        let faults = Faults {
            reply_lost,
            request_lost,
            ..Faults::default()
        };
        let broker = faulty(&sim, faults);
        let id = broker.publish("a");

        sim.run(async {
            let batch = receive(&broker).await;
            let outcome = broker.settle(settlement(&batch[0], Settle::Ack)).await;
            assert!(matches!(outcome, Err(BrokerError::Retryable(_))));
            assert_eq!(sim.clock().now(), Instant::ZERO + 5 * SECOND);
        })
        .unwrap();

        assert_eq!(broker.truth(&id).fate == Fate::Acked, reply_lost == 1.0);
    }
}

#[test]
fn a_broken_broker_wakes_its_callers_and_fails_for_good() {
    let sim = Simulation::new(8);
    let faults = Faults {
        permanent_from: Some(Instant::ZERO + 3 * SECOND),
        ..Faults::default()
    };
    let broker = faulty(&sim, faults);

    for _ in 0..2 {
        let outcome = sim
            .run(broker.receive(Pull::Next { count_max: 1 }))
            .unwrap();
        assert!(matches!(outcome, Err(BrokerError::Permanent(_))));
        assert_eq!(sim.clock().now(), Instant::ZERO + 3 * SECOND);
    }
}

#[test]
fn a_duplicate_is_the_same_lease_once_more() {
    let sim = Simulation::new(9);
    let faults = Faults {
        duplicate: 1.0,
        ..Faults::default()
    };
    let broker = faulty(&sim, faults);
    let id = broker.publish("a");

    sim.run(async {
        let first = receive(&broker).await;
        let second = receive(&broker).await;
        assert_eq!(first[0].message.lease, second[0].message.lease);
    })
    .unwrap();

    assert_eq!(broker.truth(&id).deliveries, 1);
}

#[test]
fn a_lease_that_ends_early_is_delivered_again_before_the_deadline_that_was_told() {
    let sim = Simulation::new(10);
    let faults = Faults {
        early_expiry: 1.0,
        ..Faults::default()
    };
    let broker = faulty(&sim, faults);
    let id = broker.publish("a");

    sim.run(async {
        let first = receive(&broker).await;
        let second = receive(&broker).await;
        assert!(sim.clock().now() < first[0].deadline);
        assert_ne!(first[0].message.lease, second[0].message.lease);
        let late = broker.settle(settlement(&first[0], Settle::Ack)).await;
        assert_eq!(late.unwrap(), [Outcome::Gone]);
    })
    .unwrap();

    let facts = broker.facts_of(&id);
    assert_eq!(
        facts
            .iter()
            .filter(|fact| fact.kind == FactKind::Expired)
            .count(),
        1
    );
    assert_eq!(
        facts.last().map(|fact| &fact.kind),
        Some(&FactKind::SettleAnswered(Answer::Gone))
    );
}

#[test]
fn a_finished_source_ends_only_when_every_message_has_its_fate() {
    let sim = Simulation::new(11);
    let broker = honest(&sim);
    let id = broker.publish("a");
    broker.finish();

    sim.run(async {
        let batch = receive(&broker).await;
        let dead = Settle::Dead {
            reason: "malformed".to_owned(),
        };
        let end = broker.receive(Pull::Next { count_max: 1 });
        let settle = broker.settle(settlement(&batch[0], dead));
        let (end, _) = futures::join!(end, settle);
        assert!(end.unwrap().is_empty());
    })
    .unwrap();

    let reason = "malformed".to_owned();
    assert_eq!(broker.truth(&id).fate, Fate::Dead { reason });
}
