//! Which threads are polling a portal's driver right now.
//!
//! Apart from the thread records, for a portal is polled by whatever thread its executor has: a
//! poll writes two words and no record.

use super::registry::current_key;
use crate::sync::plain::{Instant, Mutex};
use crate::sync::{Arc, Weak};

/// Whether, and by which thread, something is being polled right now. A portal has one.
#[derive(Debug)]
pub(crate) struct Presence {
    name: Arc<str>,
    polled_by: Mutex<Option<(u64, Instant)>>,
}

impl Presence {
    pub(crate) fn new(name: Arc<str>) -> Arc<Self> {
        let presence = Arc::new(Self {
            name,
            polled_by: Mutex::new(None),
        });
        let mut presences = PRESENCES.lock();
        presences.retain(|known| known.strong_count() > 0);
        presences.push(Arc::downgrade(&presence));
        drop(presences);
        presence
    }

    /// The poll begins on the current thread, at the instant returned.
    pub(crate) fn begin(&self) -> Instant {
        let now = Instant::now();
        *self.polled_by.lock() = current_key().map(|key| (key, now));
        now
    }

    /// The poll has ended.
    pub(crate) fn end(&self) {
        *self.polled_by.lock() = None;
    }
}

/// The polls going on: key of the thread's record, name of the portal, since when.
pub(super) fn polls() -> Vec<(u64, Arc<str>, Instant)> {
    let presences: Vec<_> = PRESENCES.lock().iter().filter_map(Weak::upgrade).collect();
    let describe = |presence: &Arc<Presence>| {
        let (key, since) = (*presence.polled_by.lock())?;
        Some((key, Arc::clone(&presence.name), since))
    };
    presences.iter().filter_map(describe).collect()
}

static PRESENCES: Mutex<Vec<Weak<Presence>>> = Mutex::new(Vec::new());
