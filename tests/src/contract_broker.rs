//! The duties of core's broker port as tests that any adapter can be put through.
//!
//! A suite is a set of plain functions over a [`World`], a broker with the means to look at it from
//! outside; a test file names each of them once per broker. Where time must pass the tests wait for
//! the delivery it brings and look at the clock then: nobody sleeps, and slowness fails nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::task::Poll;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use mayhem_core::{
    Broker, Extension, Instant, MessageId, Outcome, Pull, Received, Settle, Settlement,
};

/// A lease that no test outlives.
const LONG: Duration = Duration::from_secs(600);
/// A lease that a test waits for. Long enough to settle in on a machine that is busy.
const SHORT: Duration = Duration::from_secs(1);

/// A broker under test.
pub trait World: fmt::Debug {
    /// A broker without messages, with room for at least 32 leases that last this long.
    fn open(lease: Duration) -> Self;

    /// The broker.
    fn broker(&self) -> &dyn Broker;

    /// Publishes a message; it can be received when this returns.
    fn publish(&self, payload: &[u8]) -> MessageId;

    /// The present, on the clock of the deadlines.
    fn now(&self) -> Instant;

    /// Why a message is a dead letter; `None` when it is none.
    fn dead_reason(&self, id: &MessageId) -> Option<String>;

