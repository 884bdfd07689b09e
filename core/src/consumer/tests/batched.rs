use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, pending, select};

use super::testing::{ManualClock, Rig, millis, seconds};
use crate::control::lock;
use crate::{
    Backoff, Batched, Clock, Delivery, Event, Handler, Message, OrderKey, Plan, Settle, Timeout,
    Verdict,
};

/// When each batch was handled, in milliseconds, and the messages in it.
type Batches = Arc<Mutex<Vec<(u64, String)>>>;

/// Acks batches after `takes`, and notes them.
fn acking(
    clock: &ManualClock,
    count_max: usize,
    within: Duration,
    takes: Duration,
) -> (impl Handler + use<>, Batches) {
    let (clock, batches) = (clock.clone(), Batches::default());
    let noted = Arc::clone(&batches);
    let function = move |deliveries: Vec<Delivery>| {
        lock(&noted).push((millis_of(&clock), names(&deliveries)));
        let clock = clock.clone();
        async move {
            clock.sleep(takes).await;
            vec![Verdict::Ack; deliveries.len()]
        }
    };
    (Batched::new(count_max, within, function), batches)
}

fn names(deliveries: &[Delivery]) -> String {
    deliveries.iter().map(|one| one.id().as_str()).collect()
}

fn millis_of(clock: &ManualClock) -> u64 {
    clock.now().as_nanos() / 1_000_000
}

fn noted(batches: &Batches) -> Vec<(u64, String)> {
    lock(batches).clone()
}

fn batch(millis: u64, names: &str) -> (u64, String) {
    (millis, names.to_owned())
}

/// What the broker was told of a message, oldest first.
fn told(rig: &Rig, id: &str) -> Vec<Settle> {
    let settled = rig.broker.settled().into_iter();
    settled
        .filter(|(message, _, _)| message == id)
        .map(|(_, settle, _)| settle)
        .collect()
}

/// Whether the broker was told once, of an attempt that failed.
fn is_attempt(rig: &Rig, id: &str) -> bool {
    matches!(told(rig, id)[..], [Settle::Nack { counted: true, .. }])
}

/// A consumer in batches of three, in which `a` has waited for the others for five seconds.
fn five_seconds_of_a(within: Duration, takes: Duration) -> (Rig, Batches) {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    rig.broker.publish(["a"]);
    let (handler, batches) = acking(&rig.clock, 3, within, takes);
    let builder = rig.builder().handler_timeout(TIMEOUT);
    let builder = builder.backoff(never_again());
    rig.start(builder.handler(handler).build().run());
    assert!(rig.advance(seconds(5)).is_none());
    (rig, batches)
}

/// Dropped after 7 s.
const TIMEOUT: Timeout = Timeout {
    soft: seconds(4),
    cancel: seconds(3),
    stuck: seconds(2),
};

/// Nothing comes back within a spec.
fn never_again() -> Backoff {
    Backoff {
        base: seconds(600),
        ..Backoff::default()
    }
}

#[test]
fn a_complete_batch_is_handled_at_once_and_each_message_has_a_verdict_of_its_own() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c", "d"]);
    let handler = Batched::new(4, seconds(60), async |deliveries: Vec<Delivery>| {
        let after = seconds(30);
        let verdict = |delivery: &Delivery| match delivery.id().as_str() {
            "b" => Verdict::Dead("not this one".to_owned()),
            "c" => Verdict::Retry { after: Some(after) },
            "d" => Verdict::Postpone { after },
            _ => Verdict::Ack,
        };
        deliveries.iter().map(verdict).collect()
    });
    rig.start(rig.builder().handler(handler).build().run());

    assert!(rig.settle().is_none());

    assert_eq!(told(&rig, "a"), [Settle::Ack]);
    let reason = "not this one".to_owned();
    assert_eq!(told(&rig, "b"), [Settle::Dead { reason }]);
    let after = seconds(30);
    let nack = |counted| Settle::Nack { after, counted };
    assert_eq!(told(&rig, "c"), [nack(true)]);
    assert_eq!(told(&rig, "d"), [nack(false)]);
}

#[test]
fn a_batch_is_handled_when_its_first_message_has_waited_for_as_long_as_it_may() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    rig.broker.publish(["a"]);
    let (handler, batches) = acking(&rig.clock, 100, seconds(3), millis(0));
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(2)).is_none());
    rig.broker.publish(["b"]);
    assert!(rig.advance(seconds(2)).is_none());
    rig.broker.publish(["c"]);
    assert!(rig.advance(seconds(20)).is_none());

    assert_eq!(noted(&batches), [batch(3_000, "ab"), batch(7_000, "c")]);
    control.stop(Plan::default());
    assert_eq!(rig.finish().totals.acked, 3);
}

