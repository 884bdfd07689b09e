//! Jobs that wait for jobs, without a thread or a permit to spare.
//!
//! A job that waits keeps its thread and its permit, and has no use for them meanwhile. So it lends
//! them to what it waits for: a job that has not started, and that no free thread is on its way to,
//! runs on the thread of the job that waits for it. Who waits for whom is known where the wait goes
//! through us: on the thread itself, and through a portal, which polls a future in the name of the
//! job that has submitted it (its [`Lineage`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::task::{Context, Poll, Wake, Waker};

use super::shared::Shared;
use super::worker::run_nested;
use crate::inventory::Worker;
use crate::slot::Slot;
use crate::sync::{Arc, Condvar, Mutex, Weak, bug, thread_local};

/// The running job in whose name the current thread acts.
#[derive(Clone)]
pub(crate) struct Lineage(Arc<Lender>);

impl Lineage {
    /// The lineage of what this thread submits now, to be entered wherever that runs.
    pub(crate) fn current() -> Option<Self> {
        current().map(|(lender, _)| Self(lender))
    }

    /// Has this thread act in the job's name until the guard drops.
    pub(crate) fn enter(&self) -> Acting {
        // It may be the job's own thread that polls what the job has submitted.
        let is_own =
            |(lender, is_own): (Arc<Lender>, IsOwn)| is_own.0 && Arc::ptr_eq(&lender, &self.0);
        let is_own = current().is_some_and(is_own);
        act(Arc::clone(&self.0), IsOwn(is_own))
    }
}

impl std::fmt::Debug for Lineage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Lineage")
    }
}

/// Waits for an outcome without a deadline; in a job, runs meanwhile what the outcome depends on.
pub(crate) fn wait_helping<T>(slot: &Slot<T>) -> Option<T> {
    match current() {
        Some((lender, IsOwn(true))) => Some(lender.wait(slot)),
        _ => slot.wait_until(None),
    }
}

/// A running job that can lend its thread and its permit.
pub(super) struct Lender {
    pool: Arc<Shared>,
    worker: Arc<Worker>,
    /// The job that this one runs inside of, on the same thread.
    outer: Option<Arc<Self>>,
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs that somebody awaits in our name.
    wanted: VecDeque<(Weak<Shared>, u64)>,
    /// What we wait for may be there.
    is_woken: bool,
}

impl Lender {
    pub(super) fn new(
        pool: &Arc<Shared>,
        worker: &Arc<Worker>,
        outer: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pool: Arc::clone(pool),
            worker: Arc::clone(worker),
            outer,
            state: Mutex::new(State::default()),
            told: Condvar::new(),
        })
    }

    /// Whether a job of `pool` may run in our place: within its bounds, that is.
    fn covers(&self, pool: &Arc<Shared>) -> bool {
        let has_permit = || match (&self.pool.limiter, &pool.limiter) {
            (Some(ours), Some(theirs)) => ours.is(theirs),
            _ => false,
        };
        Arc::ptr_eq(&self.pool, pool)
            || has_permit()
            || self.outer.as_ref().is_some_and(|outer| outer.covers(pool))
    }

    fn want(self: &Arc<Self>, pool: &Arc<Shared>, id: u64) {
        let mut state = self.state.lock();
        if state.wanted.iter().any(|(_, wanted)| *wanted == id) {
            return;
        }
        state.wanted.push_back((Arc::downgrade(pool), id));
        drop(state);
        // One: nobody but the job's own thread waits here.
        if !bug("a_wish_is_not_told") {
            self.told.notify_one();
        }
    }

    fn wait<T>(self: &Arc<Self>, slot: &Slot<T>) -> T {
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = slot.poll_take(&mut cx) {
                return outcome;
            }
            if let Some((pool, id)) = self.next_wanted()
                && let Some(pool) = pool.upgrade()
            {
                self.run_if_nobody_will(&pool, id);
            }
        }
    }

    /// Parks until there is something to run, or until the slot is to be looked at (`None`).
    fn next_wanted(&self) -> Option<(Weak<Shared>, u64)> {
        let mut state = self.state.lock();
        if bug("a_lender_forgets_its_wake") {
            state.is_woken = false;
        }
        loop {
            // First: with the outcome there, nothing that it depended on needs us.
            if std::mem::take(&mut state.is_woken) {
                return None;
            }
            let wanted = state.wanted.pop_front();
            if wanted.is_some() {
                return wanted;
            }
            (state, _) = self.told.wait_until(state, None);
        }
    }

    fn run_if_nobody_will(self: &Arc<Self>, pool: &Arc<Shared>, id: u64) {
        if let Some(queued) = pool.claim(id, &self.worker) {
            let inner = Self::new(pool, &self.worker, Some(Arc::clone(self)));
            run_nested(inner, queued);
        }
    }

    pub(super) fn pool(&self) -> &Arc<Shared> {
        &self.pool
    }

    pub(super) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }
}

