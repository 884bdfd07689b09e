//! A place for one outcome, waited for by a thread or by a task.
//!
//! Written once by whoever does the work, read once by whoever holds the handle; shown to callbacks
//! in between. The portal and the pool share it; it knows neither.

use std::task::{Context, Poll, Waker};

use crate::panic::{discard, wake};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, bug};

/// The outcome of one piece of work, or its absence so far.
pub(crate) struct Slot<T> {
    /// Set once the outcome is stored: what a spinning thread looks at, without the lock.
    is_stored: AtomicBool,
    state: Mutex<State<T>>,
    done: Condvar,
}

/// What is shown the outcome before its reader gets it. Must not panic.
pub(crate) type Callback<T> = Box<dyn FnOnce(&T) + Send>;

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            outcome: Outcome::Open,
            callbacks: Vec::new(),
            task: None,
            thread_waits: false,
            is_abandoned: false,
        };
        Self {
            is_stored: AtomicBool::new(false),
            state: Mutex::new(state),
            done: Condvar::new(),
        }
    }

    /// Shows the outcome to the callbacks, stores it and wakes the waiter. A second outcome is
    /// dropped: the first one wins.
    pub(crate) fn complete(&self, outcome: T) {
        let mut state = self.state.lock();
        if !matches!(state.outcome, Outcome::Open) {
            drop(state);
            discard(outcome);
            return;
        }
        if !state.callbacks.is_empty() {
            state.outcome = Outcome::Shown;
            state = self.show(state, &outcome);
        }
        if state.is_abandoned {
            state.outcome = Outcome::Taken;
            drop(state);
            discard(outcome);
            return;
        }
        state.outcome = Outcome::Stored(outcome);
        let task = state.task.take();
        let thread_waits = state.thread_waits;
        // Release: who sees it without the lock sees the outcome under the lock.
        self.is_stored.store(true, Ordering::Release);
        drop(state);

        // After the state is published and outside the lock: a waker may poll the handle inline.
        if thread_waits {
            self.done.notify_all();
        }
        wake(task);
    }

    /// Has the outcome shown to `callback`: before the waiter is woken, or here and now if the
    /// outcome is there. Dropped if the outcome was taken.
    pub(crate) fn on_done(&self, callback: Callback<T>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.outcome, Outcome::Shown) {
            Outcome::Stored(outcome) => {
                state.callbacks.push(callback);
                let mut state = self.show(state, &outcome);
                state.outcome = Outcome::Stored(outcome);
            }
            Outcome::Taken => {
                state.outcome = Outcome::Taken;
                drop(state);
                discard(callback);
            }
            waiting => {
                // Who completes it, or shows it at this moment, will find the callback.
                state.outcome = waiting;
                state.callbacks.push(callback);
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_stored.load(Ordering::Acquire)
    }

    /// Takes the outcome, if there is one that was not taken yet.
    pub(crate) fn take(&self) -> Option<T> {
        if !self.is_done() {
            return None;
        }
        self.state.lock().outcome.take()
    }

    /// Looks for the outcome `turns` times without parking.
    pub(crate) fn spin(&self, turns: u32) -> Option<T> {
        for _ in 0..turns {
            if self.is_done() {
                break;
            }
            std::hint::spin_loop();
        }
        self.take()
    }

    /// Nobody will read the outcome: drops it, now or when it comes, contained. Callbacks still
    /// see it.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_abandoned = true;
        let outcome = state.outcome.take();
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
            state.thread_waits = !bug("a_wait_is_not_announced");
            let (guard, timed_out) = self.done.wait_until(state, deadline);
            state = guard;
            if timed_out {
                state.thread_waits = false;
                if bug("an_outcome_is_lost_to_a_timeout") {
                    drop(state.outcome.take());
                }
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
        if !bug("a_task_waits_without_a_second_look")
            && let Some(outcome) = state.outcome.take()
        {
            return Poll::Ready(outcome);
        }
        let stale = state.task.replace(waker);
        drop(state);
        discard(stale);
        Poll::Pending
    }

    /// Runs the callbacks, without the lock, until there are none.
    fn show<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        outcome: &T,
    ) -> MutexGuard<'a, State<T>> {
        while !state.callbacks.is_empty() {
            let callbacks = std::mem::take(&mut state.callbacks);
            drop(state);
            for callback in callbacks {
                callback(outcome);
            }
            state = self.state.lock();
            if bug("a_late_callback_is_lost") {
                break;
            }
        }
        state
    }
}

struct State<T> {
    outcome: Outcome<T>,
    callbacks: Vec<Callback<T>>,
    task: Option<Waker>,
    thread_waits: bool,
    is_abandoned: bool,
}

enum Outcome<T> {
    Open,
    /// Callbacks look at it; who shows it will put it here.
    Shown,
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
            Self::Open | Self::Shown | Self::Taken => None,
        }
    }
}
