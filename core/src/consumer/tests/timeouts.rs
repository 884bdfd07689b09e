use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::executor::LocalPool;
use futures::future::pending;

use super::testing::{LocalSpawn, Rig, Touchy, endless, millis, seconds, sleeper};
use crate::control::lock;
use crate::{Clock, Delivery, Event, Instant, Plan, Settle, Timeout, Verdict};

/// Told after 4 s, dropped after 7 s, stuck after 9 s.
const TIMEOUT: Timeout = Timeout {
    soft: seconds(4),
    cancel: seconds(3),
    stuck: seconds(2),
};

/// What was said about handlers that take too long, in order.
fn said(rig: &Rig) -> Vec<(&'static str, u64)> {
    let events = rig.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::HandlerOverdue { after, .. } => Some(("overdue", after.as_secs())),
            Event::HandlerTimedOut { after, .. } => Some(("timed out", after.as_secs())),
            Event::HandlerStuck { after, .. } => Some(("stuck", after.as_secs())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_handler_that_takes_too_long_is_told_then_dropped_and_its_message_retried() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let log = Arc::new(Mutex::new(Vec::new()));
    let (clock, entries) = (rig.clock.clone(), Arc::clone(&log));
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() == 2 {
            return Verdict::Ack;
        }
        delivery.overdue().await;
        lock(&entries).push((clock.now().as_nanos() / 1_000_000, delivery.is_overdue()));
        let _dropped = Log(clock.clone(), Arc::clone(&entries));
        pending().await
    };

    let builder = rig.builder().handler_timeout(TIMEOUT);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(*lock(&log), [(4_000, true), (7_000, false)]);
    assert_eq!(said(&rig), [("overdue", 4), ("timed out", 7)]);
    let totals = report.totals;
    assert_eq!(
        (
            totals.timed_out,
            totals.retried,
            totals.nacked,
            totals.acked
        ),
        (1, 1, 1, 1)
    );
    assert!(rig.count(|event| matches!(event, Event::Nacked { counted: true, .. })) == 1);
}

/// Notes when it is dropped.
struct Log(crate::testing::ManualClock, Arc<Mutex<Vec<(u64, bool)>>>);

impl Drop for Log {
    fn drop(&mut self) {
        lock(&self.1).push((self.0.now().as_nanos() / 1_000_000, false));
    }
}

#[test]
fn a_message_whose_handlers_always_take_too_long_is_dead_lettered_as_that() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);

    let builder = rig.builder().handler_timeout(TIMEOUT).max_deliveries(3);
    let report = rig.run(builder.handler(endless).build().run());

    assert_eq!(
        (report.totals.timed_out, report.totals.dead_lettered),
        (3, 1)
    );
    let settled = rig.broker.settled();
    let reason = "timed out after 7s".to_owned();
    assert_eq!(
        settled.last().map(|(_, settle, _)| settle),
        Some(&Settle::Dead { reason })
    );
}

#[test]
fn a_handler_that_ends_once_it_is_told_is_settled_by_its_verdict() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        delivery.overdue().await;
        Verdict::Ack
    };

    let builder = rig.builder().handler_timeout(TIMEOUT);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!((report.totals.acked, report.totals.timed_out), (1, 0));
    assert_eq!(said(&rig), [("overdue", 4)]);
}

#[test]
fn a_timeout_concerns_no_later_handler_in_the_same_place() {
    let mut rig = Rig::new();
    rig.broker.publish((0..9).map(|n| n.to_string()));
    let handler = sleeper(&rig.clock, seconds(3));

    let builder = rig.builder().handler_timeout(TIMEOUT).concurrency(1);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!(report.totals.acked, 9);
    assert_eq!(said(&rig), []);
}

