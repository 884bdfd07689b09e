//! Handlers that many specs have.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ManualClock;
use crate::control::lock;
use crate::{Delivery, Verdict};

/// Acks at once.
pub(crate) async fn ack(_: &Delivery) -> Verdict {
    Verdict::Ack
}

/// Never ends by itself.
pub(crate) async fn endless(_: &Delivery) -> Verdict {
    pending().await
}

/// Takes so long, and acks.
pub(crate) fn sleeper(
    clock: &ManualClock,
    pause: Duration,
) -> impl AsyncFn(&Delivery) -> Verdict + 'static {
    let clock = clock.clone();
    async move |_: &Delivery| {
        clock.sleep(pause).await;
        Verdict::Ack
    }
}

/// Panics when it is dropped.
pub(crate) struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        panic!("a planned panic in a destructor");
    }
}

/// How many handlers run of each key.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: HashMap<String, usize>,
    overlaps: usize,
}

/// A handler of a key, as long as it runs.
pub(crate) struct Turn {
    turns: Turns,
    key: String,
}

impl Turns {
    /// A handler of this key begins.
    pub(crate) fn take(&self, key: String) -> Turn {
        let mut state = lock(&self.0);
        let count = state.running.entry(key.clone()).or_default();
        *count += 1;
        state.overlaps += usize::from(*count > 1);
        drop(state);
        let turns = self.clone();
        Turn { turns, key }
    }

    /// How often a handler began while another one of its key ran.
    pub(crate) fn overlaps(&self) -> usize {
        lock(&self.0).overlaps
    }

    /// Whether none runs any more.
    pub(crate) fn are_over(&self) -> bool {
        lock(&self.0).running.values().all(|count| *count == 0)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = lock(&self.turns.0);
        *state.running.entry(self.key.clone()).or_default() -= 1;
    }
}
