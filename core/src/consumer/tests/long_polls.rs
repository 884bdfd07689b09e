use std::cell::Cell;
use std::rc::Rc;

use super::ordering::ordered;
use super::testing::{Fault, Rig, endless, seconds};
use crate::{Control, Delivery, Event, NackedHead, Plan, Settle, Timeout, Verdict};

/// Far more messages than one poll may do anything about.
const MANY: usize = 8_000;

/// What one poll may do at most: a part of each kind, and of those that come together one too
/// many.
const PART_MAX: usize = 1_024;

const AT_ONCE: Plan = Plan {
    drain: seconds(0),
    grace: seconds(0),
    flush: seconds(0),
};

fn rig() -> Rig {
    rig_of((0..MANY).map(|id| id.to_string()))
}

fn rig_of(ids: impl Iterator<Item = String>) -> Rig {
    let rig = Rig::new();
    rig.broker.publish(ids);
    rig.broker.with(|state| {
        state.ends = false;
        state.caps.settle_count_max = MANY;
        state.caps.extend_count_max = MANY;
    });
    rig
}

/// The most that one poll has done, from now on.
fn watch(rig: &mut Rig, control: &Control) -> Rc<Cell<usize>> {
    let most = Rc::new(Cell::new(0));
    let (control, noted) = (control.clone(), Rc::clone(&most));
    let look = move || {
        let stats = control.stats();
        [
            stats.buffered,
            stats.running,
            stats.parked,
            stats.settling,
            usize::try_from(stats.totals.ended()).expect("a few"),
            usize::try_from(stats.totals.timed_out).expect("a few"),
        ]
    };
    let mut before = look();
    rig.after_poll = Some(Box::new(move || {
        let now = look();
        let moved = now
            .iter()
            .zip(before)
            .map(|(now, before)| now.abs_diff(before));
        noted.set(noted.get().max(moved.max().unwrap_or(0)));
        before = now;
    }));
    most
}

/// Has all that is in hand started, or buffered behind `concurrency` handlers.
fn start(rig: &mut Rig, consumer: crate::Consumer<impl crate::Execution + 'static>) -> Control {
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());
    assert_eq!(control.stats().outstanding, MANY);
    control
}

#[test]
fn what_cannot_be_settled_in_time_is_abandoned_a_part_at_a_time() {
    let mut rig = rig();
    rig.broker
        .with(|state| state.settle_faults.extend([Fault::Hang; 9]));
    let consumer = rig.builder().concurrency(1).prefetch(MANY).handler(endless);
    let control = start(&mut rig, consumer.build());
    control.stop(Plan::default());
    assert!(rig.advance(seconds(1)).is_none());
    let most = watch(&mut rig, &control);

    control.stop(AT_ONCE);
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(report.totals.abandoned, MANY as u64);
    assert!(most.get() <= PART_MAX, "{}", most.get());
}

#[test]
fn shielded_work_is_abandoned_a_part_at_a_time() {
    for plan in [
        Plan {
            grace: seconds(1),
            drain: seconds(0),
            ..Plan::default()
        },
        AT_ONCE,
    ] {
        let mut rig = rig();
        let handler = async |delivery: &Delivery| {
            let _ = delivery.shield(std::future::pending::<()>()).await;
            endless(delivery).await
        };
        let builder = rig.builder().concurrency(MANY).prefetch(MANY);
        let control = start(&mut rig, builder.handler(handler).build());
        let most = watch(&mut rig, &control);

        control.stop(plan);
        let report = rig.finish();

        assert_eq!(report.totals.abandoned, MANY as u64);
        assert!(most.get() <= PART_MAX, "{}", most.get());
    }
}

#[test]
fn a_stop_hands_back_what_is_parked_a_part_at_a_time_and_in_the_fewest_calls() {
    let mut rig = rig();
    rig.broker.with(|state| state.caps.nack_delay = false);
    let handler = async |_: &Delivery| Verdict::Postpone {
        after: seconds(600),
    };
    let builder = rig.builder().concurrency(MANY).prefetch(3 * MANY);
    let control = start(&mut rig, builder.handler(handler).build());
    assert_eq!(control.stats().parked, MANY);
    let most = watch(&mut rig, &control);

    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(report.totals.nacked, MANY as u64);
    assert!(most.get() <= PART_MAX, "{}", most.get());
    let calls = rig.broker.with(|state| state.settle_batches.len());
    assert!(calls <= 2, "{calls}");
}

