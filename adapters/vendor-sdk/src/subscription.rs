//! A running subscription, as its caller holds it.

use std::sync::Arc;

use crate::Error;
use crate::gate::Gate;
use crate::shared::Handle;

/// A running subscription.
///
/// Dropping it stops it without waiting: callbacks that run go on to their end, and what no
/// callback has begun is handed back, or runs out when the file is closed first.
#[derive(Debug)]
pub struct Subscription {
    /// Keeps the file open.
    handle: Arc<Handle>,
    gate: Arc<Gate>,
}

impl Subscription {
    pub(crate) fn new(handle: Arc<Handle>, gate: Arc<Gate>) -> Self {
        Self { handle, gate }
    }

    /// Stops pulling; returns once no lease will be taken any more.
    ///
    /// What is leased still goes to the callback; see [`Subscription::wait_idle`].
    ///
    /// # Blocking
    ///
    /// For one transaction at most.
    pub fn pause(&self) {
        self.gate.pause();
    }

    /// Pulls again after [`Subscription::pause`].
    pub fn resume(&self) {
        self.gate.resume();
    }

    /// Waits until no callback is queued or running.
    ///
    /// After [`Subscription::pause`]: until every message that was leased has been called back and
    /// the callback has returned.
    ///
    /// # Blocking
    ///
    /// As long as the callbacks take. Must not be called from one of them: returns at once then.
    pub fn wait_idle(&self) {
        if !self.gate.is_own_thread() {
            self.gate.wait_idle();
        }
    }

    /// Stops pulling, hands back, as no attempt, what no callback has begun, and waits for the
    /// running callbacks and the threads.
    ///
    /// # Blocking
    ///
    /// As long as the callbacks take. From inside one of them it does not wait.
    pub fn cancel(&self) {
        self.gate.stop();
        if !self.gate.is_own_thread() {
            // Ignored: `result` tells it.
            let _ = self.gate.wait_ended();
        }
    }

    /// Waits until the subscription has ended: `Ok` after [`Subscription::cancel`] or
    /// [`Client::close`](crate::Client::close).
    ///
    /// # Errors
    ///
    /// What latched the handle. Leases that were held run out by themselves.
    ///
    /// # Blocking
    ///
    /// Until then, and for the running callbacks. Must not be called from one of them: waits for
    /// ever then.
    pub fn result(&self) -> Result<(), Error> {
        self.gate.wait_ended()
    }

    #[cfg(test)]
    pub(crate) fn is_stopped(&self) -> bool {
        self.gate.is_stopped()
    }

    /// How many leased messages are not settled.
    pub fn outstanding(&self) -> usize {
        self.gate.outstanding()
    }

    /// How many callbacks have panicked.
    pub fn panics(&self) -> u64 {
        self.gate.panics()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.gate.stop();
        self.handle.shared().remove_gate(&self.gate);
    }
}
