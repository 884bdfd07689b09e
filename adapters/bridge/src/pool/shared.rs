//! The pool's state under its one lock, and who may do what to it.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use super::job::{JobContext, Runnable};
use super::worker;
use super::{BlockingError, BusyReason, PoolStats, ShutdownReport};
use crate::inventory::{ThreadInfo, Worker};
use crate::panic::{discard, wake};
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, thread};

/// Shared by the handles, the threads and, weakly, the jobs.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) threads_max: usize,
    pub(super) queue_max: usize,
    pub(super) keep_alive: Duration,
    state: Mutex<State>,
    /// Told when a job or the end comes: idle threads wait here.
    pub(super) work: Condvar,
    /// Told when a thread ends: shutdowns wait here.
    pub(super) ended: Condvar,
}

pub(super) struct State {
    pub(super) queue: VecDeque<Queued>,
    pub(super) running: BTreeMap<u64, Arc<JobContext>>,
    pub(super) workers: BTreeMap<u64, Seat>,
    pub(super) is_open: bool,
    waiting: BTreeMap<u64, Waker>,
    pub(super) counts: PoolStats,
}

/// A job in the queue.
pub(super) struct Queued {
    pub(super) id: u64,
    pub(super) job: Box<dyn Runnable>,
}

/// A thread of the pool.
pub(super) struct Seat {
    /// Its number in the thread's name; free again when the thread retires.
    pub(super) number: usize,
    pub(super) worker: Arc<Worker>,
    pub(super) handle: Option<JoinHandle<()>>,
    /// The thread has left its loop and touches the pool no more.
    pub(super) has_ended: bool,
}

/// A job that was not accepted, and why.
pub(super) struct Refused<J> {
    pub(super) job: Box<J>,
    pub(super) reason: BusyReason,
}

/// Closes the pool when the last handle goes.
pub(super) struct LastHandle(Arc<Shared>);

