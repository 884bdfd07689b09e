//! Short forms of the port's calls, which assert what every answer must be.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mayhem_core::{Broker, Clock, Extension, Outcome, Pull, Received, Settle, Settlement};

use super::World;

/// A lease that no check outlives.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// How many leases every broker under test has room for.
pub(super) const ROOM: usize = 32;

pub(super) fn run<W: World>(world: &W, check: impl AsyncFnOnce(&W)) {
    world.block_on(Box::pin(check(world)));
}

/// Runs a check in a world of [`LONG`] leases, none of which may have brought anything about.
pub(super) fn run_in_lease<W: World>(world: &W, check: impl AsyncFnOnce(&W)) {
    let began = world.clock().now();
    run(world, check);
    let took = world.clock().now() - began;
    assert!(took < LONG, "only a lease that ran out brought it about");
}

pub(super) async fn next(broker: &dyn Broker, count_max: usize) -> Vec<Received> {
    let batch = broker.receive(Pull::Next { count_max }).await;
    batch.expect("it receives")
}

pub(super) async fn one(broker: &dyn Broker) -> Received {
    let mut batch = next(broker, 1).await;
    assert_eq!(batch.len(), 1, "a batch of one, and no end of the source");
    batch.remove(0)
}

/// Holds `count` messages at a time.
pub(super) async fn hold(broker: &dyn Broker, count: usize) -> Vec<Received> {
    let mut held = Vec::new();
    while held.len() < count {
        let batch = next(broker, count - held.len()).await;
        assert!(!batch.is_empty(), "no end of the source");
        held.extend(batch);
    }
    held
}

/// Closes the source and gives what it still had.
pub(super) async fn close(broker: &dyn Broker) -> Vec<Received> {
    let mut rest = Vec::new();
    loop {
        let batch = broker.receive(Pull::Close).await.expect("it closes");
        if batch.is_empty() {
            return rest;
        }
        rest.extend(batch);
    }
}

pub(super) async fn settle(broker: &dyn Broker, received: &Received, settle: Settle) -> Outcome {
    let outcomes = broker.settle(vec![settlement(received, settle)]).await;
    let outcomes = outcomes.expect("it settles");
    assert_eq!(outcomes.len(), 1, "an outcome for each item");
    outcomes[0]
}

pub(super) async fn extend(broker: &dyn Broker, received: &Received, by: Duration) -> Outcome {
    let outcomes = broker.extend(vec![extension(received, by)]).await;
    let outcomes = outcomes.expect("it extends");
    assert_eq!(outcomes.len(), 1, "an outcome for each item");
    outcomes[0]
}

pub(super) fn settlement(received: &Received, settle: Settle) -> Settlement {
    let (id, lease) = (received.message.id.clone(), received.message.lease.clone());
    Settlement { id, lease, settle }
}

pub(super) fn extension(received: &Received, duration: Duration) -> Extension {
    let (id, lease) = (received.message.id.clone(), received.message.lease.clone());
    Extension {
        id,
        lease,
        duration,
    }
}

pub(super) fn nack(after: Duration, counted: bool) -> Settle {
    Settle::Nack { after, counted }
}

/// Back at once, as no attempt.
pub(super) fn hand_back() -> Settle {
    nack(Duration::ZERO, false)
}

pub(super) fn every_settle() -> [Settle; 4] {
    [
        Settle::Ack,
        nack(Duration::ZERO, true),
        nack(Duration::from_secs(3600), false),
        Settle::Dead {
            reason: "dead".to_owned(),
        },
    ]
}

/// Polls once, so that the call is under way.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}
