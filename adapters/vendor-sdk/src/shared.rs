//! What a handle's clones and its subscriptions' threads share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::gate::Gate;
use crate::store::Store;
use crate::time::nanos;
use crate::{Error, Outcome, Outgoing, Settle, Token};

/// One open file, as long as a clone of its client or one of its subscriptions exists. The
/// subscriptions' threads share only what is in it, or it would never end.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self(Arc::new(Shared {
            store,
            gates: Mutex::default(),
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // No waiting: the last clone may be dropped anywhere, on a callback thread too.
        for gate in self.0.gates() {
            gate.stop();
        }
        self.0.store.shut();
    }
}

/// The store, and the subscriptions to wake.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    gates: Mutex<Vec<Arc<Gate>>>,
}

impl Shared {
    pub(crate) fn add_gate(&self, gate: &Arc<Gate>) {
        self.gates.lock().push(Arc::clone(gate));
    }

    pub(crate) fn remove_gate(&self, gate: &Arc<Gate>) {
        self.gates.lock().retain(|other| !Arc::ptr_eq(other, gate));
    }

    /// The subscriptions of now; a copy, so that no lock is held while they are woken.
    pub(crate) fn gates(&self) -> Vec<Arc<Gate>> {
        self.gates.lock().clone()
    }

    pub(crate) fn publish(&self, topic: &str, messages: Vec<Outgoing>) -> Result<Vec<Uuid>, Error> {
        let name = topic.to_owned();
        let ids = self
            .store
            .write(move |queue| queue.publish(&name, &messages))?;
        for gate in self.gates() {
            if gate.topic() == topic {
                gate.announce();
            }
        }
        Ok(ids)
    }

    pub(crate) fn settle(&self, batch: Vec<(Token, Settle)>) -> Result<Vec<Outcome>, Error> {
        let tokens: Vec<Token> = batch.iter().map(|(token, _)| *token).collect();
        let redelivers = batch
            .iter()
            .any(|(_, settle)| matches!(settle, Settle::Nack { .. }));
        let outcomes = self.store.write(move |queue| queue.settle(&batch))?;
        for gate in self.gates() {
            // Done or gone, the lease is over.
            gate.release(tokens.iter().copied());
            if redelivers {
                gate.announce();
            }
        }
        Ok(outcomes)
    }

    pub(crate) fn extend(&self, batch: Vec<(Token, Duration)>) -> Result<Vec<Outcome>, Error> {
        // Before the store's own reading of the clock, so not later than the lease's real end.
        let now = self.store.times().boot();
        let moved: Vec<(Token, i64)> = batch
            .iter()
            .map(|(token, duration)| (*token, now.saturating_add(nanos(*duration))))
            .collect();
        let outcomes = self.store.write(move |queue| queue.extend(&batch))?;
        for gate in self.gates() {
            let extended = moved.iter().zip(&outcomes);
            gate.move_deadlines(
                extended.map(|((token, deadline), outcome)| (*token, *deadline, *outcome)),
            );
        }
        Ok(outcomes)
    }
}
