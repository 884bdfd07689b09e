use super::ordering::{list, second, told};
use super::testing::{Fault, Rig, endless, seconds};
use crate::{Clock, Event, Failure, Instant, Plan, Settle, Verdict};

#[test]
fn a_pause_starts_nothing_keeps_leases_and_lets_handlers_go_on() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let (handler, started) = second(&rig, |_| Verdict::Ack);
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.pause();
    assert!(rig.advance(seconds(60)).is_none());

    let stats = control.stats();
    assert!(stats.is_paused, "{stats:?}");
    assert!(control.health().is_healthy(), "{:?}", control.health());
    assert_eq!(
        (stats.totals.acked, stats.buffered, stats.running),
        (1, 2, 0)
    );
    assert!(stats.totals.extended >= 2 * 6, "{stats:?}");
    assert_eq!(told(&started), list(&[("a", 0)]));

    control.resume();
    let report = rig.finish();
    assert_eq!((report.totals.acked, report.totals.expired), (3, 0));
    let expected = [("a", 0), ("b", 60_000), ("c", 61_000)];
    assert_eq!(told(&started), list(&expected));
    let is_pause = |event: &Event| matches!(event, Event::Paused | Event::Resumed);
    let events: Vec<_> = rig.events().into_iter().filter(is_pause).collect();
    assert_eq!(events, [Event::Paused, Event::Resumed]);
}

#[test]
fn a_pause_leases_nothing_more_and_takes_in_what_is_leased_already() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.at_hold = vec![("early".to_owned(), 1)];
    });
    let (handler, started) = second(&rig, |_| Verdict::Ack);
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.pause();
    assert!(rig.settle().is_none());
    rig.broker.publish(["new"]);
    assert!(rig.advance(seconds(60)).is_none());
    assert_eq!(control.stats().totals.received, 1);
    assert!(told(&started).is_empty());

    control.resume();
    assert!(rig.advance(seconds(1)).is_none());
    assert_eq!(told(&started), list(&[("early", 60_000), ("new", 60_000)]));
    assert_eq!(rig.broker.left(), 0);
}

#[test]
fn a_paused_consumer_that_has_nothing_to_do_is_not_polled() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let (handler, _) = second(&rig, |_| Verdict::Ack);
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();
    control.pause();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());
    rig.broker.publish(["a"]);
    assert!(rig.settle().is_none());
    let polls = rig.polls();

    assert!(rig.advance(seconds(3000)).is_none());

    assert_eq!(rig.polls(), polls);
    assert_eq!(
        rig.broker.with(|state| (state.receives, state.holds)),
        (1, 1)
    );
}

#[test]
fn a_stop_goes_through_a_pause() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let (handler, started) = second(&rig, |_| Verdict::Ack);
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();
    control.pause();
    control.resume();
    control.pause();
    rig.start(consumer.run());
    assert!(rig.advance(seconds(3)).is_none());

    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(report.totals.received, 0);
    assert_eq!(rig.broker.left(), 2);
    assert!(told(&started).is_empty());
    assert_eq!(rig.count(|event| *event == Event::Paused), 1);
}

#[test]
fn a_stop_in_a_pause_releases_what_was_kept() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let consumer = rig.builder().concurrency(1).handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    control.pause();
    assert!(rig.advance(seconds(20)).is_none());

    control.stop(Plan::default());
    control.resume();
    control.pause();
    let report = rig.finish();

    assert_eq!((report.totals.released, report.totals.nacked), (2, 1));
    let counted = |settle: &Settle| matches!(settle, Settle::Nack { counted: true, .. });
    assert!(!rig.broker.settled().iter().any(|(_, it, _)| counted(it)));
}

#[test]
fn what_waits_in_a_pause_is_handed_back_before_its_longest_lease_is_over() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let (handler, started) = second(&rig, |_| Verdict::Ack);
    let builder = rig.builder().lease_max(seconds(30)).concurrency(1);
    let consumer = builder.handler(handler).build();
    let control = consumer.control();
    control.pause();
    rig.broker.with(|state| {
        state.at_hold = vec![("kept".to_owned(), 1)];
    });
    rig.start(consumer.run());

    assert!(rig.advance(seconds(29)).is_none());
    let totals = control.stats().totals;
    assert_eq!((totals.released, totals.extended), (1, 4));

    control.resume();
    let report = rig.finish();
    assert_eq!((report.totals.acked, report.totals.expired), (2, 0));
    assert_eq!(report.totals.redelivered, 0, "it was no attempt");
    assert_eq!(told(&started).len(), 2);
}

#[test]
fn a_failing_broker_is_tried_again_in_a_pause_and_stops_it_when_it_breaks() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| {
        let faults = [Fault::Retryable, Fault::Retryable, Fault::Permanent];
        state.receive_faults.extend(faults);
    });
    let (handler, _) = second(&rig, |_| Verdict::Ack);
    let consumer = rig.builder().handler(handler).build();
    consumer.control().pause();

    let report = rig.run(consumer.run());

    assert!(
        matches!(report.error, Some(Failure::Broker(_))),
        "{report:?}"
    );
    assert!(rig.broker.with(|state| state.holds) == 3);
    assert!(rig.clock.now() > Instant::ZERO, "with pauses in between");
}
