//! How a portal is configured.

use super::Portal;
use super::driver::Driver;
use super::local::{LocalDriver, LocalPortal};
use super::shared::Shared;
use crate::sync::Arc;

const CAPACITY_DEFAULT: usize = 1024;

/// Configures a [`Portal`].
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

    /// How often the driver and a waiting thread look again before they park (default 0). A look
    /// costs about as much as one cache line that moves between processors.
    ///
    /// Some thousands make a round trip many times as fast, if both sides have a processor to
    /// themselves; on one processor each only keeps the other from running. It also holds up the
    /// other tasks of the driver's thread.
    #[must_use]
    pub fn spin(mut self, turns: u32) -> Self {
        self.spin = turns;
        self
    }

    /// Makes the portal and its driver. Nothing runs until the driver is polled.
    pub fn build(self) -> (Portal, Driver) {
        let (portal, shared) = self.make(false);
        (portal, Driver::new(shared))
    }

    /// Makes a portal whose driver stays on this thread, for futures that are not `Send`.
    pub fn build_local(self) -> (LocalPortal, LocalDriver) {
        let (portal, shared) = self.make(true);
        (LocalPortal::new(portal), LocalDriver::new(shared))
    }

    fn make(self, is_pinned: bool) -> (Portal, Arc<Shared>) {
        let shared = Shared::new(Arc::from(self.name), self.capacity, self.spin, is_pinned);
        (Portal::new(Arc::clone(&shared)), shared)
    }
}
