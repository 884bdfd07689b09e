//! What `settle` owes: each settlement once, for the lease that counts, and an answer per item.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use mayhem_core::{Clock, LeaseToken, Outcome, Settle};

use super::World;
use super::talk::{
    LONG, ROOM, every_settle, extend, extension, hand_back, hold, nack, one, poll_once, run,
    run_in_lease, settle, settlement,
};

/// An acked message stays away while others come back.
pub fn an_ack_is_final<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let broker = world.connect();
        world.publish(b"acked");
        let acked = one(&broker).await;
        assert_eq!(settle(&broker, &acked, Settle::Ack).await, Outcome::Done);
        let other = world.publish(b"other");
        let received = one(&broker).await;
        settle(&broker, &received, nack(Duration::ZERO, true)).await;
        // Back once by a nack, and once by a lease that runs out: the acked one would be, too.
        for _ in 0..2 {
            assert_eq!(one(&broker).await.message.id, other);
        }
    });
}

/// A second settlement, of any kind, changes nothing and is no error; nor is an extension.
pub fn a_second_settlement_is_gone<W: World>() {
    for first in every_settle() {
        let world = W::open(LONG);
        run_in_lease(&world, async |world| {
            let broker = world.connect();
            world.publish(b"message");
            let received = one(&broker).await;
            let outcome = settle(&broker, &received, first.clone()).await;
            assert_eq!(outcome, Outcome::Done);
            for second in every_settle() {
                let outcome = settle(&broker, &received, second.clone()).await;
                assert_eq!(outcome, Outcome::Gone, "{second:?} after {first:?}");
            }
            if broker.caps().extend_count_max > 0 {
                let extended = extend(&broker, &received, LONG).await;
                assert_eq!(extended, Outcome::Gone, "extended after {first:?}");
            }
        });
    }
}

/// Of settlements of one lease that are under way together, one takes effect.
pub fn settlements_that_race_take_effect_once<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for _ in 0..8 {
            world.publish(b"message");
            let received = one(&broker).await;
            let racing = (0..4).map(|_| settle(&broker, &received, Settle::Ack));
            let outcomes = join_all(racing).await;
            let done = outcomes.iter().filter(|it| **it == Outcome::Done).count();
            assert_eq!(done, 1, "{outcomes:?}");
        }
    });
}

/// A nacked message comes back, under another lease, and lives on whatever the old one does.
pub fn a_nacked_message_is_delivered_again<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let id = world.publish(b"message");
        let first = one(&broker).await;
        let nacked = settle(&broker, &first, nack(Duration::ZERO, true)).await;
        assert_eq!(nacked, Outcome::Done);
        let second = one(&broker).await;
        assert_eq!(second.message.id, id);
        assert_eq!(second.message.payload, b"message");
        assert_ne!(second.message.lease, first.message.lease);
        for stale in every_settle() {
            assert_eq!(settle(&broker, &first, stale).await, Outcome::Gone);
        }
        assert_eq!(settle(&broker, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// A delay is kept, where the broker says that it can.
pub fn a_delayed_nack_is_not_delivered_early<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        if !broker.caps().nack_delay {
            return;
        }
        world.publish(b"message");
        for after in [1, 50, 300].map(Duration::from_millis) {
            let received = one(&broker).await;
            let nacked = world.clock().now();
            settle(&broker, &received, nack(after, false)).await;
            let again = one(&broker).await;
            assert!(world.clock().now() >= nacked + after, "{after:?}");
            settle(&broker, &again, hand_back()).await;
        }
    });
}

/// Attempts count the deliveries that were attempts.
pub fn only_counted_nacks_are_attempts<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        world.publish(b"message");
        let mut attempts = Vec::new();
        for counted in [false, true, true, false, false, true] {
            let received = one(&broker).await;
            attempts.push(received.message.attempt);
            settle(&broker, &received, nack(Duration::ZERO, counted)).await;
        }
        assert_eq!(attempts, [1, 1, 2, 3, 3, 3]);
        assert_eq!(one(&broker).await.message.attempt, 4);
    });
}

