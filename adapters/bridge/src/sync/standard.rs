//! The face that is shipped: the standard library.

pub(crate) use std::sync::MutexGuard;
pub(crate) use std::sync::atomic;
pub(crate) use std::thread;
pub(crate) use std::time::Instant;

use std::sync::PoisonError;

pub(crate) use super::plain::Mutex;

/// A condition variable over [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    /// Waits until notified or until `deadline`; true means that the deadline has passed.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        let Some(deadline) = deadline else {
            let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
            return (guard, false);
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return (guard, true);
        }
        let (guard, result) = self
            .0
            .wait_timeout(guard, patience)
            .unwrap_or_else(PoisonError::into_inner);
        (guard, result.timed_out())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Whether the planted bug of this name is in the code: never, outside a model checker.
#[inline(always)]
pub(crate) const fn bug(_name: &str) -> bool {
    false
}

/// `thread_local!`, initialised at compile time.
macro_rules! locals {
    ($($(#[$attribute:meta])* static $name:ident: $of:ty = $init:expr;)+) => {
        std::thread_local! { $($(#[$attribute])* static $name: $of = const { $init };)+ }
    };
}
pub(crate) use locals;
