//! The handle of a submitted future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::{Deadlock, JoinError};
use super::job::Ticket;
use crate::context::warn_if_driving;
use crate::panic::contain;
use crate::pool::wait_helping;
use crate::sync::{Arc, Instant};

/// The result of a future that runs in a portal, for the thread or the task that wants it.
///
/// It is a future itself, for a waiter on another executor (or on the same one). Dropping it
/// detaches: the future runs on and its result is dropped. To stop it, call
/// [`cancel`](Self::cancel), or ask for [`abort_on_drop`](Self::abort_on_drop) first.
///
/// # Cancel safety
///
/// Cancel safe as a future: an outcome that was not returned by a poll stays for the next one.
/// After it was returned, polls are pending.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().build();
/// let handle = portal.run_coroutine_threadsafe(async { "read" }).unwrap();
/// let driver = std::thread::spawn(move || block_on(driver));
/// // Awaited here, run there.
/// assert_eq!(block_on(handle).unwrap(), "read");
/// drop(portal);
/// driver.join().unwrap();
/// ```
#[must_use = "the result of the future is in here; drop it to detach"]
pub struct PortalHandle<T> {
    ticket: Arc<Ticket<T>>,
    aborts: bool,
    /// The outcome was handed out.
    is_spent: bool,
}

/// How far a future has got at the end of a [`PortalHandle::cancel_and_wait`].
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Portal, Unwound};
/// use std::time::Duration;
///
/// let (portal, _driver) = Portal::builder().build();
/// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
/// // Nobody drives it, so nobody can drop the future; the handle comes back.
/// match handle.cancel_and_wait(Duration::ZERO) {
///     Unwound::Late(handle) => assert!(!handle.is_done()),
///     other => unreachable!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[must_use = "it says whether the future is gone"]
#[non_exhaustive]
pub enum Unwound<T> {
    /// The future is gone, destructors included. Its result, if that came before the cancel.
    Gone(Result<T, JoinError>),
    /// Asked to stop, but not gone yet when the time had passed.
    Late(PortalHandle<T>),
    /// Asked to stop, but waiting for it here would have been for ever.
    WouldDeadlock(PortalHandle<T>, Deadlock),
}

