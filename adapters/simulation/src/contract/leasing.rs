//! What a lease is: it ends at its deadline unless it is extended, and then somebody else's begins.

use mayhem_core::{Clock, Outcome, Settle};

use super::World;
use super::talk::{every_settle, extend, extension, hold, one, run, settle};

/// A lease that runs out brings the message back, not before, and its token is stale then.
pub fn a_lease_that_runs_out_is_delivered_again<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let broker = world.connect();
        let id = world.publish(b"message");
        let first = one(&broker).await;
        let second = one(&broker).await;
        let now = world.clock().now();
        assert!(now >= first.deadline, "not before the deadline");
        assert_eq!(second.message.id, id);
        assert_ne!(second.message.lease, first.message.lease);
        assert!(second.deadline > first.deadline);
        for stale in every_settle() {
            assert_eq!(settle(&broker, &first, stale).await, Outcome::Gone);
        }
        if broker.caps().extend_count_max > 0 {
            let extended = extend(&broker, &first, W::SHORT_LEASE).await;
            assert_eq!(extended, Outcome::Gone);
        }
        assert_eq!(settle(&broker, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// An extension, counted from the call, holds the lease, which can be settled meanwhile.
pub fn an_extension_keeps_the_message_from_redelivery<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let broker = world.connect();
        if broker.caps().extend_count_max == 0 {
            return;
        }
        world.publish(b"message");
        let first = one(&broker).await;
        let extended = world.clock().now();
        let outcome = extend(&broker, &first, 2 * W::SHORT_LEASE).await;
        assert_eq!(outcome, Outcome::Done);
        let second = one(&broker).await;
        assert!(world.clock().now() >= extended + 2 * W::SHORT_LEASE);
        assert_eq!(settle(&broker, &first, Settle::Ack).await, Outcome::Gone);
        assert_eq!(settle(&broker, &second, Settle::Ack).await, Outcome::Done);
    });
}

/// A lease may be extended again and again; each extension counts from its own call.
pub fn a_lease_is_extended_again_and_again<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let (broker, clock) = (world.connect(), world.clock());
        if broker.caps().extend_count_max == 0 {
            return;
        }
        world.publish(b"held");
        let held = one(&broker).await;
        let began = clock.now();
        // The clock is another message's lease: it comes back once per lease.
        let tick = world.publish(b"tick");
        while clock.now() < began + 2 * W::SHORT_LEASE {
            let outcome = extend(&broker, &held, 2 * W::SHORT_LEASE).await;
            assert_eq!(outcome, Outcome::Done);
            assert_eq!(one(&broker).await.message.id, tick, "the other is held");
        }
        assert_eq!(settle(&broker, &held, Settle::Ack).await, Outcome::Done);
    });
}

/// An extension of several leases holds each of them, and only these.
pub fn a_batch_of_extensions_holds_each_of_its_leases<W: World>() {
    let world = W::open(W::SHORT_LEASE);
    run(&world, async |world| {
        let broker = world.connect();
        let count = broker.caps().extend_count_max.min(8);
        if count == 0 {
            return;
        }
        for _ in 0..count {
            world.publish(b"held");
        }
        let held = hold(&broker, count).await;
        let batch = held.iter().map(|it| extension(it, 10 * W::SHORT_LEASE));
        let outcomes = broker.extend(batch.collect()).await;
        assert_eq!(outcomes.expect("it extends"), vec![Outcome::Done; count]);
        let other = world.publish(b"other");
        for _ in 0..3 {
            assert_eq!(one(&broker).await.message.id, other, "the rest is held");
        }
        for received in &held {
            assert_eq!(settle(&broker, received, Settle::Ack).await, Outcome::Done);
        }
    });
}
