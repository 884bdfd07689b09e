use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::task::Spawn;

use super::testing::{Rig, Touchy, ack, millis, seconds, sleeper};
use crate::control::lock;
use crate::{
    Backoff, BranchError, Broker, Clock, Consumer, Delivery, Event, FanOut, Jitter, Outcome,
    Settle, Verdict,
};

fn exact() -> Backoff {
    Backoff {
        jitter: Jitter::None,
        ..Backoff::default()
    }
}

#[test]
fn an_acked_message_is_settled_once_and_the_source_end_ends_the_run() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);

    let report = rig.run(rig.builder().handler(ack).build().run());

    assert_eq!((report.totals.received, report.totals.acked), (2, 2));
    assert!(report.error.is_none());
    let acked = |id: &str| (id.to_owned(), Settle::Ack, Outcome::Done);
    assert_eq!(rig.broker.settled(), [acked("a"), acked("b")]);
}

#[test]
fn slow_handlers_take_the_time_of_one_up_to_the_concurrency() {
    let mut rig = Rig::new();
    rig.broker.publish((0..1000).map(|n| n.to_string()));
    let handler = sleeper(&rig.clock, millis(100));

    let report = rig.run(rig.builder().concurrency(50).handler(handler).build().run());

    assert_eq!(report.totals.acked, 1000);
    assert_eq!(rig.clock.now().as_nanos(), 2_000_000_000);
}

#[test]
fn a_long_run_of_instant_work_lets_other_tasks_run_and_goes_on_by_itself() {
    let mut rig = Rig::new();
    rig.broker.publish((0..300).map(|n| n.to_string()));
    // All in hand, so that no call of receive is waiting that could wake the consumer.
    let builder = rig.builder().prefetch(300).concurrency(1);

    let report = rig.run(builder.handler(ack).build().run());

    assert_eq!(report.totals.acked, 300);
    assert!(rig.polls() > 20, "one poll does not do it all");
    assert_eq!(rig.clock.now().as_nanos(), 0, "and no timer was needed");
}

#[test]
fn a_retry_waits_for_the_backoff_and_counts_as_an_attempt() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let times = Arc::new(Mutex::new(Vec::new()));
    let (clock, seen) = (rig.clock.clone(), Arc::clone(&times));
    let handler = async move |delivery: &Delivery| {
        lock(&seen).push((clock.now().as_nanos() / 1_000_000, delivery.attempt()));
        if delivery.attempt() < 3 {
            Verdict::Retry { after: None }
        } else {
            Verdict::Ack
        }
    };

    let report = rig.run(
        rig.builder()
            .backoff(exact())
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(*lock(&times), [(0, 1), (1000, 2), (3000, 3)]);
    let totals = report.totals;
    assert_eq!(
        (
            totals.nacked,
            totals.retried,
            totals.acked,
            totals.redelivered
        ),
        (2, 2, 1, 2)
    );
}

#[test]
fn a_retry_at_the_last_delivery_is_dead_lettered_with_the_last_error() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        let failing = async { Err(BranchError::retry("the disk is full")) };
        FanOut::new(delivery)
            .branch("record", failing)
            .join()
            .await
            .verdict()
    };

    let report = rig.run(
        rig.builder()
            .max_deliveries(3)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!((report.totals.nacked, report.totals.dead_lettered), (2, 1));
    let reason = "record: the disk is full".to_owned();
    assert_eq!(
        rig.broker.settled().last(),
        Some(&("a".to_owned(), Settle::Dead { reason }, Outcome::Done))
    );
}

