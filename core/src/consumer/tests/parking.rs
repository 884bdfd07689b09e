use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::{ManualClock, Rig, millis, seconds};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Handler, Message, OrderKey, Outcome, Plan, Settle, Verdict};

/// Starts of handlers: when, in ms, which message, which attempt.
type Starts = Arc<Mutex<Vec<(u64, String, u32)>>>;

/// A world whose broker cannot delay a nack.
fn rig(ids: &[&str]) -> Rig {
    let rig = Rig::new();
    rig.broker.publish(ids.iter().copied());
    rig.broker.with(|state| state.caps.nack_delay = false);
    rig
}

/// Answers `first` to the first delivery of `a` and acks everything else.
fn handler(clock: &ManualClock, starts: &Starts, first: Verdict) -> impl Handler + use<> {
    let (clock, starts) = (clock.clone(), Arc::clone(starts));
    let seen = Mutex::new(false);
    async move |delivery: &Delivery| {
        let now = clock.now().as_nanos() / 1_000_000;
        lock(&starts).push((now, delivery.id().to_string(), delivery.attempt()));
        let is_first = delivery.id().as_str() == "a" && !std::mem::replace(&mut *lock(&seen), true);
        if is_first {
            first.clone()
        } else {
            Verdict::Ack
        }
    }
}

fn start(at: u64, id: &str, attempt: u32) -> (u64, String, u32) {
    (at, id.to_owned(), attempt)
}

fn retry(delay: Duration) -> Verdict {
    Verdict::Retry { after: Some(delay) }
}

fn nacked(id: &str, is_counted: bool) -> (String, Settle, Outcome) {
    let settle = Settle::Nack {
        after: Duration::ZERO,
        counted: is_counted,
    };
    (id.to_owned(), settle, Outcome::Done)
}

#[test]
fn a_retry_waits_without_a_permit_where_the_broker_cannot_delay() {
    let (mut rig, starts) = (rig(&["a", "b"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(seconds(3)));
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = rig.begin(consumer);

    assert!(rig.advance(seconds(1)).is_none());
    let stats = control.stats();
    assert_eq!((stats.outstanding, stats.parked, stats.running), (1, 1, 0));
    let report = rig.finish();

    assert_eq!(
        *lock(&starts),
        [start(0, "a", 1), start(0, "b", 1), start(3_000, "a", 2)]
    );
    assert_eq!(rig.broker.settled()[1], nacked("a", true));
    let totals = report.totals;
    assert_eq!((totals.retried, totals.nacked, totals.acked), (1, 1, 2));
    assert_eq!(control.stats().parked, 0);
}

#[test]
fn a_postponement_is_parked_and_is_no_attempt() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let after = seconds(3);
    let handler = handler(&rig.clock, &starts, Verdict::Postpone { after });

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(*lock(&starts), [start(0, "a", 1), start(3_000, "a", 1)]);
    assert_eq!((report.totals.postponed, report.totals.acked), (1, 1));
}

#[test]
fn the_lease_is_extended_while_a_delivery_is_parked() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(seconds(42)));

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(*lock(&starts), [start(0, "a", 1), start(42_000, "a", 2)]);
    assert!(report.totals.extended >= 4);
    assert_eq!((report.totals.received, report.totals.expired), (2, 0));
}

#[test]
fn a_delay_that_does_not_fit_into_the_longest_lease_is_cut_short() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(seconds(3_000)));

    let builder = rig.builder().lease_max(seconds(60));
    let report = rig.run(builder.handler(handler).build().run());

    // An eighth of a lease is left for the nack.
    assert_eq!(*lock(&starts), [start(0, "a", 1), start(58_750, "a", 2)]);
    assert_eq!((report.totals.nacked, report.totals.expired), (1, 0));
}

#[test]
fn a_delay_is_cut_short_by_a_lease_that_cannot_be_extended() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let handler = handler(&rig.clock, &starts, retry(seconds(3_000)));

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(*lock(&starts), [start(0, "a", 1), start(8_750, "a", 2)]);
    assert_eq!((report.totals.nacked, report.totals.expired), (1, 0));
}

#[test]
fn a_stop_hands_back_what_is_parked_at_once() {
    let (mut rig, starts) = (rig(&["a", "b"]), Starts::default());
    let after = seconds(30);
    let handler = handler(&rig.clock, &starts, Verdict::Postpone { after });
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(2)).is_none());
    assert_eq!(control.stats().parked, 1);

    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(rig.broker.settled()[1], nacked("a", false));
    assert_eq!((report.totals.nacked, rig.broker.left()), (1, 1));
}

#[test]
fn a_delay_that_is_asked_for_while_the_consumer_stops_is_not_waited_for() {
    let mut rig = rig(&["a"]);
    let clock = rig.clock.clone();
    let handler = async move |_: &Delivery| {
        clock.sleep(seconds(1)).await;
        retry(seconds(15))
    };
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!(rig.clock.now().as_nanos(), 1_000_000_000);
    assert_eq!((report.totals.nacked, report.totals.retried), (1, 1));
}

