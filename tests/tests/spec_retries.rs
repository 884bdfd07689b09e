//! Errors are neither swallowed nor do they wedge a message: retry, postpone, dead-letter.

use std::time::Duration;

use mayhem_core::{Backoff, BranchError, Delivery, Event, FanOut, Jitter, Verdict};
use mayhem_sim::{Fate, Faults, SettleKind, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn a_failure_is_retried_with_backoff_and_dead_lettered_after_max_deliveries() {
    let stage = Stage::new();
    let id = stage.broker.publish("hopeless");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            FanOut::new(delivery)
                .branch("restart", async { Err(BranchError::retry("no answer")) })
                .join()
                .await
                .verdict()
        })
        .max_deliveries(4)
        .backoff(plain_backoff())
        .build();

    let report = stage.run(consumer);

    assert_eq!(stage.deliveries(&id), [0, 1, 3, 7].map(Duration::from_secs));
    assert_eq!((report.totals.nacked, report.totals.dead_lettered), (3, 1));
    assert_eq!(report.totals.redelivered, 3);
    let Fate::Dead { reason } = stage.broker.truth(&id).fate else {
        panic!("it is a dead letter: {:?}", stage.broker.truth(&id));
    };
    assert!(reason.contains("restart: no answer"), "{reason}");
}

#[test]
fn jitter_follows_from_the_seed_and_stays_within_the_delay() {
    let delays = |seed| {
        let stage = Stage::with(seed, SimSettings::default());
        let id = stage.broker.publish("hopeless");
        stage.broker.finish();
        let consumer = stage
            .consumer()
            .handler(async |_: &Delivery| Verdict::Retry { after: None })
            .max_deliveries(6)
            .backoff(Backoff {
                jitter: Jitter::Equal,
                ..plain_backoff()
            })
            .build();
        let _ = stage.run(consumer);
        let at = stage.deliveries(&id);
        at.windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect::<Vec<_>>()
    };

    let of_one = delays(1);
    assert_eq!(of_one, delays(1));
    assert_ne!(of_one, delays(2));
    for (delay, whole) in of_one.iter().zip([1, 2, 4, 8, 16].map(Duration::from_secs)) {
        assert!(
            *delay >= whole / 2 && *delay <= whole,
            "{delay:?} of {whole:?}"
        );
    }
}

#[test]
fn a_retry_comes_back_when_its_verdict_says() {
    let stage = Stage::new();
    let id = stage.broker.publish("later");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| match delivery.attempt() {
            1 => Verdict::Retry {
                after: Some(90 * SECOND),
            },
            _ => Verdict::Ack,
        })
        .build();

    let report = stage.run(consumer);

    assert_eq!(stage.deliveries(&id), [Duration::ZERO, 90 * SECOND]);
    assert_eq!((report.totals.retried, report.totals.acked), (1, 1));
}

#[test]
fn a_postponement_is_not_an_attempt() {
    let stage = Stage::new();
    let id = stage.broker.publish("cooling down");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            assert_eq!(delivery.attempt(), 1);
            if stage.elapsed() < 100 * SECOND {
                return Verdict::Postpone { after: 10 * SECOND };
            }
            Verdict::Ack
        })
        .max_deliveries(2)
        .build();

    let report = stage.run(consumer);

    assert_eq!((report.totals.postponed, report.totals.acked), (10, 1));
    assert_eq!((report.totals.panicked, report.totals.redelivered), (0, 0));
    assert_eq!(stage.broker.truth(&id).attempts, 0);
}

#[test]
fn a_dead_letter_takes_one_attempt_and_its_reason_along() {
    let stage = Stage::new();
    let id = stage.broker.publish("malformed");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| Verdict::Dead("not JSON".to_owned()))
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.dead_lettered, 1);
    assert_eq!(stage.deliveries(&id).len(), 1);
    let reason = "not JSON".to_owned();
    assert_eq!(stage.broker.truth(&id).fate, Fate::Dead { reason });
}

#[test]
fn a_message_that_always_panics_ends_as_a_dead_letter() {
    let stage = Stage::new();
    let id = stage.broker.publish("poison");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| panic!("poisoned"))
        .max_deliveries(3)
        .build();

    let report = stage.run(consumer);

    assert_eq!(
        (report.totals.panicked, report.totals.dead_lettered),
        (3, 1)
    );
    let Fate::Dead { reason } = stage.broker.truth(&id).fate else {
        panic!("it is a dead letter: {:?}", stage.broker.truth(&id));
    };
    assert!(reason.contains("poisoned"), "{reason}");
}

#[test]
fn a_lost_reply_is_asked_for_again_and_nothing_is_assumed() {
    // Of a batch whose first reply is lost it is never known that it was acked, and there are few.
    let mut acked = 0;
    for seed in 0..10 {
        let stage = Stage::with(
            seed,
            SimSettings {
                faults: Faults {
                    reply_lost: 0.5,
                    request_lost: 0.3,
                    timeout: 5 * SECOND,
                    ..Faults::default()
                },
                ..SimSettings::default()
            },
        );
        let ids = stage.publish(100);
        stage.broker.finish();
        let consumer = stage
            .consumer()
            .handler(async |_: &Delivery| Verdict::Ack)
            .concurrency(10)
            .build();

        let report = stage.run(consumer);

        acked += report.totals.acked;
        assert!(
            ids.iter()
                .all(|id| stage.broker.truth(id).fate == Fate::Acked)
        );
        for (_, event) in stage.events() {
            if let Event::Acked(delivery) = event {
                assert_eq!(stage.broker.truth(&delivery.id).fate, Fate::Acked);
            }
        }
    }
    assert!(acked > 0);
}

#[test]
fn a_settlement_survives_a_broker_that_refuses_it_for_a_while() {
    let stage = Stage::with(
        6,
        SimSettings {
            faults: Faults {
                refused: 0.7,
                ..Faults::default()
            },
            ..SimSettings::default()
        },
    );
    let ids = stage.publish(50);
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 50);
    for id in &ids {
        assert_eq!(stage.deliveries(id).len(), 1);
        assert!(
            stage
                .settlements(id)
                .iter()
                .all(|(_, kind)| *kind == SettleKind::Ack)
        );
    }
}

fn plain_backoff() -> Backoff {
    Backoff {
        base: SECOND,
        factor: 2,
        max: 300 * SECOND,
        jitter: Jitter::None,
    }
}

const SECOND: Duration = Duration::from_secs(1);
