//! One portal for many users who come and go: its thread runs only while there is one.

use std::fmt;
use std::io;

use super::shared::Shared;
use super::{Driver, Portal, PortalBuilder};
use crate::inventory::register_driver;
use crate::sync::{Arc, Mutex, Weak, thread};

/// Shares one [`Portal`] between all who ask. The first one has a thread started that runs the
/// driver; when the last clone of the portal is dropped, what was accepted still runs, and the
/// thread ends. The next one to ask starts another.
///
/// The thread has the portal's name and is listed in [`inventory`](crate::inventory()) as a
/// [`ThreadKind::Driver`](crate::ThreadKind::Driver).
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Portal, PortalProvider};
///
/// let provider = PortalProvider::new(Portal::builder().name("shared"), |driver| {
///     block_on(driver);
/// });
/// // Anywhere in the program, with no async code of its own:
/// let portal = provider.portal().unwrap();
/// assert_eq!(portal.call(async { 6 * 7 }).unwrap(), 42);
/// ```
pub struct PortalProvider {
    builder: PortalBuilder,
    run: Arc<dyn Fn(Driver) + Send + Sync>,
    current: Mutex<Weak<Shared>>,
}

impl PortalProvider {
    /// A provider of portals as `builder` makes them, each driven by a call of `run` on a thread of
    /// its own. Starts nothing.
    ///
    /// `run` is to return when the driver has ended. If it returns, or panics, before that, the
    /// driver is dropped, as ever: every waiter is told, and the next one to ask gets a new portal.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Portal, PortalProvider};
    /// use std::sync::mpsc::channel;
    ///
    /// let (ended, has_ended) = channel();
    /// let provider = PortalProvider::new(Portal::builder(), move |driver| {
    ///     ended.send(block_on(driver)).unwrap();
    /// });
    /// let portal = provider.portal().unwrap();
    /// portal.call(async {}).unwrap();
    /// drop(portal);
    /// // The last user has gone, and so the driver ended.
    /// assert_eq!(has_ended.recv().unwrap().completed, 1);
    /// ```
    pub fn new(builder: PortalBuilder, run: impl Fn(Driver) + Send + Sync + 'static) -> Self {
        Self {
            builder,
            run: Arc::new(run),
            current: Mutex::new(Weak::new()),
        }
    }

    /// The portal in use, or a new one on a new thread.
    ///
    /// # Errors
    ///
    /// The operating system's, if it starts no thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Portal, PortalProvider};
    ///
    /// let provider = PortalProvider::new(Portal::builder(), |driver| drop(block_on(driver)));
    /// let (first, second) = (provider.portal().unwrap(), provider.portal().unwrap());
    /// assert_eq!(first.call(async { 1 }).unwrap() + second.call(async { 2 }).unwrap(), 3);
    /// // It was one portal for both.
    /// assert_eq!(first.stats().completed, 2);
    /// ```
    pub fn portal(&self) -> io::Result<Portal> {
        // Held while a thread is started: who asks at the same time wants that same thread. No
        // code of a user runs under it.
        let mut current = self.current.lock();
        if let Some(portal) = current.upgrade().and_then(Portal::share) {
            return Ok(portal);
        }
        let (portal, driver) = self.builder.clone().build();
        let run = Arc::clone(&self.run);
        let name = portal.name().to_owned();
        thread::Builder::new().name(name.clone()).spawn(move || {
            let _driving = register_driver(name);
            run(driver);
        })?;
        *current = Arc::downgrade(&portal.shared);
        Ok(portal)
    }
}

impl fmt::Debug for PortalProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PortalProvider")
            .field("builder", &self.builder)
            .finish_non_exhaustive()
    }
}
