//! What a submission, a start and a wait can end with instead of a result.

use std::fmt;

use super::PortalHandle;
use crate::panic::Panic;

/// A future that was not accepted, handed back unpolled.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().build();
/// drop(driver);
/// let refused = portal.run_coroutine_threadsafe(async { 7 }).unwrap_err();
/// // The future comes back, unpolled.
/// assert_eq!(futures::executor::block_on(refused.into_future()), 7);
/// ```
#[non_exhaustive]
pub enum SubmitError<F> {
    /// The portal's capacity is used up by unfinished futures.
    Full(F),
    /// The portal is closed, or its driver is gone.
    Closed(F),
    /// Waiting here for room would have been for ever.
    WouldDeadlock(F, Deadlock),
}

impl<F> SubmitError<F> {
    /// What was submitted, as it was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Close, Portal};
    ///
    /// let (portal, _driver) = Portal::builder().build();
    /// portal.close(Close::Drain);
    /// let refused = portal.run_coroutine_threadsafe(async { "done elsewhere" }).unwrap_err();
    /// let future = refused.into_future();
    /// assert_eq!(futures::executor::block_on(future), "done elsewhere");
    /// ```
    pub fn into_future(self) -> F {
        match self {
            Self::Full(future) | Self::Closed(future) | Self::WouldDeadlock(future, _) => future,
        }
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => formatter.write_str("Full"),
            Self::Closed(_) => formatter.write_str("Closed"),
            Self::WouldDeadlock(_, deadlock) => formatter
                .debug_tuple("WouldDeadlock")
                .field(deadlock)
                .finish(),
        }
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => formatter.write_str("the portal has too many unfinished futures"),
            Self::Closed(_) => formatter.write_str("the portal is closed"),
            Self::WouldDeadlock(_, deadlock) => deadlock.fmt(formatter),
        }
    }
}

impl<F> std::error::Error for SubmitError<F> {}

/// Why [`Portal::start_task`](super::Portal::start_task) has no started task.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Portal, StartError};
///
/// let (portal, driver) = Portal::builder().build();
/// drop(driver);
/// let start = portal.start_task::<(), _, _>(|started| async { started.started(()) });
/// assert!(matches!(start, Err(StartError::PortalClosed)));
/// ```
#[non_exhaustive]
pub enum StartError<T> {
    /// The portal is closed, or its driver is gone: nothing was started.
    PortalClosed,
    /// Waiting here would have been for ever: nothing was started.
    WouldDeadlock(Deadlock),
    /// The task ended, or dropped its [`Started`](super::Started), without saying that it started.
    /// The handle has its end, or will have it.
    NotStarted(PortalHandle<T>),
}

impl<T> fmt::Debug for StartError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortalClosed => formatter.write_str("PortalClosed"),
            Self::WouldDeadlock(deadlock) => formatter
                .debug_tuple("WouldDeadlock")
                .field(deadlock)
                .finish(),
            Self::NotStarted(handle) => formatter.debug_tuple("NotStarted").field(handle).finish(),
        }
    }
}

impl<T> fmt::Display for StartError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortalClosed => formatter.write_str("the portal is closed"),
            Self::WouldDeadlock(deadlock) => deadlock.fmt(formatter),
            Self::NotStarted(_) => formatter.write_str("the task did not say that it started"),
        }
    }
}

impl<T> std::error::Error for StartError<T> {}

/// Why a future has no result.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{JoinError, Portal};
///
/// let (portal, driver) = Portal::builder().name("own").build();
/// let inner = portal.clone();
/// let handle = portal.run_coroutine_threadsafe(async move { inner.call(async {}) }).unwrap();
/// drop(portal);
/// block_on(driver);
/// // The thread that polls the portal's driver cannot wait for that portal.
/// match handle.wait().unwrap() {
///     Err(JoinError::WouldDeadlock(deadlock)) => assert_eq!(deadlock.portal, "own"),
///     other => unreachable!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled, by its handle or by [`Close::Cancel`](super::Close::Cancel), and has been
    /// dropped.
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
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{JoinError, Portal};
///
/// let (portal, _driver) = Portal::builder().name("ui").build_local();
/// let Err(JoinError::WouldDeadlock(deadlock)) = portal.call(async {}) else { unreachable!() };
/// assert_eq!(deadlock.portal, "ui");
/// assert!(deadlock.to_string().ends_with("polls portal ui and must not wait for it"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlock {
    /// The portal waited for.
    pub portal: String,
    /// The thread that would have waited: the one that has to poll that portal's driver.
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