#[test]
fn a_storm_of_immediate_retries_ends_at_the_last_delivery() {
    let mut rig = Rig::new();
    rig.broker.publish((0..50).map(|n| n.to_string()));
    let handler = async |_: &Delivery| Verdict::Retry {
        after: Some(millis(0)),
    };

    let report = rig.run(
        rig.builder()
            .max_deliveries(4)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(
        (report.totals.dead_lettered, report.totals.nacked),
        (50, 150)
    );
    assert_eq!(rig.broker.left(), 0);
}

#[test]
fn a_postponement_is_not_an_attempt() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let handler = async move |delivery: &Delivery| {
        assert_eq!(delivery.attempt(), 1);
        match counter.fetch_add(1, Ordering::Relaxed) {
            0..20 => Verdict::Postpone { after: seconds(2) },
            _ => Verdict::Ack,
        }
    };

    let report = rig.run(
        rig.builder()
            .max_deliveries(2)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(
        (
            report.totals.postponed,
            report.totals.nacked,
            report.totals.acked
        ),
        (20, 20, 1)
    );
    assert_eq!(rig.clock.now().as_nanos(), 40_000_000_000);
}

#[test]
fn a_panic_is_reported_retried_and_touches_no_other_message() {
    let mut rig = Rig::new();
    rig.broker.publish(["bad", "good"]);
    let handler = async |delivery: &Delivery| {
        assert!(
            delivery.id().as_str() != "bad",
            "cannot do {}",
            delivery.id()
        );
        Verdict::Ack
    };

    let builder = rig.builder().concurrency(1).max_deliveries(2);
    let report = rig.run(builder.handler(handler).build().run());

    let totals = report.totals;
    assert_eq!(
        (
            totals.acked,
            totals.panicked,
            totals.nacked,
            totals.dead_lettered
        ),
        (1, 2, 1, 1)
    );
    let reason = "the handler panicked: cannot do bad".to_owned();
    let dead =
        rig.count(|event| matches!(event, Event::DeadLettered { reason: r, .. } if *r == reason));
    assert_eq!(dead, 1);
}

#[test]
fn a_panic_in_a_destructor_of_a_handler_leaves_its_permit_free() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let handler = async |delivery: &Delivery| {
        let _touchy = (delivery.id().as_str() == "a").then(|| Touchy);
        Verdict::Ack
    };

    let builder = rig.builder().concurrency(1).max_deliveries(1);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!((report.totals.acked, report.totals.dead_lettered), (2, 1));
}

#[test]
fn a_branch_failure_and_a_branch_panic_are_reported_once_and_siblings_go_on() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let done = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&done);
    let handler = async move |delivery: &Delivery| {
        let sibling = async {
            clock.sleep(seconds(1)).await;
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        FanOut::new(delivery)
            .branch("restart", sibling)
            .branch("record", async { panic!("no disk") })
            .optional("notify", async { Err(BranchError::dead("no such room")) })
            .join()
            .await
            .verdict()
    };

    let report = rig.run(
        rig.builder()
            .max_deliveries(1)
            .handler(handler)
            .build()
            .run(),
    );

    assert_eq!(report.totals.dead_lettered, 1);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    let failed = |name: &str, text: &str| {
        rig.count(|event| {
            matches!(event, Event::BranchFailed { branch, error, .. }
                if *branch == name && *error == text)
        })
    };
    assert_eq!(failed("record", "panicked: no disk"), 1);
    assert_eq!(failed("notify", "no such room"), 1);
    assert_eq!(
        rig.count(|event| matches!(event, Event::BranchFailed { .. })),
        2
    );
}

#[test]
fn a_poll_that_blocks_is_reported_with_its_id_and_its_length() {
    let mut rig = Rig::new();
    rig.broker.publish(["slow", "quick"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        if delivery.id().as_str() == "slow" {
            clock.block(millis(150));
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(report.totals.slow_polls, 1);
    let slow = rig.events().into_iter().find_map(|event| match event {
        Event::SlowPoll { delivery, took } => Some((delivery.id.to_string(), took)),
        _ => None,
    });
    assert_eq!(slow, Some(("slow".to_owned(), millis(150))));
}

#[test]
fn running_is_send_when_the_handler_is() {
    fn is_send(_: impl Send) {}
    fn check(spawn: impl Spawn + Send + Sync, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) {
        let builder = || {
            Consumer::builder()
                .broker(broker.clone())
                .clock(clock.clone())
        };
        let name = String::from("x");
        let fan_out = async move |delivery: &Delivery| {
            let is_meant = async { delivery.id().as_str() == name };
            let branch = async {
                if is_meant.await {
                    Err(BranchError::retry("no"))
                } else {
                    Ok(())
                }
            };
            let shielded = delivery.shield(async { 1 });
            let other = async {
                shielded.await.map_err(BranchError::retry)?;
                Ok(())
            };
            FanOut::new(delivery)
                .branch("a", branch)
                .optional("b", other)
                .join()
                .await
                .verdict()
        };
        is_send(builder().handler(fan_out).build().run());
        let spawned = builder().spawned_handler(spawn, |delivery: &Delivery| {
            async move {
                FanOut::new(delivery)
                    .branch("a", async { Ok(()) })
                    .join()
                    .await
                    .verdict()
            }
            .boxed()
        });
        is_send(spawned.build().run());
    }
    let rig = Rig::new();
    check(
        Nobody,
        Arc::new(rig.broker.clone()),
        Arc::new(rig.clock.clone()),
    );
}

struct Nobody;

impl Spawn for Nobody {
    fn spawn_obj(
        &self,
        _future: futures::task::FutureObj<'static, ()>,
    ) -> Result<(), futures::task::SpawnError> {
        Ok(())
    }
}
