//! The pool's state under its one lock, and who may do what to it.

use std::io;
use std::task::Waker;
use std::time::Duration;

use super::job::Runnable;
use super::limiter::{Limiter, Permit};
use super::state::{Queued, Running, State};
use super::worker;
use super::{BlockingError, BlockingPoolBuilder, BusyReason, PoolStats};
use crate::inventory::{ThreadInfo, Worker};
use crate::panic::{discard, wake};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, bug};

/// Shared by the handles, the threads and, weakly, the jobs.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) threads_max: usize,
    pub(super) queue_max: usize,
    pub(super) keep_alive: Duration,
    /// Locked after the pool's own lock, if both are.
    pub(super) limiter: Option<Limiter>,
    state: Mutex<State>,
    /// Told when a job or the end comes: idle threads wait here.
    pub(super) work: Condvar,
    /// Told when a thread ends, or a job that ran elsewhere: shutdowns wait here.
    pub(super) ended: Condvar,
    /// Has the operating system refuse threads from now on.
    #[cfg(test)]
    pub(super) is_out_of_threads: std::sync::atomic::AtomicBool,
}

/// A job that was not accepted, and why.
pub(super) struct Refused<J> {
    pub(super) job: Box<J>,
    pub(super) reason: BusyReason,
}

/// Which bound a job has to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Queue,
    /// None: it comes from a job that lends it its place.
    Lent,
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
    pub(super) fn new(builder: BlockingPoolBuilder) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::from(builder.name),
            threads_max: builder.threads,
            queue_max: builder.queue,
            keep_alive: builder.keep_alive,
            limiter: builder.limiter,
            state: Mutex::new(State::new()),
            work: Condvar::new(),
            ended: Condvar::new(),
            #[cfg(test)]
            is_out_of_threads: std::sync::atomic::AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Accepts a job, with a thread started for it if one is missing.
    pub(super) fn enter_queue<J: Runnable + 'static>(
        self: &Arc<Self>,
        job: Box<J>,
        bound: Bound,
    ) -> Result<(), Refused<J>> {
        let mut state = self.lock();
        if !state.is_open {
            return Err(Refused {
                job,
                reason: BusyReason::ShutDown,
            });
        }
        if bound == Bound::Queue && !self.has_room(&state) {
            return Err(Refused {
                job,
                reason: BusyReason::Full,
            });
        }
        let live = state.live_threads();
        let mut thinner = None;
        if state.free_threads() <= state.queue.len() && live < self.threads_max {
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
        let id = job.context().token().id();
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

    /// Takes a job out of the queue, to be run on `worker`, a thread that waits for it, unless one
    /// of the pool's own threads is sure to take it.
    ///
    /// Sure is this: so many threads are on their way to the queue that one of them is for this
    /// job, and none of them needs a permit first. It then stays so, for threads do not retire
    /// while there is work, and later jobs come behind.
    pub(super) fn claim(&self, id: u64, worker: &Arc<Worker>) -> Option<Queued> {
        let mut state = self.lock();
        let place = state.queue.iter().position(|queued| queued.id == id)?;
        let is_relied_on = if bug("a_thread_at_work_is_relied_on") {
            place < state.live_threads()
        } else {
            place < state.idle_threads()
        };
        let needs_permit = self.limiter.is_some() && !bug("a_thread_in_line_is_relied_on");
        if is_relied_on && !needs_permit {
            return None;
        }
        let queued = state.queue.remove(place)?;
        let running = Running {
            is_nested: true,
            ..Running::on_a_seat(&queued, worker)
        };
        state.begin(&queued, running);
        let next = state.next_waiting();
        drop(state);
        wake(next);
        Some(queued)
    }

    /// A job's work has returned: its place, and its permit, are free.
    pub(super) fn finish(&self, id: u64, panicked: bool, permit: Option<Permit>) {
        let mut state = self.lock();
        let Some(running) = state.running.remove(&id) else {
            return;
        };
        state.busy -= usize::from(!running.is_nested);
        let counts = &mut state.counts;
        counts.finished += 1;
        counts.nested += u64::from(running.is_nested);
        counts.panicked += u64::from(panicked);
        counts.abandoned -= usize::from(running.is_abandoned);
        // Under the lock: whether it was given up is settled here, for the pool and the limiter.
        if let Some(permit) = permit {
            permit.end(running.is_abandoned);
        }
        let next = state.next_waiting();
        if running.is_nested {
            self.tell_of_end(state);
        } else {
            drop(state);
        }
        wake(next);
    }

    /// Takes a job that has not started out of the queue and tells its owner. Of one that runs, the
    /// owner is told if it `abandons` it.
    pub(super) fn cancel(&self, id: u64, abandons: bool) {
        let mut state = self.lock();
        if let Some(running) = state.running.get_mut(&id) {
            if bug("a_running_job_is_told_cancelled") {
                running.owner.give_up();
            }
            if !abandons || running.is_abandoned {
                return;
            }
            running.is_abandoned = true;
            let (owner, worker) = (Arc::clone(&running.owner), Arc::clone(&running.worker));
            let is_nested = running.is_nested;
            state.counts.abandoned += 1;
            if let Some(limiter) = self.limiter.as_ref().filter(|_| !is_nested) {
                limiter.note_abandoned();
                if bug("an_abandoned_job_frees_its_permit") {
                    limiter.give_back(true);
                }
            }
            drop(state);
            worker.abandon_job(id);
            owner.give_up();
            return;
        }
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
        let next = if own.is_none() && has_room && !bug("unused_room_is_not_passed_on") {
            state.next_waiting()
        } else {
            None
        };
        drop(state);
        wake(next);
        discard(own);
    }

    fn has_room(&self, state: &State) -> bool {
        state.busy + state.queue.len() < self.threads_max + self.queue_max
    }

    /// Takes no more work. What was accepted still runs.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_open = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        if bug("the_pools_end_wakes_one_thread") {
            self.work.notify_one();
        } else {
            self.work.notify_all();
        }
        waiting.into_values().for_each(|waker| wake(Some(waker)));
    }

    /// Tells the shutdowns that a thread, or a job elsewhere, has ended; takes the lock with it.
    pub(super) fn tell_of_end(&self, mut state: MutexGuard<'_, State>) {
        let ending = std::mem::take(&mut state.ending);
        drop(state);
        self.ended.notify_all();
        ending.into_values().for_each(|waker| wake(Some(waker)));
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

    #[cfg(test)]
    pub(super) fn may_start_a_thread(&self) -> io::Result<()> {
        match self
            .is_out_of_threads
            .load(std::sync::atomic::Ordering::SeqCst)
        {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    #[cfg(not(test))]
    pub(super) fn may_start_a_thread(&self) -> io::Result<()> {
        Ok(())
    }
}