impl Wake for Lender {
    fn wake(self: Arc<Self>) {
        self.state.lock().is_woken = true;
        self.told.notify_one();
    }
}

/// Whether a job of `pool` is submitted from within a job that would lend it its place.
pub(super) fn is_nested_in(pool: &Arc<Shared>) -> bool {
    current().is_some_and(|(lender, _)| lender.covers(pool))
}

/// Runs a job, if this is the thread of a job that may, and if it has not started and nobody will
/// start it.
pub(super) fn run_here_if_nobody_will(pool: &Arc<Shared>, id: u64) {
    if let Some((lender, IsOwn(true))) = current()
        && lender.covers(pool)
    {
        lender.run_if_nobody_will(pool, id);
    }
}

/// A task awaits a job. If it does so on the thread of a job that may run it, it is run as in
/// [`run_here_if_nobody_will`]; if in the name of one on another thread, that one is told.
pub(super) fn await_in_the_name_of_a_job(pool: &Arc<Shared>, id: u64) -> Option<Place> {
    let (lender, is_own) = current()?;
    if !lender.covers(pool) {
        return None;
    }
    if is_own.0 {
        lender.run_if_nobody_will(pool, id);
        return None;
    }
    lender.want(pool, id);
    Some(Place(lender))
}

/// Where a job is awaited in the name of another.
pub(super) struct Place(Arc<Lender>);

impl Place {
    /// The job is not awaited any more.
    pub(super) fn leave(self, id: u64) {
        let mut state = self.0.state.lock();
        state.wanted.retain(|(_, wanted)| *wanted != id);
    }
}

/// Ends the acting in a job's name when dropped. Not `Send`: it belongs to its thread.
pub(crate) struct Acting {
    before: Option<(Arc<Lender>, IsOwn)>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Acting {
    fn drop(&mut self) {
        // Ignored: the thread is ending and its locals are gone.
        let _ = CURRENT.try_with(|current| current.replace(self.before.take()));
    }
}

/// Has the current thread run the lender's job until the guard drops.
pub(super) fn begin(lender: Arc<Lender>) -> Acting {
    act(lender, IsOwn(true))
}

fn act(lender: Arc<Lender>, is_own: IsOwn) -> Acting {
    // A thread that is ending acts for nobody.
    let before = CURRENT.try_with(|current| current.replace(Some((lender, is_own))));
    Acting {
        before: before.unwrap_or_default(),
        not_send: PhantomData,
    }
}

fn current() -> Option<(Arc<Lender>, IsOwn)> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .unwrap_or_default()
}

/// Whether the thread is the job's own, and not one that polls in its name.
#[derive(Clone, Copy)]
struct IsOwn(bool);

thread_local! {
    static CURRENT: RefCell<Option<(Arc<Lender>, IsOwn)>> = RefCell::new(None);
}