#[test]
fn batches_are_handled_side_by_side_and_leases_are_kept_meanwhile() {
    let mut rig = Rig::new();
    rig.broker.publish((0..10).map(|n| n.to_string()));
    let (handler, batches) = acking(&rig.clock, 4, seconds(20), seconds(30));

    let report = rig.run(rig.builder().handler(handler).build().run());

    let expected = [batch(0, "0123"), batch(0, "4567"), batch(20_000, "89")];
    assert_eq!(noted(&batches), expected);
    assert_eq!((report.totals.acked, report.totals.received), (10, 10));
    assert_eq!(rig.clock.now().as_nanos(), 50_000_000_000);
}

#[test]
fn a_batch_is_complete_with_as_many_messages_as_may_be_handled_at_a_time() {
    let mut rig = Rig::new();
    rig.broker.publish((0..9).map(|n| n.to_string()));
    let (handler, batches) = acking(&rig.clock, 100, seconds(60), seconds(1));
    let consumer = rig.builder().concurrency(4).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    control.set_concurrency(2);

    assert_eq!(rig.finish().totals.acked, 9);

    let expected = [
        batch(0, "0123"),
        batch(1_000, "45"),
        batch(2_000, "67"),
        batch(63_000, "8"),
    ];
    assert_eq!(noted(&batches), expected);
}

#[test]
fn a_stop_has_a_batch_that_gathers_handled_at_once() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let (handler, batches) = acking(&rig.clock, 100, seconds(60), seconds(5));
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!(noted(&batches), [batch(1_000, "abc")]);
    assert_eq!(report.totals.acked, 3);
    assert_eq!(rig.clock.now().as_nanos(), 6_000_000_000);
}

#[test]
fn a_stop_that_cancels_drops_the_function_once_and_costs_no_attempt() {
    // While the batch is handled, and while it gathers; the latter needs a second stop.
    for (count_max, stops) in [(3, 1), (100, 2)] {
        let mut rig = Rig::new();
        rig.broker.publish(["a", "b", "c"]);
        let held = Rc::new(());
        let view = Rc::clone(&held);
        let handler = Batched::new(count_max, seconds(60), move |_: Vec<Delivery>| {
            let view = Rc::clone(&view);
            async move {
                pending::<()>().await;
                drop(view);
                Vec::new()
            }
        });
        let consumer = rig.builder().handler(handler).build();
        let control = rig.begin(consumer);
        assert!(rig.advance(seconds(1)).is_none());

        for _ in 0..stops {
            control.stop(Plan {
                drain: seconds(2),
                ..Plan::default()
            });
        }
        let report = rig.finish();

        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!((report.totals.nacked, report.totals.panicked), (3, 0));
        let after = Duration::ZERO;
        for id in ["a", "b", "c"] {
            let counted = false;
            assert_eq!(told(&rig, id), [Settle::Nack { after, counted }]);
        }
    }
}

#[test]
fn a_panic_of_the_function_is_one_of_every_message_of_its_batch_and_of_no_other() {
    // As it is called, and while it works.
    for is_early in [true, false] {
        let mut rig = Rig::new();
        rig.broker.publish(["a", "b", "c", "d"]);
        let clock = rig.clock.clone();
        let handler = Batched::new(2, seconds(60), move |deliveries: Vec<Delivery>| {
            let is_bad = names(&deliveries) == "ab";
            assert!(!(is_bad && is_early), "planned");
            let clock = clock.clone();
            async move {
                clock.sleep(seconds(1)).await;
                assert!(!is_bad, "planned");
                vec![Verdict::Ack; deliveries.len()]
            }
        });
        let builder = rig.builder().backoff(never_again());
        rig.start(builder.handler(handler).build().run());
        assert!(rig.advance(seconds(2)).is_none());

        let events = rig.events().into_iter();
        let panicked: Vec<_> = events
            .filter_map(|event| match event {
                Event::HandlerPanicked { delivery, message } => Some((delivery.id, message)),
                _ => None,
            })
            .collect();
        let planned = "planned".to_owned();
        let expected = ["a", "b"].map(|id| (id.into(), planned.clone()));
        assert_eq!(panicked, expected);
        for id in ["a", "b"] {
            assert!(is_attempt(&rig, id), "{id}");
        }
        for id in ["c", "d"] {
            assert_eq!(told(&rig, id), [Settle::Ack]);
        }
    }
}

