//! An engine by itself, for specs of what one look at something does.

use std::sync::Arc;
use std::task::{Context, Waker};

use futures::FutureExt;

use super::testing::{Fault, ManualClock, TestBroker, seconds};
use crate::consumer::builder::Settings;
use crate::consumer::calls::Answer;
use crate::consumer::engine::Engine;
use crate::consumer::ordering::Order;
use crate::control::{Control, Shared};
use crate::handler::{Finish, task};
use crate::lease::Handle;
use crate::{
    Broker, Clock, Instant, LeaseToken, Message, MessageId, NackedHead, OrderKey, Phase, Received,
    Verdict,
};

/// More than one look may look at.
const MANY: usize = 2_000;

/// How many steps one look may do.
const STEPS_MAX: usize = 256;

/// An engine with the default settings, which does nothing by itself.
pub(in crate::consumer) fn engine<'a>(clock: &ManualClock, broker: &'a impl Broker) -> Engine<'a> {
    let shared = Shared::new(Arc::new(clock.clone()), seconds(1), seconds(1));
    let (_control, stops) = Control::new(Arc::clone(&shared));
    Engine::new(broker, Settings::default(), shared, stops)
}

/// Has the engine take up a message, under a lease of a minute.
pub(in crate::consumer) fn receive(engine: &mut Engine<'_>, now: Instant, number: usize) -> Handle {
    let id = MessageId::from(number.to_string());
    let message = Message {
        id: id.clone(),
        lease: LeaseToken::from("token"),
        attempt: 1,
        payload: Vec::new(),
    };
    let deadline = now + seconds(60);
    engine.receive(now, Answer::Done(vec![Received { message, deadline }]));
    engine.accept(now);
    engine.table.find(&id).expect("it is in hand")
}

/// An engine with many messages in hand, whose first call fails.
fn failing(
    clock: &ManualClock,
    broker: &TestBroker,
    work: impl FnOnce(&TestBroker, &mut Engine<'_>),
) {
    broker.with(|state| {
        state.caps.settle_count_max = MANY;
        state.caps.extend_count_max = MANY;
        state.settle_faults.push_back(Fault::Retryable);
        state.extend_faults.push_back(Fault::Retryable);
    });
    let mut engine = engine(clock, broker);
    for number in 0..MANY {
        receive(&mut engine, clock.now(), number);
    }
    work(broker, &mut engine);
}

/// Applies the answers to all calls; returns in how many looks.
fn apply(engine: &mut Engine<'_>, now: Instant) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut looks = 0;
    let mut look = |engine: &mut Engine<'_>, before| {
        looks += 1;
        assert!(engine.work - before <= STEPS_MAX, "{}", engine.work);
    };
    engine.work = 0;
    assert!(engine.poll_calls(&mut cx, now));
    look(engine, 0);
    loop {
        let before = engine.work;
        if !engine.poll_answers(now) {
            return looks;
        }
        look(engine, before);
    }
}

#[test]
fn settlements_that_failed_together_are_sent_again_a_part_at_a_time() {
    let clock = ManualClock::default();
    failing(&clock, &TestBroker::new(&clock), |broker, engine| {
        let now = clock.now();
        engine.stats.phase = Phase::Draining;
        for handle in engine.table.handles() {
            engine.release(handle);
        }
        engine.waiting.clear();
        assert!(engine.flush(now));

        let looks = apply(engine, now);

        assert!(looks >= MANY / STEPS_MAX, "{looks}");
        assert!(!engine.flush(now), "not at once");
        assert!(engine.flush(now + seconds(1)));
        apply(engine, now + seconds(1));
        let batches = broker.with(|state| state.settle_batches.clone());
        assert_eq!(batches, [MANY, MANY]);
    });
}

#[test]
fn extensions_that_failed_together_wait_for_another_call_a_part_at_a_time() {
    let clock = ManualClock::default();
    failing(&clock, &TestBroker::new(&clock), |broker, engine| {
        let now = clock.now() + seconds(30);
        while engine.calls.is_empty() {
            assert!(engine.keep_leases(now));
        }

        let looks = apply(engine, now);

        assert!(looks >= MANY / STEPS_MAX, "{looks}");
        assert!(!engine.keep_leases(now), "not at once");
        let later = now + seconds(1);
        while engine.calls.is_empty() {
            assert!(engine.keep_leases(later));
        }
        apply(engine, later);
        let batches = broker.with(|state| state.extend_batches.clone());
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [MANY, MANY]);
    });
}

#[test]
fn who_is_lost_before_it_is_handed_back_leaves_no_other_place_than_its_own() {
    let clock = ManualClock::default();
    let broker = TestBroker::new(&clock);
    let (mut engine, now) = (engine(&clock, &broker), clock.now());
    let key_of = Box::new(|_: &Message| Some(OrderKey::of("one")));
    engine.order = Some(Order::new(key_of, NackedHead::ReleaseTail, seconds(1)));
    let [head, behind] = [0, 1].map(|number| receive(&mut engine, now, number));
    engine.lose(head);
    engine.lose(behind);
    let next = receive(&mut engine, now, 2);
    assert_eq!(next.slot(), behind.slot());

    engine.poll_order(now);
    engine.lose(next);
    engine.waiting.clear();
    let last = receive(&mut engine, now, 3);

    assert_eq!(engine.waiting, [last], "it waits for nobody");
}

#[test]
fn a_task_whose_lease_was_lost_before_its_turn_does_not_begin() {
    let clock = ManualClock::default();
    let broker = TestBroker::new(&clock);
    let mut engine = engine(&clock, &broker);
    let begin = |engine: &mut Engine<'_>, number, is_lost| {
        let handle = receive(engine, clock.now(), number);
        let lease = engine.table.get(handle).expect("it is in hand");
        let delivery = lease.owner.delivery.clone();
        let (task, ended) = task(delivery.clone(), async { Verdict::Ack });
        if is_lost {
            delivery.set_lease_lost();
        }
        task.now_or_never().expect("it waits for nothing");
        ended.now_or_never().expect("it has ended")
    };

    let kept = begin(&mut engine, 0, false);
    let lost = begin(&mut engine, 1, true);

    assert!(matches!(kept, Ok(Finish::Verdict(Verdict::Ack))));
    assert!(matches!(lost, Ok(Finish::NotBegun)));
}
