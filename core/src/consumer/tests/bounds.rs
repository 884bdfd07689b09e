use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::future::poll_fn;

use super::testing::{Rig, endless, seconds};
use crate::{Delivery, Plan, Verdict};

/// More messages than one poll may look at, ten times over.
const MANY: usize = 5_000;

/// How many polls of `run()` so much work takes at least: each does a bounded part of it, and may
/// do one part too many of each kind.
const POLLS_MIN: usize = MANY / 1_024;

fn rig() -> Rig {
    let rig = Rig::new();
    rig.broker.publish((0..MANY).map(|id| id.to_string()));
    rig.broker.with(|state| {
        state.ends = false;
        state.caps.settle_count_max = MANY;
        state.caps.extend_count_max = MANY;
    });
    rig
}

#[test]
fn a_large_batch_is_taken_up_a_part_at_a_time() {
    let mut rig = rig();
    let builder = rig.builder().concurrency(MANY).prefetch(MANY);
    let consumer = builder.handler(endless).build();
    let control = rig.begin(consumer);

    assert!(rig.settle().is_none());

    assert_eq!(control.stats().running, MANY);
    assert!(rig.polls() >= 2 * POLLS_MIN, "{} polls", rig.polls());
}

#[test]
fn handlers_that_are_always_awake_take_turns_and_leave_room_for_others() {
    let mut rig = rig();
    let least = Rc::new(Cell::new(0));
    let polled = Rc::clone(&least);
    let handler = async move |_: &Delivery| {
        let mut left = 20;
        poll_fn(|cx| {
            polled.set(polled.get() + 1);
            left -= 1;
            if left == 0 {
                return Poll::Ready(Verdict::Ack);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    };
    let builder = rig.builder().concurrency(MANY).prefetch(MANY);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);

    assert!(rig.settle().is_none());

    assert_eq!(least.get(), 20 * MANY);
    assert_eq!(control.stats().totals.acked, MANY as u64);
    assert!(rig.polls() >= 20 * POLLS_MIN, "{} polls", rig.polls());
}

#[test]
fn a_large_answer_to_an_extension_is_applied_a_part_at_a_time() {
    let mut rig = rig();
    let builder = rig.builder().concurrency(1).prefetch(MANY);
    let consumer = builder.handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    let before = rig.polls();

    assert!(rig.advance(seconds(30)).is_none());

    let stats = control.stats();
    assert_eq!((stats.outstanding, stats.totals.expired), (MANY, 0));
    assert!(rig.polls() - before >= POLLS_MIN);
}

#[test]
fn a_stop_releases_and_cancels_a_part_at_a_time_and_misses_nobody() {
    let mut rig = rig();
    let builder = rig.builder().concurrency(MANY / 2).prefetch(MANY);
    let consumer = builder.handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    let before = rig.polls();

    control.stop(Plan {
        drain: Duration::ZERO,
        grace: Duration::ZERO,
        ..Plan::default()
    });
    let report = rig.finish();

    assert_eq!(report.totals.released, MANY as u64 / 2);
    assert_eq!(report.totals.nacked, MANY as u64 / 2);
    assert!(rig.polls() - before >= POLLS_MIN);
}