#[test]
fn a_lease_that_is_lost_while_parked_ends_its_delivery() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(seconds(30)));
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());
    // To somebody else, and back after they have failed as well.
    let now = rig.clock.now();
    rig.broker
        .with(|state| state.redeliver(now + seconds(40), "a"));

    let report = rig.finish();

    assert_eq!(*lock(&starts), [start(0, "a", 1), start(41_000, "a", 2)]);
    assert!(rig.lost() == 1);
    let totals = report.totals;
    assert_eq!((totals.expired, totals.nacked, totals.acked), (1, 0, 1));
    assert_eq!((control.stats().parked, control.stats().lost), (0, 0));
}

#[test]
fn a_parked_delivery_whose_message_comes_again_goes_on_under_the_newer_lease() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(seconds(3)));
    let consumer = rig.builder().handler(handler).build();
    rig.start(consumer.run());
    assert!(rig.advance(seconds(1)).is_none());
    let now = rig.clock.now();
    rig.broker.with(|state| state.redeliver(now, "a"));
    rig.broker.publish([""; 0]);

    let report = rig.finish();

    // The nack is for the attempt that the newer lease is of.
    assert_eq!(*lock(&starts), [start(0, "a", 1), start(3_000, "a", 3)]);
    let totals = report.totals;
    assert_eq!((totals.merged, totals.nacked, totals.acked), (1, 1, 1));
}

#[test]
fn parked_messages_do_not_keep_others_out_for_longer_than_a_second() {
    let mut rig = rig(&["0", "1", "2", "3", "other"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| match delivery.id().as_str() {
        "other" => Verdict::Ack,
        _ if clock.now().as_nanos() > 60_000_000_000 => Verdict::Ack,
        _ => Verdict::Postpone { after: seconds(60) },
    };
    let consumer = rig.builder().prefetch(4).handler(handler).build();
    rig.start(consumer.run());

    assert!(rig.advance(millis(1_100)).is_none());

    let is_other = |event: &Event| matches!(event, Event::Acked(key) if key.id.as_str() == "other");
    assert_eq!(rig.count(is_other), 1);
    assert_eq!(rig.finish().totals.acked, 5);
    assert!(rig.polls() < 1_000, "no hot loop: {}", rig.polls());
}

#[test]
fn a_message_that_is_put_off_by_nothing_does_not_spin() {
    for can_delay in [true, false] {
        let mut rig = rig(&["a", "b"]);
        rig.broker.with(|state| state.caps.nack_delay = can_delay);
        let clock = rig.clock.clone();
        let handler = async move |delivery: &Delivery| {
            let is_late = clock.now().as_nanos() >= 1_000_000_000;
            match delivery.id().as_str() {
                "a" if !is_late => Verdict::Postpone {
                    after: Duration::ZERO,
                },
                "b" if delivery.attempt() < 4 => retry(Duration::ZERO),
                _ => Verdict::Ack,
            }
        };

        let report = rig.run(rig.builder().handler(handler).build().run());

        let totals = report.totals;
        assert_eq!((totals.postponed, totals.retried), (10, 3), "{can_delay}");
        assert_eq!(totals.acked, 2);
    }
}

#[test]
fn how_long_a_message_is_put_off_at_least_can_be_chosen() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, retry(millis(1)));

    let builder = rig.builder().nack_delay_min(seconds(2));
    let _ = rig.run(builder.handler(handler).build().run());

    assert_eq!(*lock(&starts), [start(0, "a", 1), start(2_000, "a", 2)]);
}

#[test]
fn a_message_whose_key_cannot_be_told_is_parked_unstarted() {
    let (mut rig, starts) = (rig(&["a"]), Starts::default());
    let handler = handler(&rig.clock, &starts, Verdict::Ack);
    let no_key = |_: &Message| -> Option<OrderKey> { panic!("a planned panic") };

    let builder = rig.builder().ordered_by(no_key).max_deliveries(2);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(*lock(&starts), []);
    let totals = report.totals;
    assert_eq!((totals.nacked, totals.dead_lettered), (1, 1));
    assert!(rig.clock.now().as_nanos() >= 500_000_000, "no hot loop");
}

#[test]
fn large_messages_that_are_parked_leave_room_for_others() {
    let names: Vec<_> = ["a", "b", "c"].map(|name| name.repeat(50)).to_vec();
    let mut rig = rig(&[&*names[0], &*names[1]]);
    let handler = async |delivery: &Delivery| {
        if delivery.id().as_str().starts_with('c') {
            return Verdict::Ack;
        }
        Verdict::Postpone {
            after: seconds(600),
        }
    };
    rig.broker.with(|state| state.ends = false);
    let builder = rig.builder().prefetch_bytes(100);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    assert_eq!(control.stats().parked, 2);

    rig.broker.publish([&*names[2]]);
    assert!(rig.advance(seconds(10)).is_none());

    assert_eq!(control.stats().totals.acked, 1);
}
