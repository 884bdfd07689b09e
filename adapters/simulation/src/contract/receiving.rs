//! What `receive` owes: every message, once, as it was published, within the limits of the call.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

use futures::future::join;
use mayhem_core::{Broker, Clock, Outcome, Pull, Settle};

use super::World;
use super::talk::{
    LONG, ROOM, close, hand_back, hold, nack, next, one, poll_once, run_in_lease, settle,
};

/// What is published is received once, under a lease that runs from the receipt.
pub fn a_message_is_received_under_a_lease<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let (broker, before) = (world.connect(), world.clock().now());
        let id = world.publish(b"message");
        let received = one(&broker).await;
        assert_eq!(received.message.id, id);
        assert_eq!(received.message.payload, b"message");
        assert_eq!(received.message.attempt, 1);
        assert!(received.deadline >= before + LONG);
        assert!(received.deadline <= world.clock().now() + LONG);
        assert_eq!(settle(&broker, &received, Settle::Ack).await, Outcome::Done);
    });
}

/// To the byte: nothing, text of every plane, every byte, and 200 KiB.
pub fn every_payload_comes_as_it_was_published<W: World>() {
    let world = W::open(LONG);
    let payloads: [Vec<u8>; 5] = [
        Vec::new(),
        "naïve café, 日本語, 🦀, a\u{0}b\r\n".as_bytes().to_vec(),
        (0..=255).collect(),
        vec![0xff; 3],
        (0..LARGE_BYTES).map(|place| (place % 251) as u8).collect(),
    ];
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for payload in payloads {
            let id = world.publish(&payload);
            let received = one(&broker).await;
            assert_eq!(received.message.id, id);
            let is_same = received.message.payload == payload;
            assert!(is_same, "{} bytes", payload.len());
            settle(&broker, &received, hand_back()).await;
            let again = one(&broker).await;
            assert!(again.message.payload == payload, "the second time");
            assert_eq!(settle(&broker, &again, Settle::Ack).await, Outcome::Done);
        }
    });
}

/// What was there before anybody asked is not lost.
pub fn what_was_published_before_the_first_connection_is_received<W: World>() {
    let world = W::open(LONG);
    let published: BTreeSet<_> = (0..10).map(|number| world.publish(&[number])).collect();
    run_in_lease(&world, async |world| {
        let received = hold(&world.connect(), published.len()).await;
        let ids: BTreeSet<_> = received.into_iter().map(|it| it.message.id).collect();
        assert_eq!(ids, published);
    });
}

/// The limit of the call is kept and nothing is lost or doubled by it.
pub fn a_batch_is_never_larger_than_was_asked_for<W: World>() {
    let world = W::open(LONG);
    let mut missing: BTreeSet<_> = (0..10).map(|number| world.publish(&[number])).collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        while !missing.is_empty() {
            let batch = next(&broker, 3).await;
            assert!((1..=3).contains(&batch.len()), "{}", batch.len());
            for received in batch {
                assert_eq!(settle(&broker, &received, Settle::Ack).await, Outcome::Done);
                assert!(missing.remove(&received.message.id), "each comes once");
            }
        }
    });
}

/// Many more messages than there is room for, received while others are settled.
pub fn many_messages_come_once_each<W: World>() {
    let world = W::open(LONG);
    let mut missing: BTreeSet<_> = (0..10 * ROOM)
        .map(|number| world.publish(&number.to_le_bytes()))
        .collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut held = next(&broker, ROOM / 2).await;
        loop {
            for received in &held {
                assert!(missing.remove(&received.message.id), "each comes once");
            }
            let batch = std::mem::take(&mut held);
            let settled = async {
                for received in &batch {
                    let outcome = settle(&broker, received, Settle::Ack).await;
                    assert_eq!(outcome, Outcome::Done);
                }
            };
            if missing.is_empty() {
                break settled.await;
            }
            ((), held) = join(settled, next(&broker, ROOM / 2)).await;
        }
    });
}

/// Two connections at a time share the messages: each goes to one of them.
pub fn two_connections_share_the_messages<W: World>() {
    let world = W::open(LONG);
    let missing: BTreeSet<_> = (0..4 * ROOM)
        .map(|number| world.publish(&number.to_le_bytes()))
        .collect();
    let missing = RefCell::new(missing);
    run_in_lease(&world, async |world| {
        let (left, right) = (world.connect(), world.connect());
        let take = async |mine: &dyn Broker, other: &dyn Broker| {
            loop {
                let batch = next(mine, 4).await;
                for received in &batch {
                    let is_first = missing.borrow_mut().remove(&received.message.id);
                    assert!(is_first, "each comes once");
                    settle(mine, received, Settle::Ack).await;
                }
                if batch.is_empty() {
                    return;
                }
                if missing.borrow().is_empty() {
                    assert!(close(mine).await.is_empty(), "none is left");
                    assert!(close(other).await.is_empty(), "none is left");
                    return;
                }
            }
        };
        join(take(&left, &right), take(&right, &left)).await;
        assert!(missing.borrow().is_empty());
    });
}

/// As far as the broker promises an order: first deliveries to one connection keep it.
pub fn messages_come_in_the_order_of_their_publishing<W: World>() {
    if !W::IS_ORDERED {
        return;
    }
    let world = W::open(LONG);
    let published: Vec<_> = (0..2 * ROOM)
        .map(|number| world.publish(&number.to_le_bytes()))
        .collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut ids = Vec::new();
        while ids.len() < published.len() {
            for received in next(&broker, 5).await {
                settle(&broker, &received, Settle::Ack).await;
                ids.push(received.message.id);
            }
        }
        assert_eq!(ids, published);
    });
}

/// One that nobody settles, and one that is put off, do not keep the others waiting.
pub fn an_unsettled_message_holds_up_nobody_else<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        world.publish(b"held");
        let held = one(&broker).await;
        world.publish(b"put off");
        let put_off = one(&broker).await;
        settle(&broker, &put_off, nack(Duration::from_secs(3600), false)).await;
        let has_delay = broker.caps().nack_delay;
        let mut missing: BTreeSet<_> = (0..10).map(|number| world.publish(&[number])).collect();
        while !missing.is_empty() {
            let received = one(&broker).await;
            let is_new = missing.remove(&received.message.id);
            assert!(is_new || !has_delay, "neither comes back before its time");
            assert_ne!(received.message.id, held.message.id);
            settle(&broker, &received, Settle::Ack).await;
        }
        assert_eq!(settle(&broker, &held, Settle::Ack).await, Outcome::Done);
    });
}

/// A call that is dropped while it waits, or while a message is on its way to it, loses nothing.
pub fn a_dropped_receive_loses_nothing<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for number in 0..20_u8 {
            let mut waiting = broker.receive(Pull::Next { count_max: 1 });
            let is_waiting = poll_once(&mut waiting).await.is_pending();
            assert!(is_waiting, "there is nothing yet");
            let id = world.publish(&[number]);
            let mut polled = Poll::Pending;
            for _ in 0..number % 5 {
                if polled.is_pending() {
                    polled = poll_once(&mut waiting).await;
                }
            }
            drop(waiting);
            let received = match polled {
                Poll::Ready(batch) => batch.expect("it receives").remove(0),
                Poll::Pending => one(&broker).await,
            };
            assert_eq!(received.message.id, id);
            settle(&broker, &received, Settle::Ack).await;
        }
    });
}

/// Below what brokers commonly take; 1 MiB is the limit of several.
const LARGE_BYTES: usize = 200 << 10;
