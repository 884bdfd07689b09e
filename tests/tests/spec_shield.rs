//! Shielded work: what `shield` promises, and what becomes of it in the end.

use std::cell::Cell;
use std::time::Duration;

use mayhem_core::{Delivery, Event, Plan, Verdict};
use mayhem_sim::SettleKind;
use mayhem_tests::contract::Stage;

#[test]
fn shielded_work_survives_the_cancel_of_its_handler() {
    let stage = Stage::new();
    let id = stage.broker.publish("shielded");
    let (saved_at, is_handler_over) = (Cell::new(None), Cell::new(false));
    let (clock, (sender, receiver)) = (stage.clock.clone(), futures::channel::oneshot::channel());
    let sender = Cell::new(Some(sender));
    let handler = async |delivery: &Delivery| {
        let (clock, sender) = (clock.clone(), sender.take());
        let saved = delivery.shield(async move {
            clock.sleep(PLAN.drain + 3 * SECOND).await;
            // Ignored: the test has failed and gone.
            let _ = sender.map(|sender| sender.send(()));
        });
        let _ = saved.await;
        is_handler_over.set(true);
        Verdict::Ack
    };
    let consumer = stage.consumer().handler(handler).build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(SECOND).await;
        control.stop(PLAN);
        receiver.await.expect("it runs to its end");
        saved_at.set(Some(stage.elapsed()));
    };

    let report = stage.run_with(consumer, script);

    assert_eq!(saved_at.get(), Some(PLAN.drain + 3 * SECOND));
    assert!(!is_handler_over.get(), "the handler was cancelled before");
    assert_eq!((report.totals.nacked, report.totals.abandoned), (1, 0));
    let settlements = stage.settlements(&id);
    assert_eq!(
        settlements,
        [(PLAN.drain + 3 * SECOND, RELEASE)],
        "settled after its work"
    );
}

#[test]
fn shielded_work_is_abandoned_at_the_end_of_the_grace_and_reported() {
    let stage = Stage::new();
    let id = stage.broker.publish("shielded");
    let report = stop_at(&stage, SECOND, PLAN, async |delivery| {
        let _ = delivery.shield(std::future::pending::<()>()).await;
        Verdict::Ack
    });

    assert_eq!((report.totals.nacked, report.totals.abandoned), (0, 1));
    let abandoned =
        |event: &Event| matches!(event, Event::Abandoned(delivery) if delivery.id == id);
    assert_eq!(
        stage.first(abandoned),
        Some(SECOND + PLAN.drain + PLAN.grace)
    );
    assert_eq!(stage.elapsed(), SECOND + PLAN.drain + PLAN.grace);
}

#[test]
fn an_ack_waits_for_the_shielded_work_of_its_delivery() {
    let stage = Stage::new();
    let id = stage.broker.publish("shielded");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            let clock = stage.clock.clone();
            // Nobody waits for the result, and still nothing outlives the delivery.
            drop(delivery.shield(async move { clock.sleep(7 * SECOND).await }));
            Verdict::Ack
        })
        .build();

    let report = stage.run(consumer);

    assert_eq!(report.totals.acked, 1);
    assert_eq!(stage.settlements(&id), [(7 * SECOND, SettleKind::Ack)]);
}

#[test]
fn a_panic_in_shielded_work_turns_an_ack_into_a_retry() {
    let stage = Stage::new();
    let id = stage.broker.publish("shielded");
    stage.broker.finish();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            if delivery.attempt() == 1 {
                drop(delivery.shield(async { panic!("planned") }));
            }
            Verdict::Ack
        })
        .build();

    let report = stage.run(consumer);

    assert_eq!((report.totals.retried, report.totals.acked), (1, 1));
    assert_eq!(stage.deliveries(&id).len(), 2);
    let is_reported = |event: &Event| match event {
        Event::ShieldPanicked { message, .. } => message == "planned",
        _ => false,
    };
    assert_eq!(stage.count(is_reported), 1);
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
