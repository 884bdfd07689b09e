//! A running subscription.

use crate::Error;

/// A running subscription; dropping it stops it without waiting.
#[derive(Debug)]
pub struct Subscription {}

impl Subscription {
    /// Stops pulling; returns once no lease will be taken any more.
    pub fn pause(&self) {
        todo!()
    }

    /// Waits until no callback is queued or running.
    pub fn wait_idle(&self) {
        todo!()
    }

    /// Stops pulling, hands back what no callback has begun, waits for the running callbacks.
    pub fn cancel(&self) {
        todo!()
    }

    /// Waits until the subscription has ended: `Ok` after `cancel`, else what ended it.
    pub fn result(&self) -> Result<(), Error> {
        todo!()
    }
}
