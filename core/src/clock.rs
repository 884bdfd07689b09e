//! The time port.

use std::sync::Arc;
use std::time::Duration;

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

    /// A cheap reading, for how long one poll of a handler took; by default [`now`](Self::now).
    ///
    /// Read once per poll of a handler, where a precise reading would cost more than all else that
    /// the consumer does for the poll. It may lag behind by up to 10 ms, may stand still in suspend
    /// and is compared only with other readings of itself (on Linux: `CLOCK_MONOTONIC_COARSE`).
    fn now_coarse(&self) -> Instant {
        self.now()
    }

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

    fn now_coarse(&self) -> Instant {
        (**self).now_coarse()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        (**self).sleep_until(deadline)
    }
}

/// How long polls take: one reading for each, because the end of one is the start of the next.
pub(crate) struct Stopwatch {
    is_coarse: bool,
    lap: Instant,
}

impl Stopwatch {
    /// Starts; precise to a tenth of `threshold`, and as cheap as that allows.
    pub(crate) fn start(clock: &dyn Clock, threshold: Duration) -> Self {
        let is_coarse = threshold >= 10 * COARSE_LAG_MAX;
        let lap = if is_coarse {
            clock.now_coarse()
        } else {
            clock.now()
        };
        Self { is_coarse, lap }
    }

    /// How many nanoseconds have passed since the last lap.
    pub(crate) fn lap(&mut self, clock: &dyn Clock) -> u64 {
        let now = if self.is_coarse {
            clock.now_coarse()
        } else {
            clock.now()
        };
        now.nanos_since(std::mem::replace(&mut self.lap, now))
    }
}

/// By how much a coarse reading may lag behind: the longest tick of Linux.
const COARSE_LAG_MAX: Duration = Duration::from_millis(10);
