//! What survives a connection, and the broker itself.

use std::collections::BTreeSet;

use mayhem_core::{Broker, MessageId, Outcome, Settle};

use super::World;
use super::talk::{LONG, close, hand_back, hold, next, one, run, run_in_lease, settle, settlement};

/// After a close in order the next connection gets what is left, at once.
pub fn a_new_connection_goes_on_where_a_closed_one_stopped<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let mut missing: BTreeSet<_> = (0..30).map(|number| world.publish(&[number])).collect();
        for _ in 0..3 {
            let broker = world.connect();
            ack_some(&broker, 8, &mut missing).await;
            for received in close(&broker).await {
                let outcome = settle(&broker, &received, hand_back()).await;
                assert_eq!(outcome, Outcome::Done);
            }
        }
        let count = missing.len();
        ack_some(&world.connect(), count, &mut missing).await;
        assert!(missing.is_empty());
    });
}

/// What a connection held that is dropped without a word comes back when its leases run out.
pub fn what_a_dropped_connection_held_is_delivered_again<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let mut missing: BTreeSet<_> = (0..10).map(|number| world.publish(&[number])).collect();
        let broker = world.connect();
        ack_some(&broker, 3, &mut missing).await;
        let held = one(&broker).await;
        drop(broker);
        let broker = world.connect();
        let count = missing.len();
        ack_some(&broker, count, &mut missing).await;
        assert!(missing.is_empty());
        assert_eq!(settle(&broker, &held, Settle::Ack).await, Outcome::Gone);
    });
}

/// A restart of the broker when a third of the messages is acked.
pub fn a_restart_after_a_third_loses_nothing<W: World>() {
    restart_after::<W>(10);
}

/// A restart of the broker when half of the messages is acked.
pub fn a_restart_at_half_time_loses_nothing<W: World>() {
    restart_after::<W>(15);
}

/// A restart of the broker before anything was received, and after everything was acked.
pub fn a_restart_before_and_after_all_work_changes_nothing<W: World>() {
    restart_after::<W>(0);
    restart_after::<W>(30);
}

fn restart_after<W: World>(acked: usize) {
    let mut world = W::open(W::SHORT_LEASE);
    let mut missing: BTreeSet<_> = (0..30).map(|number| world.publish(&[number])).collect();
    let mut former = None;
    run(&world, async |world| {
        let broker = world.connect();
        ack_some(&broker, acked, &mut missing).await;
        let held = hold(&broker, missing.len().min(4)).await;
        former = Some((broker, held));
    });

    world.restart();

    run(&world, async |world| {
        let (former, held) = former.expect("set above");
        for received in &held {
            let batch = vec![settlement(received, Settle::Ack)];
            // It may be done, gone or an error; what it may not be is done and then undone.
            if let Ok(outcomes) = former.settle(batch).await
                && outcomes == [Outcome::Done]
            {
                missing.remove(&received.message.id);
            }
        }
        drop(former);
        let broker = world.connect();
        let count = missing.len();
        ack_some(&broker, count, &mut missing).await;
        let last = world.publish(b"after all");
        assert_eq!(one(&broker).await.message.id, last, "and no other comes");
    });
}

/// Acks `count` of those that are `missing`, and sees that none comes that a confirmed ack ended.
async fn ack_some(broker: &dyn Broker, count: usize, missing: &mut BTreeSet<MessageId>) {
    let end = missing.len() - count;
    while missing.len() > end {
        let batch = next(broker, missing.len() - end).await;
        assert!(!batch.is_empty(), "no end of the source");
        for received in batch {
            let id = &received.message.id;
            let may_come_again = !broker.caps().confirmed_ack;
            let was_acked = !missing.contains(id);
            assert!(!was_acked || may_come_again, "{id} was acked before");
            // Gone: it took longer than its lease, and comes again.
            if settle(broker, &received, Settle::Ack).await == Outcome::Done {
                missing.remove(id);
            }
        }
    }
}
