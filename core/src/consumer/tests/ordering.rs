use std::sync::{Arc, Mutex};

use super::testing::{Fault, Rig, Unhandled, endless, millis, seconds};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Message, NackedHead, OrderKey, Plan, Settle, Verdict};

pub(super) type Starts = Arc<Mutex<Vec<(String, u64)>>>;

/// The key of `a-1` is `a`; `-1` has none.
pub(super) fn key(id: &str) -> Option<&str> {
    let (key, _) = id.split_once('-')?;
    (!key.is_empty()).then_some(key)
}

pub(super) fn ordered(rig: &Rig) -> Unhandled {
    rig.builder()
        .ordered_by(|message: &Message| key(message.id.as_str()).map(OrderKey::of))
}

/// A handler that takes a second, and which messages it was given when, in milliseconds.
pub(super) fn second(
    rig: &Rig,
    verdict: impl Fn(&Delivery) -> Verdict + 'static,
) -> (impl AsyncFn(&Delivery) -> Verdict + 'static, Starts) {
    let (clock, starts) = (rig.clock.clone(), Starts::default());
    let told = Arc::clone(&starts);
    let handler = async move |delivery: &Delivery| {
        let at = clock.now().as_nanos() / 1_000_000;
        lock(&told).push((delivery.id().to_string(), at));
        clock.sleep(seconds(1)).await;
        verdict(delivery)
    };
    (handler, starts)
}

pub(super) fn told(starts: &Starts) -> Vec<(String, u64)> {
    lock(starts).clone()
}

pub(super) fn list(starts: &[(&str, u64)]) -> Vec<(String, u64)> {
    starts
        .iter()
        .map(|(id, at)| ((*id).to_owned(), *at))
        .collect()
}

/// Fails the first attempt of `a-1`, for as long.
pub(super) fn fails_once(after: u64) -> impl Fn(&Delivery) -> Verdict {
    move |delivery| match (delivery.id().as_str(), delivery.attempt()) {
        ("a-1", 1) => Verdict::Retry {
            after: Some(seconds(after)),
        },
        _ => Verdict::Ack,
    }
}

#[test]
fn messages_of_a_key_follow_one_another_and_no_key_waits_for_another() {
    let mut rig = Rig::new();
    rig.broker
        .publish(["a-1", "a-2", "a-3", "b-1", "-1", "-2", "b-2"]);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);

    let report = rig.run(ordered(&rig).handler(handler).build().run());

    let expected = [
        ("a-1", 0),
        ("b-1", 0),
        ("-1", 0),
        ("-2", 0),
        ("a-2", 1000),
        ("b-2", 1000),
        ("a-3", 2000),
    ];
    let mut starts = told(&starts);
    starts.sort_by_key(|(id, at)| (*at, id.clone()));
    let mut expected = list(&expected);
    expected.sort_by_key(|(id, at)| (*at, id.clone()));
    assert_eq!(starts, expected);
    assert_eq!(report.totals.acked, 7);
}

#[test]
fn who_waits_for_its_key_has_no_permit_and_keeps_its_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "b-1"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let is_slow = delivery.id().as_str() == "a-1";
        clock.sleep(seconds(if is_slow { 60 } else { 1 })).await;
        Verdict::Ack
    };
    let consumer = ordered(&rig).concurrency(2).handler(handler).build();
    let control = rig.begin(consumer);

    assert!(rig.advance(seconds(30)).is_none());
    let stats = control.stats();
    assert_eq!(
        (stats.running, stats.buffered, stats.totals.acked),
        (1, 1, 1)
    );

    let report = rig.finish();
    assert_eq!((report.totals.acked, report.totals.expired), (3, 0));
}

#[test]
fn those_behind_a_nacked_head_wait_until_it_is_back() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3", "b-1"]);
    let (handler, starts) = second(&rig, fails_once(5));
    let consumer = ordered(&rig).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(3)).is_none());
    assert_eq!(control.stats().stalled_keys, 1);
    rig.broker.publish(["a-4"]);

    let report = rig.finish();

    let expected = [
        ("a-1", 0),
        ("b-1", 0),
        ("a-1", 6000),
        ("a-2", 7000),
        ("a-3", 8000),
        ("a-4", 9000),
    ];
    assert_eq!(told(&starts), list(&expected));
    assert_eq!((report.totals.acked, report.totals.released), (5, 0));
    assert_eq!(control.stats().stalled_keys, 0);
    let is_stall = |event: &Event| matches!(event, Event::KeyStalled(_));
    assert_eq!(rig.count(is_stall), 1);
}

#[test]
fn those_behind_a_nacked_head_are_released_with_its_delay_where_the_broker_keeps_order() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3", "b-1"]);
    let (handler, starts) = second(&rig, fails_once(5));
    let builder = ordered(&rig).nacked_head(NackedHead::ReleaseTail);

    let report = rig.run(builder.handler(handler).build().run());

    let expected = [
        ("a-1", 0),
        ("b-1", 0),
        ("a-1", 6000),
        ("a-2", 7000),
        ("a-3", 8000),
    ];
    assert_eq!(told(&starts), list(&expected));
    assert_eq!((report.totals.acked, report.totals.released), (4, 2));
    let uncounted = Settle::Nack {
        after: seconds(5),
        counted: false,
    };
    let settled = rig.broker.settled();
    let released = settled.iter().filter(|(_, settle, _)| *settle == uncounted);
    assert_eq!(
        released.map(|(id, ..)| &**id).collect::<Vec<_>>(),
        ["a-2", "a-3"]
    );
    let is_told = |event: &Event| matches!(event, Event::TailReleased { count: 2, .. });
    assert_eq!(rig.count(is_told), 1);
}