#[test]
fn a_verdict_too_few_is_a_panic_of_every_message_of_the_batch() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let handler = Batched::new(2, seconds(60), async |_: Vec<Delivery>| vec![Verdict::Ack]);

    let builder = rig.builder().max_deliveries(1);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!((report.totals.panicked, report.totals.acked), (2, 0));
    let reason = "the handler panicked: 1 verdicts for a batch of 2".to_owned();
    for id in ["a", "b"] {
        let reason = reason.clone();
        assert_eq!(told(&rig, id), [Settle::Dead { reason }]);
    }
}

#[test]
fn a_message_that_leaves_while_its_batch_gathers_harms_nobody() {
    let (mut rig, batches) = five_seconds_of_a(seconds(10), millis(0));
    rig.broker.publish(["b"]);

    // a, which leads, is dropped at 7 s.
    assert!(rig.advance(seconds(20)).is_none());

    assert_eq!(noted(&batches), [batch(10_000, "b")]);
    assert_eq!(told(&rig, "b"), [Settle::Ack]);
    assert!(is_attempt(&rig, "a"));

    // Where the only one has left, the next begins a batch of its own.
    rig.broker.publish(["c"]);
    assert!(rig.advance(seconds(8)).is_none());
    rig.broker.publish(["d"]);
    assert!(rig.advance(seconds(2)).is_none());
    rig.broker.publish(["e", "f"]);
    assert!(rig.settle().is_none());
    assert_eq!(noted(&batches)[1..], [batch(35_000, "def")]);
}

#[test]
fn a_message_that_leaves_while_its_batch_is_handled_harms_nobody() {
    let (mut rig, batches) = five_seconds_of_a(seconds(60), seconds(5));
    rig.broker.publish(["b", "c"]);

    // a, which leads, is dropped at 7 s.
    assert!(rig.advance(millis(4_999)).is_none());
    assert!(told(&rig, "b").is_empty() && told(&rig, "c").is_empty());
    assert!(rig.advance(millis(1)).is_none());

    assert_eq!(noted(&batches), [batch(5_000, "abc")]);
    for id in ["b", "c"] {
        assert_eq!(told(&rig, id), [Settle::Ack]);
    }
    assert!(is_attempt(&rig, "a"));
}

#[test]
fn a_message_whose_handler_no_longer_waits_for_its_batch_is_left_out() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let (batched, batches) = acking(&rig.clock, 100, seconds(10), millis(0));
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let patience = if delivery.id().as_str() == "b" { 9 } else { 11 };
        let patience = std::pin::pin!(clock.sleep(seconds(patience)));
        match select(std::pin::pin!(batched.handle(delivery)), patience).await {
            Either::Left((verdict, _)) => verdict,
            Either::Right(_) => Verdict::Dead("it took too long".to_owned()),
        }
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(noted(&batches), [batch(10_000, "ac")]);
    let totals = report.totals;
    assert_eq!((totals.acked, totals.dead_lettered), (2, 1));
}

#[test]
fn a_message_whose_lease_is_lost_while_its_batch_gathers_is_left_out() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    rig.broker.publish(["a"]);
    let (handler, batches) = acking(&rig.clock, 3, seconds(40), millis(0));
    let builder = rig.builder().lease_max(seconds(20));
    rig.start(builder.handler(handler).build().run());
    assert!(rig.advance(seconds(30)).is_none());
    rig.broker.publish(["b"]);

    assert!(rig.advance(seconds(15)).is_none());

    assert_eq!(noted(&batches), [batch(40_000, "b")]);
    assert_eq!(told(&rig, "b"), [Settle::Ack]);
    assert!(told(&rig, "a").is_empty());
    assert_eq!(rig.count(|event| matches!(event, Event::Expired(_))), 1);
}

#[test]
fn messages_of_one_key_are_in_batches_that_follow_one_another() {
    let mut rig = Rig::new();
    rig.broker.publish(["a1", "a2", "b1", "b2"]);
    let (handler, batches) = acking(&rig.clock, 2, seconds(60), seconds(1));
    let key_of = |message: &Message| Some(OrderKey::of(&message.id.as_str().as_bytes()[0]));

    let report = rig.run(
        rig.builder()
            .ordered_by(key_of)
            .handler(handler)
            .build()
            .run(),
    );

    let expected = [batch(0, "a1b1"), batch(1_000, "a2b2")];
    assert_eq!(noted(&batches), expected);
    assert_eq!(report.totals.acked, 4);
}
