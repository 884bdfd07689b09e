//! Async code run for plain threads: `run_coroutine_threadsafe`, on any executor.
//!
//! ```text
//! any thread ─ run_coroutine_threadsafe(future) ─→ queue ─→ Driver: one future, on your executor
//!      └── PortalHandle: wait · wait_timeout · cancel · await ←── outcome ──┘
//! ```
//!
//! There is no spawn trait. [`Portal`] and [`Driver`] are made together; whoever polls the driver
//! runs the futures, all on that one task. A future that was accepted is completed on every path:
//! it returns, panics, is cancelled, or the driver is dropped, polled or not.
//!
//! Deliberately absent: parallel jobs (one driver is one task; make several portals), and timers.

mod driver;
mod handle;
mod shared;

use std::fmt;
use std::future::Future;

use crate::panic::Panic;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

use handle::job;
use shared::{Refused, Shared};

pub use driver::Driver;
pub use handle::PortalHandle;

const CAPACITY_DEFAULT: usize = 1024;

/// The door for plain threads into async code. Clone it for every thread.
///
/// When the last clone is dropped the portal closes with [`Close::Drain`]: what was accepted still
/// runs, then the driver ends.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().name("doc").build();
/// // A thread that knows nothing of async calls an async function and gets its result.
/// let caller = std::thread::spawn(move || {
///     let handle = portal.run_coroutine_threadsafe(async { 40 + 2 }).unwrap();
///     handle.wait().unwrap()
/// });
/// // Any executor will do for the driver.
/// let stats = block_on(driver);
/// assert_eq!(caller.join().unwrap(), 42);
/// assert_eq!(stats.completed, 1);
/// ```
pub struct Portal {
    shared: Arc<Shared>,
}

impl Portal {
    /// Starts configuring a portal.
    pub fn builder() -> PortalBuilder {
        PortalBuilder {
            name: "portal".to_owned(),
            capacity: CAPACITY_DEFAULT,
        }
    }

    /// Submits a future from any thread. It runs on the task of the [`Driver`].
    ///
    /// Never waits. After `Ok` the handle is completed on every path.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] if as many futures as the portal's capacity are unfinished,
    /// [`SubmitError::Closed`] if the portal was closed or its driver is gone. Both hand the
    /// future back, unpolled.
    pub fn run_coroutine_threadsafe<F>(
        &self,
        future: F,
    ) -> Result<PortalHandle<F::Output>, SubmitError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.shared.reserve() {
            Ok(permit) => Ok(self.submit(permit, future)),
            Err(Refused::Full) => Err(SubmitError::Full(future)),
            Err(Refused::Closed) => Err(SubmitError::Closed(future)),
        }
    }

    /// Runs a future on the driver's task and waits for its result; waits for room first.
    ///
    /// # Errors
    ///
    /// As [`PortalHandle::wait`]. With [`JoinError::WouldDeadlock`] the future was not even
    /// submitted.
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only. Inside the driver's own poll it is refused; on
    /// another thread of the executor that drives this portal it may stop that executor.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{JoinError, Portal};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let inner = portal.clone();
    /// let handle = portal
    ///     .run_coroutine_threadsafe(async move { inner.call(async { 1 }) })
    ///     .unwrap();
    /// drop(portal);
    /// block_on(driver);
    /// assert!(matches!(handle.wait(), Ok(Err(JoinError::WouldDeadlock(_)))));
    /// ```
    pub fn call<F>(&self, future: F) -> Result<F::Output, JoinError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if let Some(deadlock) = self.shared.deadlock() {
            return Err(JoinError::WouldDeadlock(deadlock));
        }
        match self.shared.reserve_blocking() {
            Some(permit) => self.submit(permit, future).wait(),
            None => Err(JoinError::PortalClosed),
        }
    }

    /// Accepts no more futures; see [`Close`]. The driver ends when none is left. Idempotent, and
    /// a drain can still be turned into a cancel.
    pub fn close(&self, how: Close) {
        self.shared.close(how);
    }

    /// Whether futures are still accepted.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Counts of this moment.
    pub fn stats(&self) -> PortalStats {
        self.shared.stats()
    }

    /// The portal's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    fn submit<F>(&self, permit: shared::Permit, future: F) -> PortalHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (job, handle) = job(permit, future);
        // Refused only if the driver was dropped since the permit was given: dropping the job then
        // completes its handle, as for every job that is dropped.
        if let Some(job) = self.shared.enter_queue(job) {
            crate::panic::discard(job);
        }
        handle
    }
}