#[test]
fn a_head_that_does_not_come_back_is_not_waited_for_beyond_the_leases_of_those_who_wait() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3"]);
    let (handler, starts) = second(&rig, fails_once(3000));
    let builder = ordered(&rig).lease_max(seconds(60));

    let report = rig.run(builder.handler(handler).build().run());

    // A quarter of a lease before they would have been lost.
    let expected = [
        ("a-1", 0),
        ("a-2", 57_500),
        ("a-3", 58_500),
        ("a-1", 3_001_000),
    ];
    assert_eq!(told(&starts), list(&expected));
    assert_eq!((report.totals.released, report.totals.expired), (2, 0));
}

#[test]
fn a_head_that_does_not_come_back_is_waited_for_no_longer_than_a_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2"]);
    let (handler, starts) = second(&rig, fails_once(1));
    let broker = rig.broker.clone();
    let consumer = ordered(&rig).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(millis(900)).is_none());
    // Somebody else gets it.
    control.pause();
    assert!(rig.advance(millis(200)).is_none());
    broker.with(|state| state.steal("a-1"));
    control.resume();

    let report = rig.finish();

    assert_eq!(told(&starts), list(&[("a-1", 0), ("a-2", 12_000)]));
    assert_eq!((report.totals.released, report.totals.acked), (1, 1));
}

#[test]
fn a_dead_or_panicking_head_holds_up_nobody_for_good() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3"]);
    let (handler, starts) = second(&rig, |delivery| match delivery.id().as_str() {
        "a-1" => Verdict::Dead("no".to_owned()),
        "a-2" if delivery.attempt() == 1 => panic!("a planned panic"),
        _ => Verdict::Ack,
    });

    let report = rig.run(ordered(&rig).handler(handler).build().run());

    let order: Vec<_> = told(&starts).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, ["a-1", "a-2", "a-2", "a-3"]);
    assert_eq!((report.totals.acked, report.totals.dead_lettered), (2, 1));
}

#[test]
fn a_stop_releases_every_key_in_its_order() {
    let mut rig = Rig::new();
    rig.broker
        .publish(["a-1", "b-1", "a-2", "b-2", "a-3", "c-1", "c-2"]);
    let consumer = ordered(&rig).concurrency(1).handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!((report.totals.released, report.totals.nacked), (6, 1));
    let settled = rig.broker.settled();
    for name in ["a", "b", "c"] {
        let of_key = settled
            .iter()
            .map(|(id, ..)| &**id)
            .filter(|id| key(id) == Some(name));
        let of_key: Vec<_> = of_key.filter(|id| *id != "a-1").collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}

#[test]
fn a_stop_ends_the_wait_for_a_head_that_is_away() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2"]);
    let (handler, _) = second(&rig, fails_once(60));
    let consumer = ordered(&rig).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(2)).is_none());

    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!((report.totals.released, report.totals.nacked), (1, 1));
    assert_eq!(control.stats().stalled_keys, 0);
}

#[test]
fn a_head_whose_lease_is_lost_keeps_its_place_until_its_handler_has_ended_and_it_is_back() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2"]);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);
    let consumer = ordered(&rig).handler(handler).build();
    rig.broker.with(|state| state.lease = millis(500));
    rig.broker
        .with(|state| state.extend_faults.extend([Fault::Hang; 4]));
    rig.start(consumer.run());
    assert!(rig.advance(millis(600)).is_none());
    rig.broker.with(|state| state.lease = seconds(10));

    let report = rig.finish();

    let order: Vec<_> = told(&starts).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, ["a-1", "a-1", "a-2"]);
    assert_eq!(report.totals.acked, 2);
    assert!(report.totals.expired >= 1, "{report:?}");
}

#[test]
fn a_duplicate_of_one_that_waits_changes_nothing() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3"]);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);
    let consumer = ordered(&rig).handler(handler).build();
    rig.start(consumer.run());
    assert!(rig.advance(millis(500)).is_none());
    let now = rig.clock.now();
    rig.broker.with(|state| state.redeliver(now, "a-2"));
    rig.broker.publish(["b-1"]);

    let report = rig.finish();

    let order: Vec<_> = told(&starts).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, ["a-1", "b-1", "a-2", "a-3"]);
    assert_eq!((report.totals.merged, report.totals.acked), (1, 4));
}

#[test]
fn a_message_whose_key_cannot_be_told_is_not_started() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "bad", "a-2"]);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);
    let builder = rig.builder().max_deliveries(2).ordered_by(|message| {
        let key = key(message.id.as_str()).expect("a planned panic");
        Some(OrderKey::of(key))
    });

    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(told(&starts), list(&[("a-1", 0), ("a-2", 1000)]));
    let totals = report.totals;
    assert_eq!(
        (totals.acked, totals.retried, totals.dead_lettered),
        (2, 1, 1)
    );
    assert_eq!(totals.panicked, 2);
}

#[test]
fn a_message_that_comes_during_a_stall_is_handed_back_before_its_lease_is_lost() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1"]);
    let (handler, starts) = second(&rig, fails_once(100));
    let builder = ordered(&rig).lease_max(seconds(30));
    rig.start(builder.handler(handler).build().run());
    assert!(rig.advance(seconds(5)).is_none());

    rig.broker.publish(["a-2"]);
    let report = rig.finish();

    assert_eq!((report.totals.expired, report.totals.released), (0, 1));
    // Handed back while the first was away, it went ahead of it.
    assert_eq!(told(&starts).len(), 3, "{:?}", told(&starts));
}
