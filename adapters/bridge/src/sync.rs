//! The one door to locks, condition variables, atomics, threads and time.
//!
//! Everything that can be interleaved goes through here, so that a model checker can be put behind
//! it without touching the code that is checked. Three faces: the standard library, and, built with
//! `--cfg mayhem_model --cfg mayhem_model="loom"` or `="shuttle"`, one of the two checkers.
//!
//! Locks recover from poison. No user code ever runs under one of our locks, so a poisoned lock can
//! only mean a bug of ours, and one panicking callback must not take the whole bridge down.
//!
//! Not behind the faces: [`Arc`] and [`Weak`], which are the standard library's in all of them, and
//! [`plain`], for books that nothing waits for.

#[cfg(mayhem_model)]
mod checked;
#[cfg(not(mayhem_model))]
mod standard;

#[cfg(mayhem_model)]
pub use checked::model;
#[cfg(mayhem_model)]
pub(crate) use checked::{Condvar, Instant, Mutex, MutexGuard, atomic, bug, locals, thread};
#[cfg(not(mayhem_model))]
pub(crate) use standard::{Condvar, Instant, Mutex, MutexGuard, atomic, bug, locals, thread};

pub(crate) use locals as thread_local;
pub(crate) use std::sync::{Arc, Weak};

/// The standard library's own in every face: for what outlives one run of a model and that nothing
/// waits for, such as the inventory's records.
pub(crate) mod plain {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::time::Instant;

    use std::sync::{MutexGuard, PoisonError};

    /// A mutex that recovers from poison and can be a static.
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
}

/// Keeps a value on a cache line of its own, so that its writers do not slow its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// A number that no other stream, portal or thread of this process has; never 0.
pub(crate) fn unique_id() -> u64 {
    static NEXT: plain::atomic::AtomicU64 = plain::atomic::AtomicU64::new(1);
    // Relaxed: only uniqueness matters, nothing is published through it.
    NEXT.fetch_add(1, plain::atomic::Ordering::Relaxed)
}
