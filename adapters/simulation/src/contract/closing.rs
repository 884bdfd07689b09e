//! What a close owes: an end of the source, nothing left leased unseen, and calls that still work.

use std::collections::BTreeSet;
use std::task::Poll;

use futures::future::{join, join_all};
use mayhem_core::{MessageId, Outcome, Pull, Received, Settle};

use super::World;
use super::talk::{LONG, close, extend, hold, next, poll_once, run_in_lease, settle};

/// A close returns what is leased, each message once, and then nothing; settling still works.
pub fn a_close_returns_what_is_leased_and_then_nothing<W: World>() {
    let world = W::open(LONG);
    let published: BTreeSet<_> = (0..20).map(|number| world.publish(&[number])).collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut held = next(&broker, 1).await;
        held.extend(close(&broker).await);
        let ids: BTreeSet<_> = held.iter().map(|it| it.message.id.clone()).collect();
        assert_eq!(ids.len(), held.len(), "each comes once");
        assert!(ids.is_subset(&published));

        let late = world.publish(b"late");
        let after = close(&broker).await;
        assert!(after.is_empty(), "{late} came after the close");
        for received in &held {
            if broker.caps().extend_count_max > 0 {
                assert_eq!(extend(&broker, received, LONG).await, Outcome::Done);
            }
            assert_eq!(settle(&broker, received, Settle::Ack).await, Outcome::Done);
        }
    });
}

/// After a close the source has ended for every later call, and none of them waits.
pub fn a_receive_after_the_close_finds_the_end<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        assert!(close(&broker).await.is_empty());
        world.publish(b"late");
        for _ in 0..3 {
            assert!(next(&broker, 1).await.is_empty(), "the source has ended");
            assert!(close(&broker).await.is_empty());
        }
    });
}

/// A receive that is dropped for a close has lost nothing: what it had leased comes with the close.
pub fn a_close_after_a_dropped_receive_loses_nothing<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut waiting = broker.receive(Pull::Next { count_max: 4 });
        let is_waiting = poll_once(&mut waiting).await.is_pending();
        assert!(is_waiting, "there is nothing yet");
        let published: BTreeSet<_> = (0..20).map(|number| world.publish(&[number])).collect();
        // Once more, so that some of them may be on their way to it.
        let mut held = match poll_once(&mut waiting).await {
            Poll::Ready(batch) => batch.expect("it receives"),
            Poll::Pending => Vec::new(),
        };
        drop(waiting);
        held.extend(close(&broker).await);
        check_rest(world, &held, &published).await;
    });
}

/// A hold, as of a consumer that is paused, loses and doubles nothing and ends with the next pull.
pub fn a_hold_loses_nothing_and_ends_with_the_next_pull<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for number in 0..8_u8 {
            let mut published = BTreeSet::from([world.publish(&[number])]);
            let mut holding = broker.receive(Pull::Hold);
            let mut held = match poll_once(&mut holding).await {
                Poll::Ready(held) => held.expect("it holds"),
                Poll::Pending => Vec::new(),
            };
            drop(holding);
            published.insert(world.publish(&[number]));
            while held.len() < 2 {
                held.extend(next(&broker, 2).await);
            }
            for received in held {
                assert!(published.remove(&received.message.id), "each comes once");
                assert_eq!(settle(&broker, &received, Settle::Ack).await, Outcome::Done);
            }
        }
    });
}

/// A close of a source that is held returns what is leased, as any other.
pub fn a_close_ends_a_hold<W: World>() {
    let world = W::open(LONG);
    let published: BTreeSet<_> = (0..20).map(|number| world.publish(&[number])).collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut held = next(&broker, 1).await;
        let mut holding = broker.receive(Pull::Hold);
        if let Poll::Ready(batch) = poll_once(&mut holding).await {
            held.extend(batch.expect("it holds"));
        }
        drop(holding);
        held.extend(close(&broker).await);
        check_rest(world, &held, &published).await;
    });
}

/// Settlements that are under way while the source closes take effect.
pub fn a_close_cuts_no_settlement_off<W: World>() {
    let world = W::open(LONG);
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        for number in 0..8 {
            world.publish(&[number]);
        }
        let held = hold(&broker, 8).await;
        let settling = held.iter().map(|it| settle(&broker, it, Settle::Ack));
        let (outcomes, rest) = join(join_all(settling), close(&broker)).await;
        assert_eq!(outcomes, vec![Outcome::Done; 8]);
        assert!(rest.is_empty());
    });
}

/// A close that is dropped on its way loses nothing: what it took is returned by the next.
pub fn a_dropped_close_loses_nothing<W: World>() {
    let world = W::open(LONG);
    let published: BTreeSet<_> = (0..20).map(|number| world.publish(&[number])).collect();
    run_in_lease(&world, async |world| {
        let broker = world.connect();
        let mut held = next(&broker, 1).await;
        let mut closing = broker.receive(Pull::Close);
        if let Poll::Ready(batch) = poll_once(&mut closing).await {
            held.extend(batch.expect("it closes"));
        }
        drop(closing);
        held.extend(close(&broker).await);
        check_rest(world, &held, &published).await;
    });
}

/// That a new connection gets, in time, all that a closed one did not return: nothing that was not
/// returned is leased.
async fn check_rest<W: World>(world: &W, held: &[Received], published: &BTreeSet<MessageId>) {
    let mut ids: BTreeSet<_> = held.iter().map(|it| it.message.id.clone()).collect();
    assert_eq!(ids.len(), held.len(), "each comes once");
    for received in hold(&world.connect(), published.len() - ids.len()).await {
        assert!(ids.insert(received.message.id), "it was held already");
    }
    assert_eq!(ids, *published);
}
