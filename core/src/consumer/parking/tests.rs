use std::sync::Arc;

use super::*;
use crate::consumer::builder::Settings;
use crate::control::{Control, Shared};
use crate::testing::{ManualClock, TestBroker, seconds};
use crate::{Clock, LeaseToken, Message, MessageId, Received};

/// Deliveries that are parked for an hour, and whose leases are lost before.
#[test]
fn what_was_lost_while_it_was_parked_is_forgotten_long_before_it_is_due() {
    let clock = ManualClock::default();
    let broker = TestBroker::new(&clock);
    broker.with(|state| state.caps.nack_delay = false);
    let shared = Shared::new(Arc::new(clock.clone()), seconds(1), seconds(1));
    let (_control, stops) = Control::new(Arc::clone(&shared));
    let mut engine = Engine::new(&broker, Settings::default(), shared, stops);
    let now = clock.now();

    let mut most = 0;
    for number in 0..10_000 {
        let id = MessageId::from(number.to_string());
        let message = Message {
            lease: LeaseToken::from("token"),
            attempt: 1,
            payload: Vec::new(),
            id: id.clone(),
        };
        let deadline = now + seconds(60);
        engine.accept(now, Received { message, deadline });
        let handle = engine.table.find(&id).expect("it is in hand");
        let settle = Settle::Nack {
            after: seconds(3600),
            counted: true,
        };
        engine.settle_or_park(now, handle, settle);
        assert_eq!(engine.stats.parked, number % 10 + 1);
        if engine.stats.parked == 10 {
            let parked = engine.table.handles();
            parked.into_iter().for_each(|handle| engine.lose(handle));
        }
        most = most.max(engine.parking.queue.len());
    }

    assert_eq!((engine.stats.parked, engine.parking.bytes), (0, 0));
    assert!(most <= 2 * 10 + COMPACT_MIN + 1, "{most}");
}