#[test]
fn handlers_that_ended_in_time_leave_no_timer_behind() {
    let mut rig = Rig::new();
    rig.broker.publish((0..500).map(|n| n.to_string()));
    rig.broker.with(|state| state.ends = false);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let number: u64 = delivery.id().as_str().parse().expect("a number");
        clock.sleep(millis(number)).await;
        Verdict::Ack
    };
    let builder = rig.builder().handler_timeout(TIMEOUT).concurrency(10);
    let consumer = builder.handler(handler).build();
    rig.start(consumer.run());
    assert!(rig.advance(seconds(60)).is_none());
    let polls = rig.polls();

    assert!(rig.advance(seconds(3000)).is_none());

    assert_eq!(rig.polls(), polls);
    assert_eq!(said(&rig), []);
}

#[test]
fn a_task_that_does_not_yield_is_stuck_and_keeps_its_permit_and_its_lease_up_to_the_longest() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let builder = rig.builder().handler_timeout(TIMEOUT).concurrency(1);
    let consumer = builder
        .lease_max(seconds(60))
        .max_deliveries(2)
        .spawned_handler(LocalSpawn(pool.spawner()), |_: &Delivery| {
            async { Verdict::Ack }.boxed()
        })
        .build();
    let control = rig.begin(consumer);

    // The pool is not run: it is as busy as one with a task that blocks its thread.
    assert!(rig.advance(seconds(59)).is_none());

    assert_eq!(said(&rig), [("overdue", 4), ("timed out", 7), ("stuck", 9)]);
    let stats = control.stats();
    assert_eq!((stats.stuck, stats.running, stats.lost), (1, 1, 0));
    let extended = stats.totals.extended;
    assert!(extended > 10, "both leases are extended: {extended}");
    assert!(rig.advance(seconds(60)).is_none());
    assert_eq!(control.stats().lost, 1);
    assert_eq!(control.stats().totals.released, 2, "what waits goes back");

    control.stop(Plan::default());
    let report = loop {
        pool.run_until_stalled();
        if let Some(report) = rig.advance(seconds(1)) {
            break report;
        }
    };
    assert_eq!((report.totals.expired, control.stats().stuck), (1, 0));
}

#[test]
fn a_cancelled_task_that_ends_with_a_verdict_after_all_is_settled_by_it() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let builder = rig.builder().handler_timeout(TIMEOUT);
    let consumer = builder.spawned_handler(LocalSpawn(pool.spawner()), move |_: &Delivery| {
        let clock = clock.clone();
        async move {
            clock.block(seconds(9));
            Verdict::Ack
        }
        .boxed()
    });
    rig.start(consumer.build().run());
    assert!(rig.settle().is_none());

    pool.run_until_stalled();
    let report = rig.finish();

    assert_eq!((report.totals.acked, report.totals.nacked), (1, 0));
}

#[test]
fn shielded_work_is_not_dropped_but_reported_and_waited_for() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() == 2 {
            return Verdict::Ack;
        }
        let (clock, counter) = (clock.clone(), Arc::clone(&counter));
        let view = delivery.clone();
        let work = delivery.shield(async move {
            clock.sleep(seconds(20)).await;
            assert!(view.is_cancelled());
            counter.fetch_add(1, Ordering::Relaxed);
        });
        work.await.expect("it is not abandoned");
        Verdict::Ack
    };
    let builder = rig.builder().handler_timeout(TIMEOUT);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);

    assert!(rig.advance(seconds(19)).is_none());
    assert_eq!((control.stats().stuck, control.stats().running), (1, 1));
    let report = rig.finish();

    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert_eq!(said(&rig), [("overdue", 4), ("timed out", 7), ("stuck", 9)]);
    // An attempt: it was not a stop that cancelled it.
    assert_eq!(report.totals.retried, 1);
    assert_eq!((report.totals.nacked, report.totals.acked), (1, 1));
    assert_eq!(control.stats().stuck, 0);
}

#[test]
fn a_handler_cancelled_by_a_stop_is_no_attempt_however_long_it_took() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let clock = clock.clone();
        drop(delivery.shield(async move { clock.sleep(seconds(12)).await }));
        pending().await
    };
    let builder = rig.builder().handler_timeout(TIMEOUT).max_deliveries(1);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(Plan {
        drain: seconds(5),
        grace: seconds(20),
        flush: seconds(1),
    });
    let report = rig.finish();

    assert_eq!(said(&rig), [("overdue", 4), ("stuck", 9)]);
    assert_eq!(
        (report.totals.timed_out, report.totals.dead_lettered),
        (0, 0)
    );
    assert_eq!(report.totals.nacked, 1);
    assert!(rig.count(|event| matches!(event, Event::Nacked { counted: false, .. })) == 1);
}

