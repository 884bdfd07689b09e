//! How a portal is configured.

use super::Portal;
use super::driver::Driver;
use super::local::{LocalDriver, LocalPortal};
use super::shared::Shared;
use crate::sync::Arc;

const CAPACITY_DEFAULT: usize = 1024;

/// Configures a [`Portal`].
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().name("ingest").capacity(64).spin(0).build();
/// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
/// drop(portal);
/// assert_eq!(block_on(driver).completed, 1);
/// assert_eq!(handle.wait().unwrap(), 7);
/// ```
#[derive(Clone, Debug)]
pub struct PortalBuilder {
    name: String,
    capacity: usize,
    spin: u32,
}

impl PortalBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "portal".to_owned(),
            capacity: CAPACITY_DEFAULT,
            spin: 0,
        }
    }

    /// The portal's name in errors and in the inventory (default `portal`).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, _driver) = Portal::builder().name("ingest").build();
    /// assert_eq!(portal.name(), "ingest");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Portal, SubmitError};
    ///
    /// let (portal, _driver) = Portal::builder().capacity(1).build();
    /// let first = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    /// let second = portal.run_coroutine_threadsafe(async { 2 });
    /// assert!(matches!(second, Err(SubmitError::Full(_))));
    /// # drop(first);
    /// ```
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(capacity > 0, "a portal has room for at least one future");
        self.capacity = capacity;
        self
    }

    /// How often the driver and a waiting thread look again before they park (default 0). A look
    /// costs about as much as one cache line that moves between processors.
    ///
    /// Some thousands make a round trip many times as fast, if both sides have a processor to
    /// themselves; on one processor each only keeps the other from running. It also holds up the
    /// other tasks of the driver's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    ///
    /// // For two threads with a processor each that call back and forth.
    /// let (portal, driver) = Portal::builder().spin(5_000).build();
    /// let caller = std::thread::spawn(move || portal.call(async { 7 }).unwrap());
    /// assert_eq!(block_on(driver).completed, 1);
    /// assert_eq!(caller.join().unwrap(), 7);
    /// ```
    #[must_use]
    pub fn spin(mut self, turns: u32) -> Self {
        self.spin = turns;
        self
    }

    /// Makes the portal and its driver. Nothing runs until the driver is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::Portal;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// assert!(!handle.is_done(), "nobody drives it yet");
    /// drop(portal);
    /// block_on(driver);
    /// assert!(handle.is_done());
    /// ```
    pub fn build(self) -> (Portal, Driver) {
        let (portal, shared) = self.make(false);
        (portal, Driver::new(shared))
    }

    /// Makes a portal whose driver stays on this thread, for futures that are not `Send`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{JoinError, Portal};
    ///
    /// let (portal, driver) = Portal::builder().name("ui").build_local();
    /// // Only this thread will ever poll the driver, so it cannot wait for it.
    /// assert!(matches!(portal.call(async {}), Err(JoinError::WouldDeadlock(_))));
    /// drop(portal);
    /// assert_eq!(block_on(driver).accepted, 0);
    /// ```
    pub fn build_local(self) -> (LocalPortal, LocalDriver) {
        let (portal, shared) = self.make(true);
        (LocalPortal::new(portal), LocalDriver::new(shared))
    }

    fn make(self, is_pinned: bool) -> (Portal, Arc<Shared>) {
        let shared = Shared::new(Arc::from(self.name), self.capacity, self.spin, is_pinned);
        (Portal::new(Arc::clone(&shared)), shared)
    }
}