impl<T> PortalHandle<T> {
    pub(super) fn new(ticket: Arc<Ticket<T>>) -> Self {
        Self {
            ticket,
            aborts: false,
            is_spent: false,
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// [`JoinError::Cancelled`], [`JoinError::Panicked`] and [`JoinError::PortalClosed`] say how
    /// the future ended; it has been dropped by then. [`JoinError::WouldDeadlock`] if this thread
    /// is polling this portal's driver, or is the one a [`LocalDriver`](super::LocalDriver) stays
    /// on: then the handle is dropped and the future goes on, unheard.
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{JoinError, Portal};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { panic!("no such host") }).unwrap();
    /// drop(portal);
    /// block_on(driver);
    /// match handle.wait() {
    ///     Err(JoinError::Panicked(panic)) => assert_eq!(panic.message(), "no such host"),
    ///     other => unreachable!("{other:?}"),
    /// }
    /// ```
    pub fn wait(self) -> Result<T, JoinError> {
        self.wait_until(None).into_outcome()
    }

    /// Waits for the result, at most `patience`.
    ///
    /// # Errors
    ///
    /// Gives the handle back when the time has passed. The inner result is as that of
    /// [`wait`](Self::wait).
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    /// use std::time::Duration;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// // Nobody drives it yet.
    /// let handle = handle.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// drop(portal);
    /// futures::executor::block_on(driver);
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// ```
    pub fn wait_timeout(self, patience: Duration) -> Result<Result<T, JoinError>, Self> {
        match self.wait_until(Some(patience)) {
            Unwound::Gone(outcome) => Ok(outcome),
            Unwound::WouldDeadlock(_, deadlock) => Ok(Err(JoinError::WouldDeadlock(deadlock))),
            Unwound::Late(handle) => Err(handle),
        }
    }

    /// Asks for the future to be dropped. The handle completes, with [`JoinError::Cancelled`],
    /// only after it was dropped; or with its result, if that came first.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{JoinError, Portal};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(std::future::pending::<()>()).unwrap();
    /// handle.cancel();
    /// drop(portal);
    /// block_on(driver);
    /// assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    /// ```
    pub fn cancel(&self) {
        self.ticket.cancel();
    }

    /// Cancels, and waits at most `patience` until the future is gone.
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{JoinError, Portal, Unwound};
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(std::future::pending::<()>()).unwrap();
    /// drop(portal);
    /// let driver = std::thread::spawn(move || block_on(driver));
    /// let unwound = handle.cancel_and_wait(Duration::from_secs(60));
    /// assert!(matches!(unwound, Unwound::Gone(Err(JoinError::Cancelled))));
    /// driver.join().unwrap();
    /// ```
    pub fn cancel_and_wait(self, patience: Duration) -> Unwound<T> {
        self.cancel();
        self.wait_until(Some(patience))
    }

    /// Calls `callback` with the outcome when the future is gone, before any waiter has it: on the
    /// thread that ends the future, which is the driver's, or here and now if it has ended.
    ///
    /// It runs even if the handle is dropped, once, without a lock. A panic in it is caught and
    /// counted. If the outcome was taken by polling this handle, `callback` is dropped.
    ///
    /// # Blocking
    ///
    /// Does not. Nor should `callback`: it holds up the driver.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let (told, was_told) = std::sync::mpsc::channel();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// handle.on_done(move |outcome| told.send(*outcome.as_ref().unwrap()).unwrap());
    /// handle.detach();
    /// drop(portal);
    /// futures::executor::block_on(driver);
    /// assert_eq!(was_told.recv(), Ok(7));
    /// ```
    pub fn on_done(&self, callback: impl FnOnce(&Result<T, JoinError>) + Send + 'static) {
        let shared = Arc::clone(&self.ticket.shared);
        self.ticket.slot.on_done(Box::new(move |outcome| {
            if let Err(panic) = contain(|| callback(outcome)) {
                log::error!("a callback of portal {}: {panic}", shared.name);
                shared.count_panicked_callback();
            }
        }));
    }

    /// Has the drop of this handle cancel the future, unless it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(std::future::pending::<()>()).unwrap();
    /// drop(handle.abort_on_drop());
    /// drop(portal);
    /// // Else it would be waited for here, for ever.
    /// assert_eq!(block_on(driver).cancelled, 1);
    /// ```
    pub fn abort_on_drop(mut self) -> Self {
        self.aborts = true;
        self
    }

    /// Lets the future run on, unheard: also after [`abort_on_drop`](Self::abort_on_drop).
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let (told, was_told) = std::sync::mpsc::channel();
    /// let future = async move { told.send(7).unwrap() };
    /// portal.run_coroutine_threadsafe(future).unwrap().detach();
    /// drop(portal);
    /// assert_eq!(block_on(driver).completed, 1);
    /// assert_eq!(was_told.recv(), Ok(7));
    /// ```
    pub fn detach(mut self) {
        self.aborts = false;
    }

    /// Whether the result is there (or was taken).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// assert!(!handle.is_done());
    /// // The end of the driver is an end of the future as well.
    /// drop(driver);
    /// assert!(handle.is_done() && handle.wait().is_err());
    /// ```
    pub fn is_done(&self) -> bool {
        self.ticket.slot.is_done()
    }

    fn wait_until(mut self, patience: Option<Duration>) -> Unwound<T> {
        if let Some(outcome) = self.ticket.slot.take() {
            self.is_spent = true;
            return Unwound::Gone(outcome);
        }
        if let Some(deadlock) = self.ticket.shared.deadlock() {
            return Unwound::WouldDeadlock(self, deadlock);
        }
        self.park(patience)
    }

    /// Waits where waiting is no deadlock.
    pub(super) fn park(mut self, patience: Option<Duration>) -> Unwound<T> {
        // Too far away to be an instant is never.
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let Ticket { slot, shared, .. } = &*self.ticket;
        let outcome = slot.spin(shared.spin).or_else(|| {
            warn_if_driving(&shared.name);
            match patience {
                // In a pool's job: runs meanwhile what the future asks of that pool.
                None => wait_helping(slot),
                Some(_) => slot.wait_until(deadline),
            }
        });
        match outcome {
            Some(outcome) => {
                self.is_spent = true;
                Unwound::Gone(outcome)
            }
            None => Unwound::Late(self),
        }
    }
}

impl<T> Unwound<T> {
    /// The outcome, where there is no deadline.
    pub(super) fn into_outcome(self) -> Result<T, JoinError> {
        match self {
            Self::Gone(outcome) => outcome,
            Self::WouldDeadlock(_, deadlock) => Err(JoinError::WouldDeadlock(deadlock)),
            // Never: only a deadline makes it late.
            Self::Late(_) => Err(JoinError::PortalClosed),
        }
    }
}

impl<T> Future for PortalHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = self.ticket.slot.poll_take(cx);
        self.is_spent |= outcome.is_ready();
        outcome
    }
}

impl<T> Drop for PortalHandle<T> {
    fn drop(&mut self) {
        if self.is_spent {
            return;
        }
        if self.aborts && !self.is_done() {
            self.ticket.cancel();
        }
        self.ticket.slot.abandon();
    }
}

impl<T> fmt::Debug for PortalHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PortalHandle")
            .field("portal", &self.ticket.shared.name)
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}
