//! The time port.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::Instant;

/// Tells the time and wakes the consumer at one.
///
/// # Duties of an implementation
///
/// - `now` never goes back, never blocks, never panics, and goes on while the machine is suspended:
///   leases do (on Linux: `CLOCK_BOOTTIME`, not `CLOCK_MONOTONIC`).
/// - `sleep_until` resolves at or after its instant, never before; late is allowed. An instant in
///   the past resolves at the first poll. Dropping the future cancels the timer.
///
/// # Examples
///
/// A clock that a test turns by hand:
///
/// ```
/// use futures::future::{BoxFuture, FutureExt};
/// use mayhem_core::{Clock, Instant};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// struct Hand(Arc<AtomicU64>);
/// impl Clock for Hand {
///     fn now(&self) -> Instant {
///         Instant::from_nanos(self.0.load(Ordering::Relaxed))
///     }
///     fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
///         let nanos = Arc::clone(&self.0);
///         futures::future::poll_fn(move |cx| {
///             if nanos.load(Ordering::Relaxed) >= deadline.as_nanos() {
///                 return std::task::Poll::Ready(());
///             }
///             cx.waker().wake_by_ref();
///             std::task::Poll::Pending
///         })
///         .boxed()
///     }
/// }
/// assert_eq!(Hand(Arc::default()).now(), Instant::ZERO);
/// ```
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Instant;

    /// Resolves once `deadline` has been reached.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future only forgets the timer.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        (**self).sleep_until(deadline)
    }
}
