//! Async code run for plain threads: `run_coroutine_threadsafe`, on any executor.
//!
//! ```text
//! any thread ─ run_coroutine_threadsafe(future) ─→ queue ─→ Driver: one future, on your executor
//!      └── PortalHandle: wait · wait_timeout · cancel · await ←── outcome ──┘
//! ```
//!
//! No spawn trait is needed. [`Portal`] and [`Driver`] are made together; whoever polls the driver
//! runs the futures, all on that one task, or, given a [`spawner`](Driver::spawner), each as a task
//! of its own. A future that was accepted is completed on every path: it returns, panics, is
//! cancelled, or the driver is dropped, polled or not.
//!
//! Deliberately absent: timers, and any thread but that of a [`PortalProvider`].

mod builder;
mod driver;
mod engine;
mod error;
mod handle;
mod job;
mod local;
mod provider;
mod seats;
mod shared;
mod spawned;
mod start;
mod stats;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::panic::discard;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Instant, bug};

use job::{Permit, job};
use shared::{Entry, Refused, Shared};

pub use builder::PortalBuilder;
pub use driver::Driver;
pub use error::{Deadlock, JoinError, StartError, SubmitError};
pub use handle::{PortalHandle, Unwound};
pub use local::{LocalDriver, LocalPortal};
pub use provider::PortalProvider;
pub use start::Started;
pub use stats::{Close, PortalStats};

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
    /// The first portal to `shared`, which counts it already.
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Starts configuring a portal.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, _driver) = Portal::builder().build();
    /// assert_eq!(portal.name(), "portal");
    /// ```
    pub fn builder() -> PortalBuilder {
        PortalBuilder::new()
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
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Portal, SubmitError};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 2 + 2 }).unwrap();
    /// drop(driver);
    /// // Accepted is completed: the driver is gone, and the waiter is told.
    /// assert!(handle.wait().is_err());
    /// let late = portal.run_coroutine_threadsafe(async { 2 + 2 });
    /// assert!(matches!(late, Err(SubmitError::Closed(_))));
    /// ```
    pub fn run_coroutine_threadsafe<F>(
        &self,
        future: F,
    ) -> Result<PortalHandle<F::Output>, SubmitError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.shared.reserve() {
            Ok(()) => Ok(self.submit(Permit::new(&self.shared), future)),
            Err(refused) => Err(refused.hand_back(future)),
        }
    }

    /// Submits a future as [`run_coroutine_threadsafe`](Self::run_coroutine_threadsafe) does, but
    /// waits at most `patience` for room.
    ///
    /// # Errors
    ///
    /// As there, [`SubmitError::Full`] once the time has passed; and
    /// [`SubmitError::WouldDeadlock`] if there is no room and this thread is the one that would
    /// have to make it. All hand the future back, unpolled.
    ///
    /// # Blocking
    ///
    /// Parks the thread while the portal is full: for plain threads only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{future::pending, time::Duration};
    /// use mayhem_bridge::{Portal, SubmitError};
    ///
    /// let (portal, _driver) = Portal::builder().capacity(1).build();
    /// portal.run_coroutine_threadsafe(pending::<()>()).unwrap().detach();
    /// let refused = portal.submit_timeout(async { 1 }, Duration::from_millis(1));
    /// assert!(matches!(refused, Err(SubmitError::Full(_))));
    /// ```
    pub fn submit_timeout<F>(
        &self,
        future: F,
        patience: Duration,
    ) -> Result<PortalHandle<F::Output>, SubmitError<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Too far away to be an instant is never.
        let deadline = Instant::now().checked_add(patience);
        match self.shared.reserve_until(deadline) {
            Ok(()) => Ok(self.submit(Permit::new(&self.shared), future)),
            Err(refused) => Err(refused.hand_back(future)),
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
        match self.reserve_to_wait() {
            // Looked for deadlocks already.
            Ok(()) => self
                .submit(Permit::new(&self.shared), future)
                .park(None)
                .into_outcome(),
            Err(Refused::WouldDeadlock(deadlock)) => Err(JoinError::WouldDeadlock(deadlock)),
            Err(Refused::Closed | Refused::Full) => Err(JoinError::PortalClosed),
        }
    }

    /// Accepts no more futures; see [`Close`]. The driver ends when none is left. Idempotent, and
    /// a drain can still be turned into a cancel.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Close, JoinError, Portal};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(std::future::pending::<()>()).unwrap();
    /// portal.close(Close::Cancel);
    /// assert_eq!(block_on(driver).cancelled, 1);
    /// assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    /// ```
    pub fn close(&self, how: Close) {
        self.shared.close(how);
    }

    /// Whether futures are still accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Close, Portal};
    ///
    /// let (portal, _driver) = Portal::builder().build();
    /// assert!(portal.is_open());
    /// portal.close(Close::Drain);
    /// assert!(!portal.is_open());
    /// ```
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Counts of this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, _driver) = Portal::builder().build();
    /// portal.run_coroutine_threadsafe(async { 7 }).unwrap().detach();
    /// let stats = portal.stats();
    /// assert_eq!((stats.accepted, stats.outstanding, stats.completed), (1, 1, 0));
    /// ```
    pub fn stats(&self) -> PortalStats {
        self.shared.stats()
    }

    /// The portal's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, _driver) = Portal::builder().name("ingest").build();
    /// assert_eq!(portal.name(), "ingest");
    /// ```
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// A place for a future that this thread will wait for in any case.
    fn reserve_to_wait(&self) -> Result<(), Refused> {
        match self.shared.deadlock() {
            Some(deadlock) if self.is_open() => Err(Refused::WouldDeadlock(deadlock)),
            _ => self.shared.reserve_until(None),
        }
    }

    fn submit<F>(&self, permit: Permit<F::Output>, future: F) -> PortalHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = PortalHandle::new(permit.ticket());
        self.enter(job(permit, future));
        handle
    }

    fn enter(&self, entry: Entry) {
        // Refused only if the driver was dropped since the permit was given: dropping the job then
        // completes its handle, as for every job that is dropped.
        if let Some(entry) = self.shared.enter_queue(entry) {
            discard(entry);
        }
    }

    /// One more portal to `shared`, unless the last one was dropped or it was closed.
    fn share(shared: Arc<Shared>) -> Option<Self> {
        let is_in_use = |portals| portals > 0 || bug("a_portal_is_shared_after_its_last_drop");
        let one_more = |portals| is_in_use(portals).then_some(portals + 1);
        // AcqRel and Acquire, as for an upgrade of a weak Arc: it races with the last drop.
        shared
            .portals
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        let portal = Self { shared };
        portal.is_open().then_some(portal)
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
        let is_last = self.shared.portals.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last && !bug("the_last_user_leaves_in_silence") {
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

#[cfg(test)]
mod tests;