impl Clone for Portal {
    fn clone(&self) -> Self {
        // Relaxed, as in Arc: a new portal is made from an existing one.
        self.shared.portals.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // AcqRel, as in Arc: the last drop comes after every submission.
        if self.shared.portals.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close(Close::Drain);
        }
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Portal")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Configures a [`Portal`].
#[derive(Clone, Debug)]
pub struct PortalBuilder {
    name: String,
    capacity: usize,
}

impl PortalBuilder {
    /// The portal's name in errors and in the inventory (default `portal`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many accepted futures may be unfinished at a time (default 1024).
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(capacity > 0, "a portal has room for at least one future");
        self.capacity = capacity;
        self
    }

    /// Makes the portal and its driver. Nothing runs until the driver is polled.
    pub fn build(self) -> (Portal, Driver) {
        let shared = Shared::new(Arc::from(self.name), self.capacity);
        (
            Portal {
                shared: Arc::clone(&shared),
            },
            Driver::new(shared),
        )
    }
}

/// How a portal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// What was accepted runs to its end.
    Drain,
    /// What was accepted is dropped by the driver's next poll and ends as
    /// [`JoinError::Cancelled`].
    Cancel,
}

/// A future that was not accepted, handed back unpolled.
#[non_exhaustive]
pub enum SubmitError<F> {
    /// The portal's capacity is used up by unfinished futures.
    Full(F),
    /// The portal is closed, or its driver is gone.
    Closed(F),
}

impl<F> SubmitError<F> {
    /// The future, as it was given.
    pub fn into_future(self) -> F {
        match self {
            Self::Full(future) | Self::Closed(future) => future,
        }
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "the portal has too many unfinished futures",
            Self::Closed(_) => "the portal is closed",
        })
    }
}

impl<F> std::error::Error for SubmitError<F> {}

/// Why a future has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled, by its handle or by [`Close::Cancel`], and has been dropped.
    Cancelled,
    /// It panicked.
    Panicked(Panic),
    /// The portal was closed, or its driver dropped, before the future finished; it was dropped.
    PortalClosed,
    /// Waiting here would have been for ever. The future goes on, unheard.
    WouldDeadlock(Deadlock),
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => formatter.write_str("the future was cancelled"),
            Self::Panicked(panic) => write!(formatter, "the future {panic}"),
            Self::PortalClosed => {
                formatter.write_str("the portal was closed before the future ended")
            }
            Self::WouldDeadlock(deadlock) => deadlock.fmt(formatter),
        }
    }
}

impl std::error::Error for JoinError {}

/// Who would have waited for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlock {
    /// The portal waited for.
    pub portal: String,
    /// The thread that would have waited while polling that portal's driver.
    pub thread: String,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { portal, thread } = self;
        write!(
            formatter,
            "thread {thread} polls portal {portal} and must not wait for it"
        )
    }
}

/// A portal's counts. At the driver's end: `accepted` = the sum of the four ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalStats {
    /// Futures accepted since the portal was made.
    pub accepted: u64,
    /// Futures that returned.
    pub completed: u64,
    /// Futures that panicked.
    pub panicked: u64,
    /// Futures that were cancelled.
    pub cancelled: u64,
    /// Futures dropped because the portal closed under them.
    pub closed: u64,
    /// Futures accepted and not finished.
    pub outstanding: usize,
}

#[cfg(test)]
mod tests;
