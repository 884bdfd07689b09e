//! What portal, driver, jobs and handles share.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use futures::future::{BoxFuture, LocalBoxFuture};

use super::error::{Deadlock, SubmitError};
use super::{Close, PortalStats};
use crate::context::{Place, is_inside};
use crate::inventory::Presence;
use crate::panic::{discard, wake};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{
    Arc, Condvar, Instant, Mutex, MutexGuard, OwnLine, bug, plain, thread, unique_id,
};

pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    /// How often to look again before parking, on either side.
    pub(super) spin: u32,
    pub(super) portals: AtomicUsize,
    pub(super) presence: Arc<Presence>,
    capacity: usize,
    /// The thread that the driver cannot leave, if it is a local one.
    pinned_to: Option<thread::ThreadId>,
    /// Whether the driver has something to look at: for a driver that spins.
    has_work: OwnLine<AtomicBool>,
    state: Mutex<State>,
    /// Told when a future ends while somebody waits for room.
    room: Condvar,
}

/// Something accepted that the driver has not seen yet.
pub(super) enum Entry {
    /// A job as it is.
    Job(BoxFuture<'static, ()>),
    /// A job that can only be made where it runs. Only a local driver is ever given one.
    Make(Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>),
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// Accepted, and not yet seen by the driver.
    pub(super) queue: VecDeque<Entry>,
    /// The seats of jobs that were woken.
    pub(super) ready: VecDeque<usize>,
    /// The driver's waker, while it waits; none while it is polled or was woken.
    pub(super) driver: Option<Waker>,
    /// Ended jobs whose memory a submitting thread frees.
    pub(super) husks: Vec<BoxFuture<'static, ()>>,
    pub(super) counts: PortalStats,
    /// Jobs that run as tasks of their own, and their wakers.
    spawned: BTreeMap<u64, Waker>,
    /// Accepted and not ended.
    outstanding: usize,
    /// The driver was dropped: nothing will be polled any more.
    is_gone: bool,
    /// Threads that wait for room.
    pub(super) waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Why there is no place.
pub(super) enum Refused {
    Full,
    Closed,
    WouldDeadlock(Deadlock),
}

impl Refused {
    /// Says so to the owner of what was to be submitted.
    pub(super) fn hand_back<F>(self, future: F) -> SubmitError<F> {
        match self {
            Self::Full => SubmitError::Full(future),
            Self::Closed => SubmitError::Closed(future),
            Self::WouldDeadlock(deadlock) => SubmitError::WouldDeadlock(future, deadlock),
        }
    }
}

impl Shared {
    pub(super) fn new(name: Arc<str>, capacity: usize, spin: u32, is_pinned: bool) -> Arc<Self> {
        let state = State {
            phase: Phase::Open,
            queue: VecDeque::new(),
            ready: VecDeque::new(),
            driver: None,
            husks: Vec::new(),
            counts: PortalStats::default(),
            spawned: BTreeMap::new(),
            outstanding: 0,
            is_gone: false,
            waiting: 0,
        };
        Arc::new(Self {
            id: unique_id(),
            presence: Presence::new(Arc::clone(&name)),
            name,
            spin,
            portals: AtomicUsize::new(1),
            capacity,
            pinned_to: is_pinned.then(|| thread::current().id()),
            has_work: OwnLine(AtomicBool::new(false)),
            state: Mutex::new(state),
            room: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A place for one more future, now. Whoever gets it makes a job of it at once.
    pub(super) fn reserve(&self) -> Result<(), Refused> {
        self.lock().accept(self.capacity)
    }

    /// A place for one more future, waited for until `deadline`.
    pub(super) fn reserve_until(&self, deadline: Option<Instant>) -> Result<(), Refused> {
        let mut state = self.lock();
        let mut timed_out = false;
        loop {
            match state.accept(self.capacity) {
                Err(Refused::Full) if !timed_out => {}
                settled => return settled,
            }
            if let Some(deadlock) = self.deadlock() {
                return Err(Refused::WouldDeadlock(deadlock));
            }
            state.waiting += 1;
            (state, timed_out) = self.room.wait_until(state, deadline);
            state.waiting -= 1;
        }
    }

    /// Hands a job to the driver; gives it back if the driver is gone.
    pub(super) fn enter_queue(&self, job: Entry) -> Option<Entry> {
        let mut state = self.lock();
        if state.is_gone && !bug("a_dead_driver_takes_work") {
            return Some(job);
        }
        state.queue.push_back(job);
        let husk = state.husks.pop();
        self.tell_driver(state);
        drop(husk);
        None
    }

    /// Has the driver poll the job in this seat.
    pub(super) fn wake_job(&self, seat: usize) {
        let mut state = self.lock();
        if state.is_gone {
            return;
        }
        state.ready.push_back(seat);
        self.tell_driver(state);
    }

    /// A future has ended: gives its place back and counts the end.
    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        state.outstanding -= 1;
        let counts = &mut state.counts;
        let count = match end {
            End::Completed => &mut counts.completed,
            End::Panicked => &mut counts.panicked,
            End::Cancelled => &mut counts.cancelled,
            End::Closed => &mut counts.closed,
        };
        *count += 1;
        let somebody_waits = state.waiting > 0;
        // A driver whose jobs run elsewhere waits for the last of them.
        let is_last = state.phase != Phase::Open && state.outstanding == 0;
        if is_last && !bug("the_last_spawned_job_ends_in_silence") {
            self.tell_driver(state);
        } else {
            drop(state);
        }
        if somebody_waits && !bug("an_end_makes_no_room_known") {
            self.room.notify_one();
        }
    }

    pub(super) fn count_panicked_callback(&self) {
        self.lock().counts.callbacks_panicked += 1;
    }

    pub(super) fn close(&self, how: Close) {
        let mut state = self.lock();
        state.phase = match (state.phase, how) {
            (Phase::Open, Close::Drain) => Phase::Draining,
            (Phase::Open | Phase::Draining, Close::Cancel) => Phase::Cancelling,
            (phase, _) => phase,
        };
        let spawned = match state.phase {
            Phase::Cancelling => std::mem::take(&mut state.spawned),
            Phase::Open | Phase::Draining => BTreeMap::new(),
        };
        self.tell_driver(state);
        // All of them: each must find the portal closed.
        self.room.notify_all();
        spawned.into_values().for_each(|task| wake(Some(task)));
    }

    /// The driver is going: nothing is accepted from now on. Returns what it has not seen.
    pub(super) fn driver_is_gone(&self) -> VecDeque<Entry> {
        let mut state = self.lock();
        let unseen = std::mem::take(&mut state.queue);
        state.is_gone = true;
        // A cancel stays one, so that the futures that are dropped now are told the truth.
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        let waker = state.driver.take();
        let spawned = std::mem::take(&mut state.spawned);
        drop(state);
        if !bug("a_drivers_drop_leaves_a_waiter") {
            self.room.notify_all();
        }
        discard(waker);
        // Each of them drops its job when it is polled.
        if !bug("a_dead_driver_leaves_its_tasks_asleep") {
            spawned.into_values().for_each(|task| wake(Some(task)));
        }
        unseen
    }

    /// Whether the spawned job with this id is to go on; if so, its task is woken when that ends.
    pub(super) fn keeps_spawned(&self, id: u64, waker: &Waker) -> bool {
        let state = self.lock();
        if state.ends_spawned() {
            return false;
        }
        if state.spawned.get(&id).is_some_and(|it| it.will_wake(waker)) {
            return true;
        }
        drop(state);
        // Cloned without the lock, for a waker is user code; then looked at once more.
        let waker = waker.clone();
        let mut state = self.lock();
        let is_ended = state.ends_spawned() && !bug("a_spawned_job_sleeps_without_a_second_look");
        let stale = if is_ended {
            Some(waker)
        } else {
            state.spawned.insert(id, waker)
        };
        drop(state);
        discard(stale);
        !is_ended
    }

    pub(super) fn forget_spawned(&self, id: u64) {
        let waker = self.lock().spawned.remove(&id);
        discard(waker);
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Whether a future dropped now was cancelled on purpose.
    pub(super) fn is_cancelling(&self) -> bool {
        self.lock().phase == Phase::Cancelling
    }

    /// Looks for work `spin` times without the lock; whether there is some. Keeps `now` up to
    /// date to within a few looks: read only once there is work, the clock would delay it.
    pub(super) fn spin_for_work(&self, now: &mut plain::Instant) -> bool {
        for look in 0..self.spin {
            // Relaxed: only a hint, the driver looks again under the lock.
            if self.has_work.0.load(Ordering::Relaxed) {
                return true;
            }
            if look % LOOKS_PER_CLOCK == LOOKS_PER_CLOCK - 1 {
                *now = plain::Instant::now();
            }
            std::hint::spin_loop();
        }
        false
    }

    /// The driver has taken all there was. Call it under the lock.
    pub(super) fn no_work(&self) {
        if self.spin > 0 {
            self.has_work.0.store(false, Ordering::Relaxed);
        }
    }

    /// The deadlock of waiting for this portal here, if it is one.
    pub(super) fn deadlock(&self) -> Option<Deadlock> {
        let is_pinned_here = self
            .pinned_to
            .is_some_and(|thread| thread == thread::current().id());
        (is_pinned_here || is_inside(Place::Portal(self.id))).then(|| Deadlock {
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

    /// Wakes the driver if it waits. Takes the guard: no lock is held while it wakes.
    fn tell_driver(&self, mut state: MutexGuard<'_, State>) {
        let driver = state.driver.take();
        if self.spin > 0 {
            // Relaxed, as in `spin_for_work`.
            self.has_work.0.store(true, Ordering::Relaxed);
        }
        drop(state);
        wake(driver);
    }
}

impl State {
    fn accept(&mut self, capacity: usize) -> Result<(), Refused> {
        if self.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if self.outstanding >= capacity {
            return Err(Refused::Full);
        }
        self.outstanding += 1;
        self.counts.accepted += 1;
        Ok(())
    }

    /// Whether every accepted future has ended, those still between place and queue included.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    fn ends_spawned(&self) -> bool {
        self.is_gone || self.phase == Phase::Cancelling
    }
}

/// Looks for work between two looks at the clock: some hundred nanoseconds.
const LOOKS_PER_CLOCK: u32 = 32;
