use super::*;
use crate::Clock;
use crate::consumer::tests::engines::{engine, receive};
use crate::testing::{ManualClock, TestBroker, seconds};

/// Deliveries that are parked for an hour, and whose leases are lost before.
#[test]
fn what_was_lost_while_it_was_parked_is_forgotten_long_before_it_is_due() {
    let clock = ManualClock::default();
    let broker = TestBroker::new(&clock);
    broker.with(|state| state.caps.nack_delay = false);
    let mut engine = engine(&clock, &broker);
    let now = clock.now();

    let mut most = 0;
    for number in 0..10_000 {
        let handle = receive(&mut engine, now, number);
        let settle = Settle::Nack {
            after: seconds(3600),
            counted: true,
        };
        engine.settle_or_park(now, handle, settle, false);
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