    /// Drives a future to its end.
    fn block_on(&self, future: LocalBoxFuture<'_, ()>);
}

/// What is published is received once, as it was published, under a lease that runs.
pub fn a_message_is_received_under_a_lease<W: World>() {
    let world = W::open(LONG);
    let before = world.now();
    let payload: Vec<u8> = (0..=255).collect();
    let id = world.publish(&payload);
    run(&world, async |world| {
        let received = one(world).await;
        assert_eq!(received.message.id, id);
        assert_eq!(received.message.payload, payload);
        assert_eq!(received.message.attempt, 1);
        assert!(received.deadline >= before + LONG);
        assert!(received.deadline <= world.now() + LONG);
        assert_eq!(settle(world, &received, Settle::Ack).await, Outcome::Done);
    });
}

/// The limit of the call is kept and nothing is lost or doubled by it.
pub fn a_batch_is_never_larger_than_was_asked_for<W: World>() {
    let world = W::open(LONG);
    let mut missing: BTreeSet<_> = (0..10).map(|number| world.publish(&[number])).collect();
    run(&world, async |world| {
        while !missing.is_empty() {
            let batch = next(world, 3).await;
            assert!((1..=3).contains(&batch.len()), "{}", batch.len());
            for received in batch {
                assert_eq!(settle(world, &received, Settle::Ack).await, Outcome::Done);
                assert!(missing.remove(&received.message.id), "each comes once");
            }
        }
    });
}

/// An acked message stays away while others come back.
pub fn an_ack_is_final<W: World>() {
    let world = W::open(SHORT);
    let (acked, other) = (world.publish(b"acked"), world.publish(b"other"));
    run(&world, async |world| {
        let [first, second] = two(world).await;
        let (mine, theirs) = if first.message.id == acked {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(settle(world, &mine, Settle::Ack).await, Outcome::Done);
        // Back once by a nack, and once by a lease that runs out: the acked one would be, too.
        settle(world, &theirs, nack(Duration::ZERO, true)).await;
        for _ in 0..2 {
            assert_eq!(one(world).await.message.id, other);
        }
    });
}

/// A second settlement, of any kind, changes nothing.
pub fn a_second_settlement_is_gone<W: World>() {
    for first in every_settle() {
        let world = W::open(LONG);
        world.publish(b"message");
        run(&world, async |world| {
            let received = one(world).await;
            assert_eq!(settle(world, &received, first.clone()).await, Outcome::Done);
            for second in every_settle() {
                let outcome = settle(world, &received, second.clone()).await;
                assert_eq!(outcome, Outcome::Gone, "{second:?} after {first:?}");
            }
            assert_eq!(extend(world, &received, LONG).await, Outcome::Gone);
        });
    }
}

/// A nacked message comes back, under another lease, and lives on whatever the old one does.
pub fn a_nacked_message_is_delivered_again<W: World>() {
    let world = W::open(LONG);
    let id = world.publish(b"message");
    run(&world, async |world| {
        let first = one(world).await;
        settle(world, &first, nack(Duration::ZERO, true)).await;
        let second = one(world).await;
        assert_eq!(second.message.id, id);
        assert_eq!(second.message.payload, b"message");
        assert_ne!(second.message.lease, first.message.lease);
        assert_eq!(settle(world, &first, Settle::Ack).await, Outcome::Gone);
        assert_eq!(settle(world, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// A delay is kept, where the broker says that it can.
pub fn a_delayed_nack_is_not_delivered_early<W: World>() {
    let world = W::open(LONG);
    if !world.broker().caps().nack_delay {
        return;
    }
    world.publish(b"message");
    run(&world, async |world| {
        for after in [1, 50, 300].map(Duration::from_millis) {
            let received = one(world).await;
            let nacked = world.now();
            settle(world, &received, nack(after, false)).await;
            let again = one(world).await;
            assert!(world.now() >= nacked + after, "{after:?}");
            settle(world, &again, nack(Duration::ZERO, false)).await;
        }
    });
}

/// Attempts count the deliveries that were attempts.
pub fn only_counted_nacks_are_attempts<W: World>() {
    let world = W::open(LONG);
    world.publish(b"message");
    run(&world, async |world| {
        let mut attempts = Vec::new();
        for counted in [false, true, true, false, false, true] {
            let received = one(world).await;
            attempts.push(received.message.attempt);
            settle(world, &received, nack(Duration::ZERO, counted)).await;
        }
        assert_eq!(attempts, [1, 1, 2, 3, 3, 3]);
        assert_eq!(one(world).await.message.attempt, 4);
    });
}

/// A lease that runs out brings the message back, not before, and its token is stale then.
pub fn a_lease_that_runs_out_is_delivered_again<W: World>() {
    let world = W::open(SHORT);
    let id = world.publish(b"message");
    run(&world, async |world| {
        let first = one(world).await;
        let second = one(world).await;
        assert!(world.now() >= first.deadline, "not before the deadline");
        assert_eq!(second.message.id, id);
        assert_ne!(second.message.lease, first.message.lease);
        for stale in every_settle() {
            assert_eq!(settle(world, &first, stale).await, Outcome::Gone);
        }
        assert_eq!(extend(world, &first, SHORT).await, Outcome::Gone);
        assert_eq!(settle(world, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// An extension, counted from the call, holds the lease.
pub fn an_extension_holds_the_lease<W: World>() {
    let world = W::open(SHORT);
    if world.broker().caps().extend_count_max == 0 {
        return;
    }
    world.publish(b"message");
    run(&world, async |world| {
        let first = one(world).await;
        let extended = world.now();
        assert_eq!(extend(world, &first, 2 * SHORT).await, Outcome::Done);
        let second = one(world).await;
        assert!(world.now() >= extended + 2 * SHORT);
        assert_eq!(settle(world, &first, Settle::Ack).await, Outcome::Gone);
        assert_eq!(settle(world, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// A dead letter is kept with its reason and not delivered.
pub fn a_dead_message_goes_to_the_dead_letters<W: World>() {
    let world = W::open(SHORT);
    let (dead, other) = (world.publish(b"dead"), world.publish(b"other"));
    run(&world, async |world| {
        let [first, second] = two(world).await;
        let (mine, theirs) = if first.message.id == dead {
            (first, second)
        } else {
            (second, first)
        };
        let reason = "no such target".to_owned();
        assert_eq!(
            settle(world, &mine, Settle::Dead { reason }).await,
            Outcome::Done
        );
        assert_eq!(world.dead_reason(&dead).as_deref(), Some("no such target"));
        assert_eq!(world.dead_reason(&other), None);
        settle(world, &theirs, nack(Duration::ZERO, true)).await;
        for _ in 0..2 {
            assert_eq!(one(world).await.message.id, other);
        }
    });
}

/// A batch is answered per item and in its order.
pub fn outcomes_come_in_the_order_of_the_batch<W: World>() {
    let world = W::open(LONG);
    for number in 0..4 {
        world.publish(&[number]);
    }
    run(&world, async |world| {
        let mut held = Vec::new();
        while held.len() < 4 {
            held.extend(next(world, 4).await);
        }
        settle(world, &held[1], Settle::Ack).await;
        settle(world, &held[3], Settle::Ack).await;
        let batch = held
            .iter()
            .map(|received| settlement(received, Settle::Ack))
            .collect();
        let outcomes = world.broker().settle(batch).await.expect("settled");
        assert_eq!(
            outcomes,
            [Outcome::Done, Outcome::Gone, Outcome::Done, Outcome::Gone]
        );
    });
}

/// A call that is dropped while it waits loses nothing.
pub fn a_dropped_receive_loses_nothing<W: World>() {
    let world = W::open(LONG);
    run(&world, async |world| {
        for number in 0..20_u8 {
            let mut waiting = world.broker().receive(Pull::Next { count_max: 1 });
            assert!(
                futures::poll!(&mut waiting).is_pending(),
                "there is nothing yet"
            );
            let id = world.publish(&[number]);
            drop(waiting);
            let received = one(world).await;
            assert_eq!(received.message.id, id);
            settle(world, &received, Settle::Ack).await;
        }
    });
}

/// A hold returns no message twice and loses none, and the next call goes on.
pub fn a_hold_loses_nothing_and_ends_with_the_next_pull<W: World>() {
    let world = W::open(LONG);
    run(&world, async |world| {
        for number in 0..8_u8 {
            let mut published = BTreeSet::from([world.publish(&[number])]);
            let mut hold = world.broker().receive(Pull::Hold);
            let mut held = match futures::poll!(&mut hold) {
                Poll::Ready(held) => held.expect("held"),
                Poll::Pending => Vec::new(),
            };
            drop(hold);
            published.insert(world.publish(&[number]));
            while held.len() < 2 {
                held.extend(next(world, 2).await);
            }
            for received in held {
                assert!(published.remove(&received.message.id), "each comes once");
                assert_eq!(settle(world, &received, Settle::Ack).await, Outcome::Done);
            }
        }
    });
}

/// A close returns what is leased, each message once, and then nothing; settling still works.
pub fn a_close_returns_what_is_leased_and_then_nothing<W: World>() {
    let world = W::open(LONG);
    let published: BTreeSet<_> = (0..20).map(|number| world.publish(&[number])).collect();
    run(&world, async |world| {
        let mut held = next(world, 1).await;
        loop {
            let batch = world.broker().receive(Pull::Close).await.expect("closed");
            if batch.is_empty() {
                break;
            }
            held.extend(batch);
        }
        let ids: BTreeSet<_> = held
            .iter()
            .map(|received| received.message.id.clone())
            .collect();
        assert_eq!(ids.len(), held.len(), "each comes once");
        assert!(ids.is_subset(&published));

        let late = world.publish(b"late");
        let after = world
            .broker()
            .receive(Pull::Close)
            .await
            .expect("still closed");
        assert!(after.is_empty(), "{late} came after the close");
        for received in &held {
            assert_eq!(settle(world, received, Settle::Ack).await, Outcome::Done);
        }
    });
}

async fn next<W: World>(world: &W, count_max: usize) -> Vec<Received> {
    world
        .broker()
        .receive(Pull::Next { count_max })
        .await
        .expect("received")
}

async fn one<W: World>(world: &W) -> Received {
    let mut batch = next(world, 1).await;
    assert_eq!(batch.len(), 1, "a batch of one, and no end of the source");
    batch.remove(0)
}

async fn two<W: World>(world: &W) -> [Received; 2] {
    [one(world).await, one(world).await]
}

async fn settle<W: World>(world: &W, received: &Received, settle: Settle) -> Outcome {
    let outcomes = world
        .broker()
        .settle(vec![settlement(received, settle)])
        .await;
    let outcomes = outcomes.expect("settled");
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

async fn extend<W: World>(world: &W, received: &Received, duration: Duration) -> Outcome {
    let (id, lease) = (received.message.id.clone(), received.message.lease.clone());
    let outcomes = world
        .broker()
        .extend(vec![Extension {
            id,
            lease,
            duration,
        }])
        .await;
    let outcomes = outcomes.expect("extended");
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

fn settlement(received: &Received, settle: Settle) -> Settlement {
    let (id, lease) = (received.message.id.clone(), received.message.lease.clone());
    Settlement { id, lease, settle }
}

fn nack(after: Duration, counted: bool) -> Settle {
    Settle::Nack { after, counted }
}

fn every_settle() -> [Settle; 4] {
    [
        Settle::Ack,
        nack(Duration::ZERO, true),
        nack(Duration::from_secs(3600), false),
        Settle::Dead {
            reason: "dead".to_owned(),
        },
    ]
}

fn run<W: World>(world: &W, test: impl AsyncFnOnce(&W)) {
    world.block_on(Box::pin(test(world)));
}
