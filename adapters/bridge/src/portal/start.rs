//! The readiness handshake of a task.

use std::fmt;
use std::future::Future;

use super::error::StartError;
use super::job::Permit;
use super::shared::Refused;
use super::{Portal, PortalHandle};
use crate::pool::wait_helping;
use crate::slot::Slot;
use crate::sync::Arc;

/// With which a task tells, once, that it has started; see [`Portal::start_task`].
///
/// Dropped unused, it tells that the task will not start.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Portal, StartError, Started};
///
/// async fn serve(port: u16, started: Started<u16>) {
///     // Not started if it is dropped instead.
///     if port != 0 {
///         started.started(port);
///     }
/// }
///
/// let (portal, driver) = Portal::builder().build();
/// let driving = std::thread::spawn(move || block_on(driver));
/// let (server, port) = portal.start_task(|started| serve(80, started)).unwrap();
/// assert_eq!((port, server.wait().is_ok()), (80, true));
/// let refused = portal.start_task(|started| serve(0, started));
/// assert!(matches!(refused, Err(StartError::NotStarted(_))));
/// drop((portal, refused));
/// driving.join().unwrap();
/// ```
#[must_use = "the starter waits for it"]
pub struct Started<S> {
    slot: Arc<Slot<Option<S>>>,
}

impl<S> Started<S> {
    /// Lets [`Portal::start_task`] return, with `value`: an address, a session, or `()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let driving = std::thread::spawn(move || block_on(driver));
    /// let start = portal.start_task(|started| async move {
    ///     started.started("listening");
    ///     std::future::pending::<()>().await;
    /// });
    /// // The task goes on; its starter has what it waited for.
    /// let (task, told) = start.unwrap();
    /// assert_eq!(told, "listening");
    /// task.cancel();
    /// drop((task, portal));
    /// driving.join().unwrap();
    /// ```
    pub fn started(self, value: S) {
        self.slot.complete(Some(value));
    }
}

impl<S> Drop for Started<S> {
    fn drop(&mut self) {
        // After `started` this is the second outcome, and counts for nothing.
        self.slot.complete(None);
    }
}

impl<S> fmt::Debug for Started<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Started").finish_non_exhaustive()
    }
}

impl Portal {
    /// Runs a task and waits until it says that it has started, or that it never will. Waits for
    /// room first.
    ///
    /// # Errors
    ///
    /// [`StartError::NotStarted`] if the task ended, or dropped its [`Started`], before it had
    /// started; its end is in the handle. [`StartError::PortalClosed`] and
    /// [`StartError::WouldDeadlock`] if it was not even submitted.
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only; see [`call`](Self::call).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Portal, StartError};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let driver = std::thread::spawn(move || block_on(driver));
    /// let (server, port) = portal
    ///     .start_task(|started| async move {
    ///         started.started(8080);
    ///         "served"
    ///     })
    ///     .unwrap();
    /// assert_eq!((port, server.wait().unwrap()), (8080, "served"));
    ///
    /// let broken = portal.start_task::<u16, _, _>(|_started| async { "no port is free" });
    /// let Err(StartError::NotStarted(handle)) = broken else { unreachable!() };
    /// assert_eq!(handle.wait().unwrap(), "no port is free");
    /// drop(portal);
    /// driver.join().unwrap();
    /// ```
    #[expect(
        clippy::type_complexity,
        reason = "the handle and what it started with, or why not: names would hide it"
    )]
    pub fn start_task<S, M, F>(
        &self,
        task: M,
    ) -> Result<(PortalHandle<F::Output>, S), StartError<F::Output>>
    where
        S: Send + 'static,
        M: FnOnce(Started<S>) -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if let Err(refused) = self.reserve_to_wait() {
            return Err(match refused {
                Refused::WouldDeadlock(deadlock) => StartError::WouldDeadlock(deadlock),
                Refused::Closed | Refused::Full => StartError::PortalClosed,
            });
        }
        let permit = Permit::new(&self.shared);
        let slot = Arc::new(Slot::new());
        let started = Started {
            slot: Arc::clone(&slot),
        };
        // If this panics, the permit is given back on the way out.
        let future = task(started);
        let handle = self.submit(permit, future);
        // For a `Started` that outlives the task, wherever it was put.
        let at_end = Arc::clone(&slot);
        handle.on_done(move |_| at_end.complete(None));
        match slot.spin(self.shared.spin).or_else(|| wait_helping(&slot)) {
            Some(Some(value)) => Ok((handle, value)),
            Some(None) | None => Err(StartError::NotStarted(handle)),
        }
    }
}
