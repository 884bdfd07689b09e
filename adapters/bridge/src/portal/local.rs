//! Portals whose futures stay on one thread, and so need not be `Send`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, LocalBoxFuture};

use super::engine::{Engine, Host};
use super::error::SubmitError;
use super::job::{Permit, job_within};
use super::shared::{Entry, Shared};
use super::{Portal, PortalHandle, PortalStats};
use crate::sync::Arc;

/// A [`Portal`] to futures that stay on the driver's thread. Clone it for every thread.
///
/// Everything a portal does it does as well, by dereferencing to one.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use futures::executor::block_on;
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().name("ui").build_local();
/// let caller = std::thread::spawn(move || {
///     let sent = portal.call(async { 1 }).unwrap();
///     // The closure travels; the future, with its `Rc`, never leaves the driver's thread.
///     let handle = portal.spawn_from_within(|| {
///         let shared = Rc::new(41);
///         async move { *Rc::clone(&shared) }
///     });
///     sent + handle.unwrap().wait().unwrap()
/// });
/// block_on(driver);
/// assert_eq!(caller.join().unwrap(), 42);
/// ```
#[derive(Clone)]
pub struct LocalPortal {
    portal: Portal,
}

impl LocalPortal {
    pub(super) fn new(portal: Portal) -> Self {
        Self { portal }
    }

    /// Submits a closure that makes the future, on the driver's thread.
    ///
    /// Never waits. After `Ok` the handle is completed on every path; a panic of the closure is
    /// one of the future.
    ///
    /// # Errors
    ///
    /// As [`Portal::run_coroutine_threadsafe`], with the closure handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    /// use std::rc::Rc;
    ///
    /// let (portal, driver) = Portal::builder().build_local();
    /// let handle = portal.spawn_from_within(|| async { *Rc::new(7) }).unwrap();
    /// drop(portal);
    /// block_on(driver);
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// ```
    pub fn spawn_from_within<M, F>(
        &self,
        make: M,
    ) -> Result<PortalHandle<F::Output>, SubmitError<M>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let shared = &self.portal.shared;
        if let Err(refused) = shared.reserve() {
            return Err(refused.hand_back(make));
        }
        let permit = Permit::new(shared);
        let handle = PortalHandle::new(permit.ticket());
        self.portal.enter(job_within(permit, make));
        Ok(handle)
    }
}

impl Deref for LocalPortal {
    type Target = Portal;

    fn deref(&self) -> &Portal {
        &self.portal
    }
}

impl fmt::Debug for LocalPortal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("LocalPortal")
            .field(&self.portal)
            .finish()
    }
}

/// Runs what its [`LocalPortal`] accepts, on the thread it was made on. Not `Send`.
///
/// As a [`Driver`](super::Driver) in all else. Since it cannot leave its thread, waiting for the
/// portal on that thread is refused at every moment, not only inside a poll.
///
/// # Cancel safety
///
/// Dropping it is the end of the portal, in order: nobody waits for ever.
///
/// # Examples
///
/// ```
/// use futures::executor::LocalPool;
/// use futures::task::LocalSpawnExt;
/// use mayhem_bridge::Portal;
/// use std::rc::Rc;
///
/// let (portal, driver) = Portal::builder().name("ui").build_local();
/// let handle = portal.spawn_from_within(|| async { *Rc::new(7) }).unwrap();
/// drop(portal);
/// // Beside the other tasks of this thread.
/// let mut executor = LocalPool::new();
/// let driving = executor.spawner().spawn_local_with_handle(driver).unwrap();
/// assert_eq!(executor.run_until(driving).completed, 1);
/// assert_eq!(handle.wait().unwrap(), 7);
/// ```
#[must_use = "nothing runs until an executor polls the driver"]
pub struct LocalDriver {
    engine: Engine<Here>,
}

impl LocalDriver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            engine: Engine::new(
                shared,
                Here {
                    not_send: PhantomData,
                },
            ),
        }
    }
}

impl Future for LocalDriver {
    type Output = PortalStats;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PortalStats> {
        self.engine.poll(cx)
    }
}

impl fmt::Debug for LocalDriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalDriver")
            .field("portal", &self.engine.shared.name)
            .field("stats", &self.engine.shared.stats())
            .finish_non_exhaustive()
    }
}

/// Jobs that stay on this thread.
struct Here {
    not_send: PhantomData<*const ()>,
}

impl Host for Here {
    type Job = dyn Future<Output = ()>;

    fn admit(&mut self, _: &Arc<Shared>, entry: Entry) -> Option<LocalBoxFuture<'static, ()>> {
        match entry {
            Entry::Job(job) => Some(job),
            Entry::Make(make) => Some(make()),
        }
    }

    fn keep_husk(&mut self, _: LocalBoxFuture<'static, ()>) {}

    fn leave_husks(&mut self, _: &mut Vec<BoxFuture<'static, ()>>) {}
}
