//! A pool's shutdown: wait, then drop what has not started, and name who has not returned.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, select};

use super::shared::Shared;
use super::state::{Queued, Seat, State};
use super::{BlockingError, ShutdownReport};
use crate::panic::discard;
use crate::sync::{Arc, Instant, MutexGuard, bug, thread, unique_id};

impl Shared {
    pub(super) fn shutdown(&self, within: Duration) -> ShutdownReport {
        let deadline = Instant::now().checked_add(within);
        self.close();
        let mut state = self.lock();
        let mut is_late = false;
        while state.is_busy_elsewhere() && !is_late {
            (state, is_late) = self.ended.wait_until(state, deadline);
        }
        self.conclude(state, is_late)
    }

    pub(super) async fn shutdown_async(&self, deadline: impl Future) -> ShutdownReport {
        self.close();
        let mut ticket = Ticket {
            shared: self,
            id: unique_id(),
        };
        let is_late = {
            let ended = pin!(poll_fn(|cx| ticket.poll_ended(cx)));
            let deadline = pin!(deadline);
            matches!(select(ended, deadline).await, Either::Right(_))
        };
        drop(ticket);
        self.conclude(self.lock(), is_late)
    }

    /// Ends the waiting: takes what has not started if it is too late for it, asks what runs to
    /// stop, and joins the threads that have ended.
    fn conclude<'a>(&'a self, mut state: MutexGuard<'a, State>, is_late: bool) -> ShutdownReport {
        // What a job of ours that called this has behind it in the queue runs after it returns.
        let unrun = match is_late || state.live_threads() == 0 {
            true => std::mem::take(&mut state.queue),
            false => VecDeque::new(),
        };
        state.counts.never_started += unrun.len() as u64;
        let running = state.running.values().map(|it| Arc::clone(&it.context));
        let running: Vec<_> = running.collect();
        if is_late {
            state = self.wait_for_idle_threads(state);
        }
        let has_ended = |_: &u64, seat: &mut Seat| seat.has_ended;
        let ended: Vec<Seat> = state
            .workers
            .extract_if(.., has_ended)
            .map(|(_, seat)| seat)
            .collect();
        let mut abandoned: Vec<_> = state
            .workers
            .values()
            .map(|seat| Arc::clone(&seat.worker))
            .collect();
        for nested in state.running.values().filter(|it| it.is_nested) {
            if !abandoned.iter().any(|it| Arc::ptr_eq(it, &nested.worker)) {
                abandoned.push(Arc::clone(&nested.worker));
            }
        }
        drop(state);

        running.iter().for_each(|context| context.token().ask());
        let mut report = ShutdownReport {
            joined: 0,
            never_started: Vec::new(),
            abandoned: abandoned.iter().map(|worker| worker.describe()).collect(),
        };
        for Queued { job, .. } in unrun {
            report.never_started.push(job.context().label().to_owned());
            if !bug("unrun_work_is_forgotten") {
                job.refuse(BlockingError::PoolClosed);
            }
        }
        ended.into_iter().for_each(|seat| join(seat, &mut report));
        report
    }

    /// With nothing left to run, waits for the threads that do not run a job either: they end by
    /// themselves, with no foreign code on the way, and are nobody to be named as abandoned.
    fn wait_for_idle_threads<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let turns = state.workers.values().filter_map(|seat| seat.turn.clone());
        let turns: Vec<_> = turns.collect();
        drop(state);
        turns.iter().for_each(|turn| turn.withdraw());
        let mut state = self.lock();
        let is_ending = |seat: &Seat| !seat.is_at_work && !seat.has_ended;
        while state.workers.values().any(is_ending) {
            (state, _) = self.ended.wait_until(state, None);
        }
        state
    }
}

impl State {
    /// Whether a thread that is not the current one has not ended, or runs one of our jobs.
    fn is_busy_elsewhere(&self) -> bool {
        let is_at_work = |seat: &Seat| !seat.has_ended && !seat.worker.is_current();
        self.workers.values().any(is_at_work)
            || self.running.values().any(|it| !it.worker.is_current())
    }
}

/// A shutdown's place among those that are told of an end.
struct Ticket<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Ticket<'_> {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned without the lock: a waker is user code.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        if !state.is_busy_elsewhere() {
            drop(state);
            discard(waker);
            return Poll::Ready(());
        }
        let stale = state.ending.insert(self.id, waker);
        drop(state);
        discard(stale);
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let stale = self.shared.lock().ending.remove(&self.id);
        discard(stale);
    }
}

/// Joins a thread that has left its loop: only the destructors of its locals are to run.
fn join(mut seat: Seat, report: &mut ShutdownReport) {
    let Some(handle) = seat.handle.take() else {
        return;
    };
    if seat.worker.is_current() {
        // Its last act was to wake the task that waits for us, and its executor has polled that
        // there and then. It cannot join itself; dropping its handle lets it go.
        report.joined += 1;
        return;
    }
    // A thread that has ended needs no more than its turn, unless a destructor of its locals waits.
    let mut turns = 0;
    while !handle.is_finished() && turns < JOIN_TURNS_MAX {
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

/// How often a shutdown yields to a thread that is just ending.
const JOIN_TURNS_MAX: u32 = 10_000;