#[test]
fn delays_that_are_over_together_are_ended_a_part_at_a_time() {
    let mut rig = rig();
    rig.broker.with(|state| state.caps.nack_delay = false);
    let handler = async |delivery: &Delivery| match delivery.attempt() {
        1 => Verdict::Retry {
            after: Some(seconds(3)),
        },
        _ => endless(delivery).await,
    };
    let builder = rig.builder().concurrency(MANY).prefetch(3 * MANY);
    let control = start(&mut rig, builder.handler(handler).build());
    assert_eq!(control.stats().parked, MANY);
    let most = watch(&mut rig, &control);

    assert!(rig.advance(seconds(3)).is_none());

    assert_eq!(control.stats().running, MANY);
    assert!(most.get() <= PART_MAX, "{}", most.get());
}

#[test]
fn handlers_that_take_too_long_together_are_timed_out_a_part_at_a_time() {
    let mut rig = rig();
    let timeout = Timeout {
        soft: seconds(2),
        cancel: seconds(1),
        stuck: seconds(1),
    };
    let builder = rig.builder().concurrency(MANY).prefetch(MANY);
    let builder = builder.handler_timeout(timeout).max_deliveries(1);
    let control = start(&mut rig, builder.handler(endless).build());
    let most = watch(&mut rig, &control);
    let told = rig.count(|_| true);

    assert!(rig.advance(seconds(4)).is_none());

    assert_eq!(control.stats().totals.timed_out, MANY as u64);
    assert!(most.get() <= PART_MAX, "{}", most.get());
    assert!(rig.count(|_| true) >= told + 3 * MANY);
}

#[test]
fn the_long_tail_of_a_key_is_released_a_part_at_a_time_and_a_stop_misses_nobody() {
    for is_stopped in [false, true] {
        let mut rig = rig_of((0..MANY).map(|id| format!("a-{id}")));
        let clock = rig.clock.clone();
        let handler = async move |delivery: &Delivery| {
            if delivery.id().as_str() != "a-0" {
                return endless(delivery).await;
            }
            clock.sleep(seconds(2)).await;
            Verdict::Retry {
                after: Some(seconds(100)),
            }
        };
        let builder = ordered(&rig).nacked_head(NackedHead::ReleaseTail);
        let consumer = builder.prefetch(MANY).handler(handler).build();
        let control = start(&mut rig, consumer);
        let most = watch(&mut rig, &control);

        if is_stopped {
            // The head's handler ends, and in the next poll all is to be handed back.
            let (stopping, looks) = (control.clone(), Cell::new(0));
            let measure = rig.after_poll.take();
            let mut measure = measure.expect("it was set");
            rig.after_poll = Some(Box::new(move || {
                measure();
                looks.set(looks.get() + 1);
                if stopping.stats().settling > 0 && stopping.stats().totals.nacked == 0 {
                    stopping.stop(Plan::default());
                }
            }));
        }
        let report = rig.advance(seconds(2));

        let totals = control.stats().totals;
        assert_eq!((totals.nacked, totals.released), (1, MANY as u64 - 1));
        assert_eq!(report.is_some(), is_stopped);
        assert!(most.get() <= PART_MAX, "{}", most.get());
        let late = |settle: &Settle| match settle {
            Settle::Nack { after, .. } => *after == seconds(100),
            _ => false,
        };
        assert!(
            rig.broker
                .settled()
                .iter()
                .all(|(_, settle, _)| late(settle))
        );
        let told = |event: &Event| matches!(event, Event::TailReleased { .. });
        assert_eq!(rig.count(told), 1);
    }
}

#[test]
fn a_batch_that_breaks_the_broker_is_abandoned_a_part_at_a_time() {
    let mut rig = rig();
    rig.broker.with(|state| {
        state.settle_latency = seconds(1);
        state.settle_faults.push_back(Fault::Permanent);
    });
    let consumer = rig.builder().concurrency(1).prefetch(MANY).handler(endless);
    let control = start(&mut rig, consumer.build());
    let most = watch(&mut rig, &control);

    control.stop(AT_ONCE);
    let report = rig.finish();

    assert_eq!(report.totals.abandoned, MANY as u64);
    assert!(most.get() <= PART_MAX, "{}", most.get());
}
