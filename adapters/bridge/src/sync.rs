//! The one door to locks, condition variables, atomics, threads and time.
//!
//! Everything that can be interleaved goes through here, so that a model checker can be put behind
//! it without touching the code that is checked. Today there is one face: the standard library.
//!
//! Locks recover from poison. No user code ever runs under one of our locks, so a poisoned lock can
//! only mean a bug of ours, and one panicking callback must not take the whole bridge down.

pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, MutexGuard, Weak};
pub(crate) use std::thread;
pub(crate) use std::time::Instant;

use std::sync::PoisonError;

/// A mutex that recovers from poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// Keeps a value on a cache line of its own, so that its writers do not slow its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// A number that no other stream, portal or thread of this process has; never 0.
pub(crate) fn unique_id() -> u64 {
    static NEXT: atomic::AtomicU64 = atomic::AtomicU64::new(1);
    // Relaxed: only uniqueness matters, nothing is published through it.
    NEXT.fetch_add(1, atomic::Ordering::Relaxed)
}
