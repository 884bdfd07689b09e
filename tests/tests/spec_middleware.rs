//! What is put around handlers: functions that take a handler, or its future.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use mayhem_core::{Backoff, Batched, Clock, Delivery, Handler, Verdict};
use mayhem_sim::{Fate, SimClock};
use mayhem_tests::contract::Stage;
use mayhem_tests::contract::single::{NOW, fate, one_message};

/// What was noted, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Notes when it is dropped.
struct Noted(Log, &'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Around a handler: notes its beginning and its end.
fn named(name: &'static str, log: &Log, handler: impl Handler) -> impl Handler {
    let log = log.clone();
    async move |delivery: &Delivery| {
        log.note(format!("{name} begins"));
        let verdict = handler.handle(delivery).await;
        log.note(format!("{name} ends"));
        verdict
    }
}

/// Around a handler: only messages that say something come to it.
fn filled(handler: impl Handler) -> impl Handler {
    async move |delivery: &Delivery| {
        if delivery.payload().is_empty() {
            return Verdict::Dead("it is empty".to_owned());
        }
        handler.handle(delivery).await
    }
}

/// Around the future of a handler, in either mode: notes its message, its verdict and its time.
async fn timed(
    clock: SimClock,
    log: Log,
    delivery: &Delivery,
    handling: impl Future<Output = Verdict>,
) -> Verdict {
    let begun = clock.now();
    let verdict = handling.await;
    let took = clock.now() - begun;
    log.note(format!("{} {verdict:?} {took:?}", delivery.id()));
    verdict
}

async fn restart(clock: SimClock, delivery: &Delivery) -> Verdict {
    clock.sleep(SECOND).await;
    if delivery.payload() == b"unknown" {
        return Verdict::Dead("no such target".to_owned());
    }
    Verdict::Ack
}

#[test]
fn what_is_around_a_handler_sees_its_message_its_verdict_and_its_time() {
    let stage = Stage::new();
    stage.broker.publish("web-1");
    stage.broker.publish("unknown");
    stage.broker.finish();
    let log = Log::default();
    let handler = async |delivery: &Delivery| {
        let clock = stage.clock.clone();
        let handling = restart(clock.clone(), delivery);
        timed(clock, log.clone(), delivery, handling).await
    };

    let _ = stage.run(stage.consumer().handler(handler).build());

    let dead = r#"m-2 Dead("no such target") 1s"#;
    assert_eq!(log.entries(), ["m-1 Ack 1s", dead]);
}

#[test]
fn the_same_is_put_around_handlers_that_are_tasks() {
    let stage = Stage::new();
    stage.broker.publish("web-1");
    stage.broker.finish();
    let (log, clock) = (Log::default(), stage.clock.clone());
    let told = log.clone();
    let consumer = stage
        .consumer()
        .spawned_handler(stage.sim.spawner(), move |delivery| {
            let handling = restart(clock.clone(), delivery);
            timed(clock.clone(), told.clone(), delivery, handling).boxed()
        });

    let _ = stage.run(consumer.build());

    assert_eq!(log.entries(), ["m-1 Ack 1s"]);
}

#[test]
fn what_is_around_a_handler_may_answer_in_its_place() {
    let log = Log::default();
    let handler = || named("handler", &log, async |_: &Delivery| Verdict::Ack);

    let reason = "it is empty".to_owned();
    assert_eq!(fate("", filled(handler())), Fate::Dead { reason });
    assert!(log.entries().is_empty(), "the handler is not called");
    assert_eq!(fate("web-1", filled(handler())), Fate::Acked);
    assert_eq!(log.entries().len(), 2);
}

#[test]
fn what_is_around_a_handler_runs_in_the_order_in_which_it_is_read() {
    let log = Log::default();
    let handler = async |_: &Delivery| {
        log.note("handler");
        Verdict::Ack
    };

    let wrapped = named("outer", &log, named("inner", &log, handler));
    assert_eq!(fate("web-1", wrapped), Fate::Acked);

    let order = [
        "outer begins",
        "inner begins",
        "handler",
        "inner ends",
        "outer ends",
    ];
    assert_eq!(log.entries(), order);
}

#[test]
fn what_is_around_a_handler_is_dropped_with_it_by_a_panic_and_by_a_cancel() {
    for is_panic in [true, false] {
        let (stage, _) = one_message();
        let log = Log::default();
        let inner = async |_: &Delivery| {
            let _noted = Noted(log.clone(), "handler dropped");
            stage.clock.sleep(SECOND).await;
            assert!(!is_panic, "planned");
            std::future::pending().await
        };
        let handler = async |delivery: &Delivery| {
            let _noted = Noted(log.clone(), "wrapper dropped");
            inner(delivery).await
        };
        // It does not come again before the stop.
        let backoff = Backoff {
            base: 600 * SECOND,
            ..Backoff::default()
        };
        let builder = stage.consumer().backoff(backoff);
        let consumer = builder.handler(handler).build();
        let control = consumer.control();
        let script = async {
            stage.clock.sleep(2 * SECOND).await;
            control.stop(NOW);
        };

        let report = stage.run_with(consumer, script);

        assert_eq!(log.entries(), ["handler dropped", "wrapper dropped"]);
        assert_eq!(report.totals.panicked, u64::from(is_panic));
    }
}

#[test]
fn each_message_of_a_batch_has_what_is_around_its_handler_for_itself() {
    let stage = Stage::new();
    for payload in ["web-1", "", "web-2"] {
        stage.broker.publish(payload);
    }
    stage.broker.finish();
    let log = Log::default();
    let batched = Batched::new(2, SECOND, async |deliveries: Vec<Delivery>| {
        let payloads: Vec<&[u8]> = deliveries.iter().map(Delivery::payload).collect();
        log.note(String::from_utf8(payloads.join(&b' ')).expect("text"));
        vec![Verdict::Ack; deliveries.len()]
    });

    let report = stage.run(stage.consumer().handler(filled(batched)).build());

    assert_eq!(log.entries(), ["web-1 web-2"]);
    assert_eq!((report.totals.acked, report.totals.dead_lettered), (2, 1));
}

const SECOND: Duration = Duration::from_secs(1);
