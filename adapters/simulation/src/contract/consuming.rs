//! What a consumer makes of it, and what it needs that is no call's result.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use mayhem_core::{BrokerError, Consumer, Control, Delivery, Outcome, Plan, Pull, Settle, Verdict};

use super::World;
use super::talk::{LONG, ROOM, extension, hold, poll_once, run_in_lease, settle, settlement};

/// No call waits for the broker on the thread that polls it.
///
/// It is that thread which lets the broker go on: a call that waited there would never return.
pub fn no_call_blocks_the_thread_that_polls_it<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for number in 0..3 {
            world.publish(&[number]);
        }
        let held = hold(&broker, 3).await;
        let Some(stalled) = world.stall() else {
            return;
        };
        let mut receiving = broker.receive(Pull::Next { count_max: 1 });
        assert!(poll_once(&mut receiving).await.is_pending(), "receive");
        let mut settling = broker.settle(vec![settlement(&held[0], Settle::Ack)]);
        assert!(poll_once(&mut settling).await.is_pending(), "settle");
        if broker.caps().extend_count_max > 0 {
            let mut extending = broker.extend(vec![extension(&held[1], LONG)]);
            assert!(poll_once(&mut extending).await.is_pending(), "extend");
        }
        drop(stalled);
        match settling.await {
            Ok(outcomes) => assert_eq!(outcomes, [Outcome::Done]),
            // It may or may not have taken effect, so that it is Done or Gone the next time.
            Err(BrokerError::Retryable(_)) => {
                settle(&broker, &held[0], Settle::Ack).await;
            }
            Err(error) => panic!("a stall is not for good: {error}"),
        }
        assert_eq!(settle(&broker, &held[2], Settle::Ack).await, Outcome::Done);
    });
}

/// Two consumers, one after the other, end every message once between them.
pub fn two_consumers_in_turn_end_every_message_once<W: World>() {
    let world = W::open(LONG);
    let count = 2 * ROOM;
    for number in 0..count {
        world.publish(&number.to_le_bytes());
    }
    let work = Work::default();
    for target in [count / 2, count] {
        run_in_lease(&world, async |world| {
            let control = OnceCell::new();
            let consumer = Consumer::builder()
                .broker(world.connect())
                .clock(world.clock())
                .handler(async |delivery: &Delivery| {
                    let (verdict, is_over) = work.decide(delivery, target);
                    if let Some(control) = control.get().filter(|_| is_over) {
                        Control::stop(control, Plan::default());
                    }
                    verdict
                })
                .concurrency(8)
                .prefetch(ROOM)
                .build();
            // Ignored: it is empty.
            let _ = control.set(consumer.control());
            let report = consumer.run().await;
            let totals = report.totals;
            assert!(report.error.is_none(), "{:?}", report.error);
            assert!(report.is_balanced(), "{totals:?}");
            assert_eq!(totals.expired + totals.abandoned, 0, "{totals:?}");
        });
        let mistakes = work.mistakes.borrow();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
    assert_eq!(work.ended.borrow().len(), count);
}

/// What the handlers of several consumers know of each other.
#[derive(Default)]
struct Work {
    ended: RefCell<BTreeSet<usize>>,
    retried: RefCell<BTreeSet<usize>>,
    postponed: RefCell<BTreeSet<usize>>,
    mistakes: RefCell<Vec<String>>,
}

impl Work {
    /// Each verdict for some of the messages; and whether so many have ended, or one went wrong.
    fn decide(&self, delivery: &Delivery, target: usize) -> (Verdict, bool) {
        let number = usize::from(delivery.payload()[0]);
        if number.is_multiple_of(5) && delivery.attempt() == 1 {
            let after = Some(Duration::ZERO);
            let is_first = self.retried.borrow_mut().insert(number);
            return (Verdict::Retry { after }, self.expect(is_first, delivery));
        }
        if number.is_multiple_of(7) && self.postponed.borrow_mut().insert(number) {
            let after = Duration::ZERO;
            return (Verdict::Postpone { after }, false);
        }
        let is_first = self.ended.borrow_mut().insert(number);
        let is_wrong = self.expect(is_first, delivery);
        let is_over = is_wrong || self.ended.borrow().len() == target;
        if number.is_multiple_of(11) {
            return (Verdict::Dead("planned".to_owned()), is_over);
        }
        (Verdict::Ack, is_over)
    }

    /// Writes down what must not be; says whether it is.
    fn expect(&self, is_first: bool, delivery: &Delivery) -> bool {
        if !is_first {
            let mistake = format!("{} once more", delivery.key());
            self.mistakes.borrow_mut().push(mistake);
        }
        !is_first
    }
}