/// A dead letter is kept with its reason and not delivered.
pub fn a_dead_message_goes_to_the_dead_letters<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let broker = world.connect();
        let id = world.publish(b"dead");
        let received = one(&broker).await;
        assert_eq!(world.dead_reason(&id), None);
        let reason = "no such target: “web-9”".to_owned();
        let dead = Settle::Dead {
            reason: reason.clone(),
        };
        assert_eq!(settle(&broker, &received, dead).await, Outcome::Done);
        assert_eq!(world.dead_reason(&id), Some(reason));
        let other = world.publish(b"other");
        let received = one(&broker).await;
        settle(&broker, &received, nack(Duration::ZERO, true)).await;
        for _ in 0..2 {
            assert_eq!(one(&broker).await.message.id, other);
        }
        assert_eq!(world.dead_reason(&other), None);
    });
}

/// A batch is answered per item and in its order, and each item has its own effect.
pub fn outcomes_come_in_the_order_of_the_batch<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for number in 0..4 {
            world.publish(&[number]);
        }
        let held = hold(&broker, 4).await;
        settle(&broker, &held[1], Settle::Ack).await;
        settle(&broker, &held[3], Settle::Ack).await;
        if broker.caps().extend_count_max >= 4 {
            let batch = held.iter().map(|received| extension(received, LONG));
            let outcomes = broker.extend(batch.collect()).await;
            let outcomes = outcomes.expect("it extends");
            assert_eq!(outcomes, EVERY_OTHER);
        }
        let settles = [
            hand_back(),
            Settle::Ack,
            Settle::Dead {
                reason: "dead".to_owned(),
            },
            Settle::Ack,
        ];
        let batch = held.iter().zip(settles);
        let batch = batch.map(|(received, settle)| settlement(received, settle));
        let outcomes = broker.settle(batch.collect()).await.expect("it settles");
        assert_eq!(outcomes, EVERY_OTHER);
        assert_eq!(one(&broker).await.message.id, held[0].message.id);
        let dead = world.dead_reason(&held[2].message.id);
        assert_eq!(dead.as_deref(), Some("dead"));
    });
}

/// A batch as large as the broker says, or as there is room for here, is taken whole.
pub fn a_full_batch_is_settled<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let count = broker.caps().settle_count_max.min(ROOM);
        assert!(count > 0, "a broker takes settlements");
        let published: BTreeSet<_> = (0..count).map(|_| world.publish(b"message")).collect();
        let held = hold(&broker, count).await;
        let ids: BTreeSet<_> = held.iter().map(|it| it.message.id.clone()).collect();
        assert_eq!(ids, published);
        let batch = held.iter().map(|it| settlement(it, Settle::Ack)).collect();
        let outcomes = broker.settle(batch).await.expect("it settles");
        assert_eq!(outcomes, vec![Outcome::Done; count]);
    });
}

/// A lease that the broker never gave is gone, and no error.
pub fn a_lease_that_was_never_given_is_gone<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        world.publish(b"message");
        let received = one(&broker).await;
        for forged in ["", "nonsense", "-1-2", "日本"] {
            let mut forgery = received.clone();
            forgery.message.lease = LeaseToken::from(forged);
            assert_eq!(settle(&broker, &forgery, Settle::Ack).await, Outcome::Gone);
            if broker.caps().extend_count_max > 0 {
                assert_eq!(extend(&broker, &forgery, LONG).await, Outcome::Gone);
            }
        }
        assert_eq!(settle(&broker, &received, Settle::Ack).await, Outcome::Done);
    });
}

/// A call that is dropped on its way takes effect all the same.
pub fn a_dropped_settle_takes_effect<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let id = world.publish(b"message");
        for _ in 0..8 {
            let received = one(&broker).await;
            assert_eq!(received.message.id, id);
            let mut call = broker.settle(vec![settlement(&received, hand_back())]);
            // Ignored: an answer at once is as good. Only the settlement can bring it back in time.
            let _ = poll_once(&mut call).await;
        }
    });
}

const EVERY_OTHER: [Outcome; 4] = [Outcome::Done, Outcome::Gone, Outcome::Done, Outcome::Gone];
