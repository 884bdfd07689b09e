//! What portal, driver, jobs and handles share.

use std::collections::VecDeque;
use std::task::Waker;

use futures::future::BoxFuture;

use super::{Close, Deadlock, PortalStats};
use crate::context::{Place, is_inside};
use crate::inventory::Presence;
use crate::panic::wake;
use crate::sync::atomic::AtomicUsize;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, thread, unique_id};

pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) portals: AtomicUsize,
    pub(super) presence: Arc<Presence>,
    capacity: usize,
    state: Mutex<State>,
    /// Told when a future ends while a `call` waits for room.
    room: Condvar,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// Accepted, and not yet seen by the driver.
    pub(super) queue: VecDeque<BoxFuture<'static, ()>>,
    /// The driver's waker, while it waits.
    pub(super) driver: Option<Waker>,
    /// Permits given and not returned.
    outstanding: usize,
    /// The driver was dropped: nothing will be polled any more.
    is_gone: bool,
    pub(super) waiting: usize,
    counts: PortalStats,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Draining,
    Cancelling,
}

/// How an accepted future ended.
#[derive(Clone, Copy)]
pub(super) enum End {
    Completed,
    Panicked,
    Cancelled,
    Closed,
}

/// Why there is no permit.
pub(super) enum Refused {
    Full,
    Closed,
}

/// The right to be in the portal: one per accepted future, returned with how it ended.
pub(super) struct Permit {
    pub(super) shared: Arc<Shared>,
}

impl Permit {
    /// Gives the place back and counts the end.
    pub(super) fn end(self, end: End) {
        let mut state = self.shared.state.lock();
        state.outstanding -= 1;
        let counts = &mut state.counts;
        let count = match end {
            End::Completed => &mut counts.completed,
            End::Panicked => &mut counts.panicked,
            End::Cancelled => &mut counts.cancelled,
            End::Closed => &mut counts.closed,
        };
        *count += 1;
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.shared.room.notify_one();
        }
    }
}

impl Shared {
    pub(super) fn new(name: Arc<str>, capacity: usize) -> Arc<Self> {
        let state = State {
            phase: Phase::Open,
            queue: VecDeque::new(),
            driver: None,
            outstanding: 0,
            is_gone: false,
            waiting: 0,
            counts: PortalStats::default(),
        };
        Arc::new(Self {
            id: unique_id(),
            presence: Presence::new(Arc::clone(&name)),
            name,
            portals: AtomicUsize::new(1),
            capacity,
            state: Mutex::new(state),
            room: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A place for one more future, now.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Permit, Refused> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if state.outstanding >= self.capacity {
            return Err(Refused::Full);
        }
        state.accept();
        drop(state);
        Ok(Permit {
            shared: Arc::clone(self),
        })
    }

    /// A place for one more future, waited for; `None` once the portal is closed.
    pub(super) fn reserve_blocking(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.lock();
        while state.phase == Phase::Open && state.outstanding >= self.capacity {
            state.waiting += 1;
            (state, _) = self.room.wait_until(state, None);
            state.waiting -= 1;
        }
        if state.phase != Phase::Open {
            return None;
        }
        state.accept();
        drop(state);
        Some(Permit {
            shared: Arc::clone(self),
        })
    }

    /// Hands a job to the driver; gives it back if the driver is gone.
    pub(super) fn enter_queue(
        &self,
        job: BoxFuture<'static, ()>,
    ) -> Option<BoxFuture<'static, ()>> {
        let mut state = self.lock();
        if state.is_gone {
            return Some(job);
        }
        state.queue.push_back(job);
        let driver = state.driver.take();
        // Before the wake: the driver may be polled at once.
        drop(state);
        wake(driver);
        None
    }

    pub(super) fn close(&self, how: Close) {
        let mut state = self.lock();
        state.phase = match (state.phase, how) {
            (Phase::Open, Close::Drain) => Phase::Draining,
            (Phase::Open | Phase::Draining, Close::Cancel) => Phase::Cancelling,
            (phase, _) => phase,
        };
        let driver = state.driver.take();
        drop(state);
        // All of them: each must find the portal closed.
        self.room.notify_all();
        wake(driver);
    }

    /// The driver is going: nothing is accepted from now on. Returns what it has not seen.
    pub(super) fn driver_is_gone(&self) -> VecDeque<BoxFuture<'static, ()>> {
        let mut state = self.lock();
        let unseen = std::mem::take(&mut state.queue);
        state.is_gone = true;
        // A cancel stays one, so that the futures that are dropped now are told the truth.
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        let waker = state.driver.take();
        drop(state);
        self.room.notify_all();
        crate::panic::discard(waker);
        unseen
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Whether a future dropped now was cancelled on purpose.
    pub(super) fn is_cancelling(&self) -> bool {
        self.lock().phase == Phase::Cancelling
    }

    /// The deadlock of waiting for this portal here, if it is one.
    pub(super) fn deadlock(&self) -> Option<Deadlock> {
        is_inside(Place::Portal(self.id)).then(|| Deadlock {
            portal: self.name.to_string(),
            thread: thread::current()
                .name()
                .unwrap_or("without a name")
                .to_owned(),
        })
    }

    pub(super) fn stats(&self) -> PortalStats {
        let state = self.lock();
        PortalStats {
            outstanding: state.outstanding,
            ..state.counts
        }
    }
}

impl State {
    fn accept(&mut self) {
        self.outstanding += 1;
        self.counts.accepted += 1;
    }

    /// Whether every accepted future has ended, those still between permit and queue included.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0
    }
}
