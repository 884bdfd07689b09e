//! What a portal tells of itself, and how it is told to end.

use std::time::Duration;

/// How a portal is closed.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Close, Portal};
///
/// let (portal, driver) = Portal::builder().build();
/// portal.run_coroutine_threadsafe(async { 7 }).unwrap().detach();
/// portal.close(Close::Drain);
/// assert_eq!(block_on(driver).completed, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// What was accepted runs to its end.
    Drain,
    /// What was accepted is dropped at the next poll of the driver (or, if spawned, of its task)
    /// and ends as [`JoinError::Cancelled`](crate::JoinError::Cancelled).
    Cancel,
}

/// A portal's counts. At the driver's end: `accepted` = the sum of the four ends.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Portal, PortalStats};
///
/// let (portal, driver) = Portal::builder().build();
/// portal.run_coroutine_threadsafe(async { 7 }).unwrap().detach();
/// portal.run_coroutine_threadsafe(async { panic!("no such host") }).unwrap().detach();
/// drop(portal);
/// let PortalStats { accepted, completed, panicked, cancelled, closed, .. } = block_on(driver);
/// assert_eq!(accepted, completed + panicked + cancelled + closed);
/// assert_eq!((completed, panicked), (1, 1));
/// ```
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
    /// Callbacks of [`PortalHandle::on_done`](crate::PortalHandle::on_done) that panicked.
    pub callbacks_panicked: u64,
    /// The longest poll of one future inside the driver: for so long all others had to wait.
    pub poll_max: Duration,
}
