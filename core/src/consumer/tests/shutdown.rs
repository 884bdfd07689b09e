use futures::future::pending;

use super::testing::{Fault, Rig, Touchy, ack, endless, millis, seconds, sleeper};
use crate::{Clock, Delivery, Event, Phase, Plan, Settle, Verdict};

fn phases(rig: &Rig) -> Vec<Phase> {
    let events = rig.events().into_iter();
    events
        .filter_map(|event| {
            if let Event::Phase(phase) = event {
                Some(phase)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn a_stop_with_nothing_in_hand_ends_at_once() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let consumer = rig.builder().handler(ack).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(60)).is_none());

    control.stop(Plan::default());
    let report = rig.settle().expect("an end");

    assert_eq!(report.totals.received, 0);
    assert_eq!(
        phases(&rig),
        [Phase::Draining, Phase::Flushing, Phase::Closed]
    );
    assert_eq!(rig.broker.with(|state| state.closes), 1);
}

#[test]
fn a_stop_before_the_run_starts_nothing() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig.builder().handler(ack).build();
    consumer.control().stop(Plan::default());

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 0);
    assert_eq!(rig.broker.left(), 1);
}

#[test]
fn a_stop_releases_the_unstarted_and_what_the_source_still_held_and_drains_the_rest() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker
        .with(|state| state.at_close = vec![("late".to_owned(), 1)]);
    let handler = sleeper(&rig.clock, seconds(15));
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(Plan::default());
    assert!(rig.settle().is_none());
    assert_eq!(control.stats().totals.released, 3);
    let report = rig.finish();

    assert_eq!((report.totals.acked, report.totals.released), (1, 3));
    assert!(report.totals.extended > 0, "leases are kept while draining");
    let uncounted = |settle: &Settle| matches!(settle, Settle::Nack { counted: false, .. });
    let handed_back = rig
        .broker
        .settled()
        .iter()
        .filter(|(_, settle, _)| uncounted(settle))
        .count();
    assert_eq!(handed_back, 3);
    assert_eq!(rig.clock.now().as_nanos(), 15_000_000_000);
}

#[test]
fn a_stop_hands_back_what_waits_in_the_fewest_calls_while_handlers_run() {
    // Before any lease is extended, and while the answer to some extensions is awaited; and with
    // calls that are answered at once and take more than is handed back in one pass.
    let (before, within) = (millis(1000), millis(6010));
    for (stop, latency, batch) in [
        (before, millis(50), 100),
        (within, millis(50), 100),
        (before, millis(0), 500),
    ] {
        let mut rig = Rig::new();
        rig.broker.publish((0..1010).map(|n| n.to_string()));
        rig.broker.with(|state| {
            state.settle_latency = latency;
            state.extend_latency = millis(50);
            state.caps.settle_count_max = batch;
        });
        let handler = sleeper(&rig.clock, seconds(15));
        let builder = rig.builder().concurrency(10).prefetch(1010);
        let consumer = builder.handler(handler).build();
        let control = rig.begin(consumer);
        assert!(rig.advance(stop).is_none());

        control.stop(Plan::default());
        assert!(rig.advance(millis(500)).is_none());
        let stats = control.stats();
        let report = rig.finish();

        assert_eq!((stats.running, stats.outstanding), (10, 10));
        assert_eq!(stats.totals.released, 1000);
        let calls = rig.broker.with(|state| state.settle_batches.clone());
        let (releases, acks) = calls.split_at(1000 / batch);
        assert!(releases.iter().all(|count| *count == batch), "{calls:?}");
        assert_eq!((report.totals.acked, report.totals.released), (10, 1000));
        assert_eq!(acks.iter().sum::<usize>(), 10);
    }
}

#[test]
fn handlers_are_cancelled_when_the_drain_is_over_and_nacked_not_as_an_attempt() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let consumer = rig.builder().handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (2, 0));
    let nack = Settle::Nack {
        after: seconds(0),
        counted: false,
    };
    let settled = rig.broker.settled();
    assert!(settled.iter().all(|(_, it, _)| *it == nack), "{settled:?}");
    assert_eq!(rig.clock.now().as_nanos(), 20_000_000_000);
    assert_eq!(
        phases(&rig),
        [
            Phase::Draining,
            Phase::Grace,
            Phase::Flushing,
            Phase::Closed
        ]
    );
}

#[test]
fn many_handlers_are_all_cancelled_even_with_no_grace() {
    let mut rig = Rig::new();
    rig.broker.publish((0..1000).map(|n| n.to_string()));
    let consumer = rig.builder().concurrency(1000).handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan {
        drain: seconds(0),
        grace: seconds(0),
        flush: seconds(1),
    });
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (1000, 0));
}

#[test]
fn a_second_stop_cancels_at_once_and_waits_only_for_settlements() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "shielded"]);
    rig.broker.with(|state| state.settle_latency = millis(300));
    let handler = async |delivery: &Delivery| {
        if delivery.id().as_str() == "shielded" {
            drop(delivery.shield(pending::<()>()));
        }
        pending::<()>().await;
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    assert!(rig.advance(seconds(2)).is_none());
    control.stop(Plan {
        flush: seconds(1),
        ..Plan::default()
    });
    let report = rig.finish();

    assert_eq!((report.totals.nacked, report.totals.abandoned), (2, 1));
    assert_eq!(rig.clock.now().as_nanos(), 2_300_000_000);
}

#[test]
fn a_second_stop_ends_within_its_flush_whatever_the_broker_does() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    rig.broker.with(|state| {
        state.settle_faults.extend([Fault::Hang; 9]);
        state.close_hangs = true;
    });
    let consumer = rig.builder().handler(ack).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    control.stop(Plan {
        flush: seconds(1),
        ..Plan::default()
    });
    let report = rig.finish();

    assert_eq!(report.totals.abandoned, 2);
    assert_eq!(rig.clock.now().as_nanos(), 1_000_000_000);
}

#[test]
fn a_third_stop_gives_up_at_once() {
    let mut rig = Rig::new();
    rig.broker.publish((0..10).map(|n| n.to_string()));
    rig.broker.with(|state| state.settle_latency = seconds(1));
    let consumer = rig.builder().concurrency(5).handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    for _ in 0..5 {
        control.stop(Plan::default());
    }
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(report.totals.abandoned, 10);
}

#[test]
fn a_source_that_never_closes_is_waited_for_until_the_flush_is_over() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.close_hangs = true;
    });
    let consumer = rig.builder().handler(ack).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!(report.totals.received, 0);
    assert_eq!(rig.clock.now().as_nanos(), 2_000_000_000);
}

#[test]
fn an_idle_consumer_is_not_polled() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let consumer = rig.builder().handler(ack).build();
    rig.start(consumer.run());
    assert!(rig.settle().is_none());
    let polls = rig.polls();

    assert!(rig.advance(seconds(3000)).is_none());

    assert_eq!(rig.polls(), polls);
}

#[test]
fn a_handler_that_panics_because_a_stop_cancels_it_has_not_failed() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |_: &Delivery| {
        let _touchy = Touchy;
        pending::<Verdict>().await
    };
    let consumer = rig.builder().max_deliveries(1).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    let handed_back = Settle::Nack {
        after: std::time::Duration::ZERO,
        counted: false,
    };
    let settled = rig.broker.settled();
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!(settled[0].1, handed_back);
    assert_eq!((report.totals.panicked, report.totals.nacked), (1, 1));
}
