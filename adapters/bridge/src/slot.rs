//! A place for one outcome, waited for by a thread or by a task.
//!
//! Written once by whoever does the work, read once by whoever holds the handle. The portal and the
//! pool share it; it knows neither.

use std::task::{Context, Poll, Waker};

use crate::panic::{discard, wake};
use crate::sync::{Condvar, Instant, Mutex};

/// The outcome of one piece of work, or its absence so far.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

impl<T> Slot<T> {
    pub(crate) const fn new() -> Self {
        let state = State {
            outcome: Outcome::Open,
            task: None,
            thread_waits: false,
        };
        Self {
            state: Mutex::new(state),
            done: Condvar::new(),
        }
    }

    /// Stores the outcome and wakes the waiter. A second outcome is dropped: the first one wins.
    pub(crate) fn complete(&self, outcome: T) {
        let mut state = self.state.lock();
        if !matches!(state.outcome, Outcome::Open) {
            drop(state);
            discard(outcome);
            return;
        }
        state.outcome = Outcome::Stored(outcome);
        let task = state.task.take();
        let thread_waits = state.thread_waits;
        drop(state);

        // After the state is published and outside the lock: a waker may poll the handle inline.
        if thread_waits {
            self.done.notify_all();
        }
        wake(task);
    }

    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.state.lock().outcome, Outcome::Open)
    }

    /// Takes the outcome, if there is one that was not taken yet.
    pub(crate) fn take(&self) -> Option<T> {
        self.state.lock().outcome.take()
    }

    /// Nobody will read the outcome: drops it, now or when it comes, contained.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        let outcome = std::mem::replace(&mut state.outcome, Outcome::Taken);
        let task = state.task.take();
        drop(state);
        discard((outcome, task));
    }

    /// Parks the thread until there is an outcome, or until `deadline` (then `None`).
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            state.thread_waits = true;
            let (guard, timed_out) = self.done.wait_until(state, deadline);
            state = guard;
            if timed_out {
                state.thread_waits = false;
                // Once more: the outcome may have come together with the deadline.
                return state.outcome.take();
            }
        }
    }

    /// Polls for the outcome.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        if state
            .task
            .as_ref()
            .is_some_and(|task| task.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        drop(state);

        // Cloned without the lock, for a waker is user code; then looked at again, for the outcome
        // may have come meanwhile.
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        let stale = state.task.replace(waker);
        drop(state);
        discard(stale);
        Poll::Pending
    }
}

#[derive(Debug)]
struct State<T> {
    outcome: Outcome<T>,
    task: Option<Waker>,
    thread_waits: bool,
}

#[derive(Debug)]
enum Outcome<T> {
    Open,
    Stored(T),
    Taken,
}

impl<T> Outcome<T> {
    fn take(&mut self) -> Option<T> {
        if !matches!(self, Self::Stored(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Taken) {
            Self::Stored(outcome) => Some(outcome),
            Self::Open | Self::Taken => None,
        }
    }
}
