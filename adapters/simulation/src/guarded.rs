//! State that any thread may ask for, and that nearly always the same one does.
//!
//! Everything happens on the thread that runs a simulation, but its clocks, wakers and brokers may
//! be sent anywhere. So what they share is behind a lock, which the thread of a run
//! [holds](Hold::hold) until the end of the run: every look in between finds out that it is held
//! already, which takes a tenth of the time, and is not taken by other threads, which wait.

use std::cell::RefCell;

use parking_lot::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};

/// A value behind a lock that the thread which holds it may take again.
#[derive(Default)]
pub(crate) struct Guarded<T>(ReentrantMutex<RefCell<T>>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ReentrantMutex::new(RefCell::new(value)))
    }

    /// Looks at the value, or changes it. `visit` panics if it comes here again.
    pub(crate) fn with<R>(&self, visit: impl FnOnce(&mut T) -> R) -> R {
        visit(&mut self.0.lock().borrow_mut())
    }
}

/// What the thread of a run holds.
pub(crate) trait Hold: Send + Sync {
    /// Keeps other threads out until what is returned is dropped.
    fn hold(&self) -> Held<'_>;
}

/// Keeps other threads out.
pub(crate) type Held<'a> = MappedReentrantMutexGuard<'a, ()>;

impl<T: Send> Hold for Guarded<T> {
    fn hold(&self) -> Held<'_> {
        ReentrantMutexGuard::map(self.0.lock(), |_| &())
    }
}