impl LastHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    pub(super) fn new(
        name: Arc<str>,
        threads_max: usize,
        queue_max: usize,
        keep_alive: Duration,
    ) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            workers: BTreeMap::new(),
            is_open: true,
            waiting: BTreeMap::new(),
            counts: PoolStats::default(),
        };
        Arc::new(Self {
            name,
            threads_max,
            queue_max,
            keep_alive,
            state: Mutex::new(state),
            work: Condvar::new(),
            ended: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Accepts a job, with a thread started for it if one is missing.
    pub(super) fn enter_queue<J: Runnable + 'static>(
        self: &Arc<Self>,
        id: u64,
        job: Box<J>,
    ) -> Result<(), Refused<J>> {
        let mut state = self.lock();
        if !state.is_open {
            return Err(Refused {
                job,
                reason: BusyReason::ShutDown,
            });
        }
        if !self.has_room(&state) {
            return Err(Refused {
                job,
                reason: BusyReason::Full,
            });
        }
        let live = state.live_threads();
        // Threads that do not run a job are on their way to the queue, awake or not.
        let lacks_thread = live - state.running.len().min(live) <= state.queue.len();
        let mut thinner = None;
        if lacks_thread && live < self.threads_max {
            // Started under the lock, so that no other job can rely on a thread that fails to.
            match worker::start(self, &mut state) {
                Ok(()) => {}
                Err(error) if live == 0 => {
                    let reason = BusyReason::SpawnFailed(error);
                    return Err(Refused { job, reason });
                }
                Err(error) => thinner = Some(error),
            }
        }
        state.queue.push_back(Queued { id, job });
        state.counts.accepted += 1;
        drop(state);
        self.work.notify_one();
        // Only now: a logger is foreign code, and not for under a lock.
        if let Some(error) = thinner {
            log::warn!("pool {}: no further thread: {error}", self.name);
        }
        Ok(())
    }

    /// Takes a job that has not started out of the queue and tells its owner.
    pub(super) fn cancel(&self, id: u64) {
        let mut state = self.lock();
        let Some(index) = state.queue.iter().position(|queued| queued.id == id) else {
            return;
        };
        let queued = state.queue.remove(index);
        state.counts.cancelled += 1;
        let next = state.next_waiting();
        drop(state);
        wake(next);
        if let Some(queued) = queued {
            queued.job.refuse(BlockingError::Cancelled);
        }
    }

    /// Queues a caller for room; returns the waker it was queued with before.
    pub(super) fn wait_for_room(&self, ticket: u64, waker: Waker) -> Option<Waker> {
        self.lock().waiting.insert(ticket, waker)
    }

    /// Takes a caller out of the line. If it was told of room and leaves some unused, because it
    /// was dropped or got its place otherwise, the next in line is told.
    pub(super) fn stop_waiting(&self, ticket: u64) {
        let mut state = self.lock();
        let own = state.waiting.remove(&ticket);
        let has_room = self.has_room(&state);
        let next = if own.is_none() && has_room {
            state.next_waiting()
        } else {
            None
        };
        drop(state);
        wake(next);
        discard(own);
    }

    fn has_room(&self, state: &State) -> bool {
        state.running.len() + state.queue.len() < self.threads_max + self.queue_max
    }

    /// Takes no more work. What was accepted still runs.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_open = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.work.notify_all();
        waiting.into_values().for_each(|waker| wake(Some(waker)));
    }

    pub(super) fn shutdown(&self, within: Duration) -> ShutdownReport {
        let deadline = Instant::now().checked_add(within);
        self.close();

        let mut state = self.lock();
        loop {
            let is_waited_for = |seat: &Seat| !seat.has_ended && !seat.worker.is_current();
            if !state.workers.values().any(is_waited_for) {
                break;
            }
            let (guard, timed_out) = self.ended.wait_until(state, deadline);
            state = guard;
            if timed_out {
                break;
            }
        }
        // What a job of ours that called this has behind it in the queue runs after it returns.
        let has_threads = state.workers.values().any(|seat| !seat.has_ended);
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let unrun = if is_late || !has_threads {
            std::mem::take(&mut state.queue)
        } else {
            VecDeque::new()
        };
        state.counts.never_started += unrun.len() as u64;
        state.running.values().for_each(|context| context.cancel());
        let ended: Vec<u64> = state
            .workers
            .iter()
            .filter(|(_, seat)| seat.has_ended)
            .map(|(id, _)| *id)
            .collect();
        let ended: Vec<Seat> = ended
            .iter()
            .filter_map(|seat| state.workers.remove(seat))
            .collect();
        let abandoned = state
            .workers
            .values()
            .map(|seat| seat.worker.describe())
            .collect();
        drop(state);

        let never_started = unrun
            .iter()
            .map(|queued| queued.job.context().label().to_owned())
            .collect();
        for queued in unrun {
            queued.job.refuse(BlockingError::PoolClosed);
        }
        let mut report = ShutdownReport {
            joined: 0,
            never_started,
            abandoned,
        };
        for seat in ended {
            self.join(seat, deadline, &mut report);
        }
        report
    }

    /// Joins a thread that has left its loop: only the destructors of its locals are to run.
    fn join(&self, mut seat: Seat, deadline: Option<Instant>, report: &mut ShutdownReport) {
        let Some(handle) = seat.handle.take() else {
            return;
        };
        let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        // At least some patience: a thread that has ended needs no more than its turn.
        let mut turns = 0;
        while !handle.is_finished() && (turns < JOIN_TURNS_MIN || !is_late()) {
            turns += 1;
            thread::yield_now();
        }
        if handle.is_finished() {
            // Ignored: a worker contains its panics; a thread-local's destructor that panics
            // aborts the process before it gets here.
            let _ = handle.join();
            report.joined += 1;
        } else {
            report.abandoned.push(seat.worker.describe());
        }
    }

    pub(super) fn threads(&self) -> Vec<ThreadInfo> {
        let state = self.lock();
        let workers: Vec<_> = state
            .workers
            .values()
            .filter(|seat| !seat.has_ended)
            .map(|seat| Arc::clone(&seat.worker))
            .collect();
        drop(state);
        workers.iter().map(|worker| worker.describe()).collect()
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.lock();
        PoolStats {
            threads: state.live_threads(),
            running: state.running.len(),
            queued: state.queue.len(),
            waiting: state.waiting.len(),
            ..state.counts
        }
    }
}

impl State {
    pub(super) fn live_threads(&self) -> usize {
        self.workers.values().filter(|seat| !seat.has_ended).count()
    }

    /// The caller of `run_async` that has waited longest, to be woken outside the lock.
    pub(super) fn next_waiting(&mut self) -> Option<Waker> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }
}

/// How often a shutdown yields to a thread that is just ending, even past the deadline.
const JOIN_TURNS_MIN: u32 = 1000;
