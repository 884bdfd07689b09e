//! Whether a stop cut handlers off: then it was not a clean one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells whether any handler was dropped before its verdict.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(super) fn is_any(&self) -> bool {
        // Relaxed: asked by the same thread that drops the handlers.
        self.0.load(Ordering::Relaxed)
    }

    /// Watches one handler: dropping the guard without finishing it counts as cancelled.
    pub(super) fn watch(&self) -> Unfinished {
        Unfinished {
            cancelled: Some(self.clone()),
        }
    }
}

/// A handler that has no verdict yet.
#[derive(Debug)]
pub(super) struct Unfinished {
    cancelled: Option<Cancelled>,
}

impl Unfinished {
    pub(super) fn finish(mut self) {
        self.cancelled = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A panic is an end of its own: the engine retries the message.
        if let (Some(cancelled), false) = (&self.cancelled, std::thread::panicking()) {
            cancelled.0.store(true, Ordering::Relaxed);
        }
    }
}
