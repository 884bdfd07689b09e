//! The fake SDK: real threads, one step at a time.

use std::fmt;
use std::sync::{Arc, Weak};

use super::script::{Call, Record, Step};
use super::threads::{Callback, Line, Shared, State, Status, Thread};

/// An SDK with threads and a callback, that does what its script says; see the
/// [module](crate::testing).
///
/// `M` is its message, `R` what its callback returns. It owns its threads and its callback;
/// dropping it drops both, as soon as calls that are still running return.
pub struct FakeSdk<M, R = ()> {
    shared: Arc<Shared<M, R>>,
}

impl<M: Send + 'static, R: Send + 'static> FakeSdk<M, R> {
    /// An SDK without script, threads and callback.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared::new()),
        }
    }

    /// Adds to the script: `thread` delivers a message. Threads start when they are first needed.
    pub fn deliver(&self, thread: impl Into<String>, message: M) -> &Self {
        self.add(thread.into(), Call::Message(message))
    }

    /// Adds to the script: `thread` reports an error.
    pub fn fail(&self, thread: impl Into<String>, error: impl Into<String>) -> &Self {
        self.add(thread.into(), Call::Error(error.into()))
    }

    /// Adds to the script: `thread` reports that the subscription is closed.
    pub fn close(&self, thread: impl Into<String>) -> &Self {
        self.add(thread.into(), Call::Closed)
    }

    /// Sets the callback; one that was set before is dropped.
    pub fn subscribe(&self, callback: impl Fn(Call<M>) -> R + Send + Sync + 'static) {
        let callback: Callback<M, R> = Arc::new(callback);
        let before = self.shared.lock().callback.replace(callback);
        // Outside the lock: a callback owns sinks, and their drop may run hooks.
        drop(before);
    }

    /// Makes the next call of the script, and comes back when it has returned or is parked.
    ///
    /// # Panics
    ///
    /// If the call does neither within ten seconds: it waits for something else than room.
    ///
    /// # Blocking
    ///
    /// Waits for the call: a callback that needs the thread that calls `step` does not get it.
    pub fn step(&self) -> Step {
        let mut state = self.shared.lock();
        let Some(name) = state.script.front().map(|line| line.thread.clone()) else {
            return Step::Ended;
        };
        if state.callback.is_none() {
            return Step::Ended;
        }
        if state.is_paused {
            return Step::Paused;
        }
        let index = self.shared.thread_of(&mut state, &name);
        // It may be on its way out of an earlier call.
        state = self.shared.settled(state, index);
        if state.threads[index].status == Status::Parked {
            return Step::Busy;
        }
        let line = state.script.pop_front();
        let thread = &mut state.threads[index];
        (thread.inbox, thread.status) = (line, Status::Running);
        self.shared.changed.notify_all();
        state = self.shared.settled(state, index);
        match state.threads[index].status {
            Status::Parked => Step::Blocked,
            Status::Idle | Status::Running => Step::Returned,
        }
    }

    /// Makes calls until the next one cannot be made; says why.
    ///
    /// Calls that park do not stop it, as long as the script goes on with other threads.
    ///
    /// # Panics
    ///
    /// As [`step`](Self::step).
    pub fn run(&self) -> Step {
        loop {
            let step = self.step();
            if !matches!(step, Step::Returned | Step::Blocked) {
                return step;
            }
        }
    }

    /// Makes all calls of the script and waits until all have returned: for a test whose consumer
    /// runs elsewhere and makes room by and by.
    ///
    /// # Panics
    ///
    /// If nothing happens for ten seconds: nobody makes room, or the SDK stays paused.
    pub fn run_all(&self) {
        loop {
            match self.step() {
                Step::Returned | Step::Blocked => {}
                Step::Ended => break,
                Step::Busy | Step::Paused => {
                    let wait_for = |state: &State<M, R>| {
                        let Some(line) = state.script.front() else {
                            return true;
                        };
                        let is_parked = |thread: &Thread<M>| {
                            thread.name == line.thread && thread.status == Status::Parked
                        };
                        !state.is_paused && !state.threads.iter().any(is_parked)
                    };
                    drop(
                        self.shared
                            .wait(self.shared.lock(), "the script cannot go on", wait_for),
                    );
                }
            }
        }
        self.wait_until_idle();
    }

    /// Waits until so many calls are parked in a push.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds.
    pub fn wait_until_blocked(&self, calls: usize) {
        let reached = |state: &State<M, R>| state.count(Status::Parked) == calls;
        drop(self.shared.wait(
            self.shared.lock(),
            "calls are not parked as expected",
            reached,
        ));
    }

    /// Waits until every call that was made has returned.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds.
    pub fn wait_until_idle(&self) {
        let reached = |state: &State<M, R>| state.count(Status::Idle) == state.threads.len();
        drop(
            self.shared
                .wait(self.shared.lock(), "calls do not return", reached),
        );
    }

    /// How many calls are parked in a push now.
    pub fn blocked_now(&self) -> usize {
        self.shared.lock().count(Status::Parked)
    }

    /// The calls that have returned since this was last asked, in the order they did.
    pub fn take_records(&self) -> Vec<Record<R>> {
        std::mem::take(&mut self.shared.lock().records)
    }

    /// What an adapter may call back: for its hooks, which must not own the SDK that owns them.
    pub fn control(&self) -> FakeControl<M, R> {
        FakeControl {
            shared: Arc::downgrade(&self.shared),
        }
    }

    fn add(&self, thread: String, call: Call<M>) -> &Self {
        let mut state = self.shared.lock();
        let number = state.lines;
        state.lines += 1;
        state.script.push_back(Line {
            number,
            thread,
            call,
        });
        self
    }
}

