//! What stands under the pool's lock: its queue, its running jobs, its threads.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use super::job::{Owner, Runnable};
use super::limiter::Turn;
use super::{JobContext, PoolStats};
use crate::inventory::Worker;
use crate::sync::Arc;
use crate::sync::thread::JoinHandle;

/// What a pool knows of its jobs and its threads.
pub(super) struct State {
    pub(super) queue: VecDeque<Queued>,
    pub(super) running: BTreeMap<u64, Running>,
    pub(super) workers: BTreeMap<u64, Seat>,
    pub(super) is_open: bool,
    /// Callers that wait for room, in the order of arrival.
    pub(super) waiting: BTreeMap<u64, Waker>,
    /// Shutdowns that wait for the end.
    pub(super) ending: BTreeMap<u64, Waker>,
    pub(super) counts: PoolStats,
    /// Threads that run a job: those of the jobs in `running` that run on a seat.
    pub(super) busy: usize,
}

/// A job in the queue.
pub(super) struct Queued {
    pub(super) id: u64,
    pub(super) job: Box<dyn Runnable>,
}

/// A job that runs.
pub(super) struct Running {
    pub(super) context: Arc<JobContext>,
    pub(super) owner: Arc<dyn Owner>,
    pub(super) worker: Arc<Worker>,
    /// It runs inside the job that waits for it, on that job's thread and under its permit.
    pub(super) is_nested: bool,
    pub(super) is_abandoned: bool,
}

impl Running {
    pub(super) fn on_a_seat(queued: &Queued, worker: &Arc<Worker>) -> Self {
        Self {
            context: Arc::clone(queued.job.context()),
            owner: queued.job.owner(),
            worker: Arc::clone(worker),
            is_nested: false,
            is_abandoned: false,
        }
    }
}

/// A thread of the pool.
pub(super) struct Seat {
    /// Its number in the thread's name; free again when the thread retires.
    pub(super) number: usize,
    pub(super) worker: Arc<Worker>,
    pub(super) handle: Option<JoinHandle<()>>,
    /// Its place in the line for a permit, while it waits there.
    pub(super) turn: Option<Arc<Turn>>,
    /// It runs a job, or tells of one: that is foreign code.
    pub(super) is_at_work: bool,
    /// The thread has left its loop and touches the pool no more.
    pub(super) has_ended: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            workers: BTreeMap::new(),
            is_open: true,
            waiting: BTreeMap::new(),
            ending: BTreeMap::new(),
            counts: PoolStats::default(),
            busy: 0,
        }
    }

    /// Says whether the thread in this seat runs foreign code from now on.
    pub(super) fn set_at_work(&mut self, seat: u64, is_at_work: bool) {
        if let Some(seat) = self.workers.get_mut(&seat) {
            seat.is_at_work = is_at_work;
        }
    }

    pub(super) fn begin(&mut self, queued: &Queued, running: Running) {
        // Under the lock: from now on it can be given up, and that is noted where it was begun.
        let label = running.context.label_cow();
        running.worker.begin_job(queued.id, label);
        self.busy += usize::from(!running.is_nested);
        self.running.insert(queued.id, running);
    }

    pub(super) fn live_threads(&self) -> usize {
        self.workers.values().filter(|seat| !seat.has_ended).count()
    }

    /// Threads that do not run a job: they are on their way to the queue, awake or not.
    pub(super) fn free_threads(&self) -> usize {
        self.live_threads().saturating_sub(self.busy)
    }

    /// Threads that run no foreign code: nothing can keep them from coming to the queue.
    pub(super) fn idle_threads(&self) -> usize {
        let is_idle = |seat: &&Seat| !seat.is_at_work && !seat.has_ended;
        self.workers.values().filter(is_idle).count()
    }

    /// The caller of `run_async` that has waited longest, to be woken outside the lock.
    pub(super) fn next_waiting(&mut self) -> Option<Waker> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }
}