#[test]
fn a_handler_that_takes_too_long_while_draining_is_dropped_as_before() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let builder = rig.builder().handler_timeout(TIMEOUT);
    let consumer = builder.handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!((report.totals.timed_out, report.totals.retried), (1, 1));
    assert_eq!(rig.clock.now().as_nanos(), 7_000_000_000);
}

#[test]
fn nothing_is_told_to_the_broker_of_a_handler_that_lost_its_lease_and_is_dropped() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.lease = seconds(5));
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let handler = async |delivery: &Delivery| match delivery.attempt() {
        1 => pending().await,
        _ => Verdict::Ack,
    };

    let builder = rig.builder().handler_timeout(TIMEOUT).prefetch(1);
    let report = rig.run(builder.handler(handler).build().run());

    let totals = report.totals;
    assert_eq!(
        (
            totals.timed_out,
            totals.expired,
            totals.nacked,
            totals.acked
        ),
        (1, 1, 0, 1)
    );
    assert_eq!(rig.clock.now().as_nanos(), 7_000_000_000);
}

#[test]
fn a_panic_in_the_destructor_of_a_handler_that_is_dropped_is_a_panic_of_the_handler() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        if delivery.attempt() == 2 {
            return Verdict::Ack;
        }
        let _touchy = Touchy;
        pending().await
    };

    let builder = rig.builder().handler_timeout(TIMEOUT).concurrency(1);
    let report = rig.run(builder.handler(handler).build().run());

    assert_eq!((report.totals.panicked, report.totals.acked), (1, 1));
}

#[test]
fn tasks_that_have_ended_when_they_are_due_are_not_timed_out() {
    // More than are looked at in one pass.
    const MANY: usize = 1_000;
    let mut rig = Rig::new();
    let mut pool = LocalPool::new();
    rig.broker.publish((0..MANY).map(|n| n.to_string()));
    let clock = rig.clock.clone();
    let builder = rig.builder().concurrency(MANY).prefetch(MANY);
    let builder = builder.handler_timeout(TIMEOUT);
    let consumer = builder.spawned_handler(LocalSpawn(pool.spawner()), move |_: &Delivery| {
        let clock = clock.clone();
        async move {
            clock.sleep(TIMEOUT.total()).await;
            Verdict::Ack
        }
        .boxed()
    });
    rig.start(consumer.build().run());
    assert!(rig.settle().is_none());
    pool.run_until_stalled();
    assert!(rig.advance(TIMEOUT.total() - millis(1)).is_none());

    let due = rig.clock.now() + millis(1);
    rig.clock.set(due);
    pool.run_until_stalled();
    let report = rig.finish();

    assert_eq!(
        (report.totals.acked, report.totals.timed_out),
        (MANY as u64, 0)
    );
    assert!(!said(&rig).contains(&("timed out", 7)));
}

#[test]
fn a_handler_that_is_stuck_until_the_end_of_time_is_reported_then() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let timeout = Timeout {
        soft: seconds(4),
        cancel: seconds(3),
        stuck: Duration::MAX,
    };
    // Never run.
    let pool = LocalPool::new();
    let builder = rig.builder().handler_timeout(timeout).prefetch(1);
    let consumer = builder.spawned_handler(LocalSpawn(pool.spawner()), |_: &Delivery| {
        async { Verdict::Ack }.boxed()
    });
    rig.start(consumer.build().run());
    assert!(rig.advance(seconds(8)).is_none());

    rig.clock.set(Instant::from_nanos(u64::MAX));
    assert!(rig.settle().is_none());

    let stuck = ("stuck", Duration::MAX.as_secs());
    assert_eq!(said(&rig), [("overdue", 4), ("timed out", 7), stuck]);
}