impl<M: Send + 'static, R: Send + 'static> Default for FakeSdk<M, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M, R> Drop for FakeSdk<M, R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_ended = true;
        let callback = state.callback.take();
        let idle = state
            .threads
            .iter_mut()
            .filter(|it| it.status == Status::Idle);
        let idle: Vec<_> = idle.filter_map(|thread| thread.handle.take()).collect();
        drop(state);
        self.shared.changed.notify_all();
        drop(callback);
        // Those in a call end when it returns; to wait for them here could be to wait for ever.
        for thread in idle {
            // Ignored: the callback's panics are caught, and a panic of ours has been printed.
            let _ = thread.join();
        }
    }
}

impl<M, R> fmt::Debug for FakeSdk<M, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        formatter
            .debug_struct("FakeSdk")
            .field("threads", &state.threads.len())
            .field("lines_left", &state.script.len())
            .field("is_paused", &state.is_paused)
            .finish_non_exhaustive()
    }
}

/// The part of a [`FakeSdk`] that adapters call: its flow control and its end.
///
/// Does not keep the SDK alive; does nothing once that is gone.
pub struct FakeControl<M, R = ()> {
    shared: Weak<Shared<M, R>>,
}

impl<M, R> FakeControl<M, R> {
    /// No more calls until [`resume`](Self::resume): steps are answered by [`Step::Paused`].
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    /// Takes the callback away and waits until no call of it is running, as good SDKs do.
    ///
    /// # Panics
    ///
    /// If a call does not return within ten seconds; so it ends if called from the callback itself.
    ///
    /// # Blocking
    ///
    /// Waits for running calls.
    pub fn unsubscribe(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let callback = shared.lock().callback.take();
        drop(callback);
        let reached = |state: &State<M, R>| state.count(Status::Idle) == state.threads.len();
        drop(shared.wait(shared.lock(), "calls do not return", reached));
    }

    fn set_paused(&self, is_paused: bool) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().is_paused = is_paused;
            shared.changed.notify_all();
        }
    }
}

impl<M, R> Clone for FakeControl<M, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Weak::clone(&self.shared),
        }
    }
}

impl<M, R> fmt::Debug for FakeControl<M, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FakeControl")
            .finish_non_exhaustive()
    }
}
