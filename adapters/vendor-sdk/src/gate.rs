//! What the threads of one subscription share: its phase, its leases, its callbacks.
//!
//! One lock. Nothing is called while it is held: not the store, not a callback.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::time::nanos;
use crate::{Error, Leased, Outcome, Token};

/// The meeting point of a subscription's puller, callback threads and callers.
#[derive(Debug)]
pub(crate) struct Gate {
    topic: String,
    max_outstanding: usize,
    state: Mutex<State>,
    /// The puller waits here.
    pull: Condvar,
    /// Everybody else waits here.
    settled: Condvar,
}

/// Whether messages are leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Pulling,
    Paused,
    Stopped,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether the puller is between its decision to lease and the hand-over to the callbacks.
    leasing: bool,
    /// Whether something was published or nacked since the puller last looked.
    news: bool,
    /// Whether the puller waits for room.
    hungry: bool,
    /// Leases not settled yet, with their deadlines by boot time.
    outstanding: HashMap<Token, i64>,
    /// Not later than any deadline in `outstanding`.
    earliest: i64,
    /// Callbacks handed over and not begun, and those begun and not ended.
    queued: usize,
    running: usize,
    panics: u64,
    /// Threads that have not ended.
    threads: usize,
    handles: Vec<JoinHandle<()>>,
    failure: Option<Error>,
}

/// What a callback thread does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Call back; `end_callback` is owed.
    Run,
    /// The lease ran out while the message waited: forget it.
    Expired,
    /// The subscription has stopped: hand it back.
    Stopped,
}

impl Gate {
    pub(crate) fn new(topic: String, max_outstanding: usize, threads: usize) -> Self {
        Self {
            topic,
            max_outstanding,
            state: Mutex::new(State {
                phase: Phase::Pulling,
                leasing: false,
                news: false,
                hungry: false,
                outstanding: HashMap::with_capacity(max_outstanding.min(4096)),
                earliest: i64::MAX,
                queued: 0,
                running: 0,
                panics: 0,
                threads,
                handles: Vec::new(),
                failure: None,
            }),
            pull: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    // ---- the puller's side ----

    /// Begins a pull; waits while paused. `None` when the subscription has stopped, else how many
    /// messages there is room for at `now`, by boot time.
    pub(crate) fn begin_pull(&self, now: i64) -> Option<usize> {
        let mut state = self.state.lock();
        while state.phase == Phase::Paused {
            self.pull.wait(&mut state);
        }
        if state.phase == Phase::Stopped {
            return None;
        }
        state.leasing = true;
        Some(state.room(self.max_outstanding, now))
    }

    /// Takes a leased batch in, before its messages go to the callback threads.
    pub(crate) fn admit(&self, batch: &[Leased]) {
        let mut state = self.state.lock();
        state.queued += batch.len();
        for leased in batch {
            let deadline = nanos(leased.deadline_boot);
            state.hold(leased.token, deadline);
        }
    }

    /// Ends a pull: what was leased has been handed over.
    pub(crate) fn end_pull(&self) {
        self.state.lock().leasing = false;
        // Wakes those who pause.
        self.settled.notify_all();
    }

    /// Waits for news, for room when `hungry`, for another phase, or for `timeout`; tells whether
    /// there were news.
    pub(crate) fn wait_for_news(&self, hungry: bool, now: i64, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        let can_lease = hungry && state.room(self.max_outstanding, now) > 0;
        let has_reason = state.news || can_lease || state.phase != Phase::Pulling;
        if !has_reason {
            state.hungry = hungry;
            // Ignored: woken or timed out, the puller looks again.
            let _ = self.pull.wait_for(&mut state, timeout);
            state.hungry = false;
        }
        std::mem::take(&mut state.news)
    }

    /// Records why the subscription ends by itself, and stops it.
    pub(crate) fn fail(&self, error: Error) {
        self.state.lock().failure.get_or_insert(error);
        self.stop();
    }

    // ---- the callback threads' side ----

    /// Begins a callback, at `now` by boot time.
    pub(crate) fn begin_callback(&self, token: Token, now: i64) -> Begin {
        let mut state = self.state.lock();
        state.queued -= 1;
        let held = state
            .outstanding
            .get(&token)
            .is_some_and(|deadline| *deadline > now);
        let begin = match state.phase {
            Phase::Stopped => Begin::Stopped,
            _ if !held => Begin::Expired,
            _ => Begin::Run,
        };
        if begin == Begin::Run {
            state.running += 1;
        } else {
            self.settled.notify_all();
        }
        begin
    }

    pub(crate) fn end_callback(&self, panicked: bool) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.panics += u64::from(panicked);
        if state.queued + state.running == 0 {
            // Wakes those who wait for idleness.
            self.settled.notify_all();
        }
    }

    /// The calling thread is one of the subscription's own.
    pub(crate) fn begin_thread(&self) {
        OWNER.set(self.address());
    }

    /// One thread of the subscription has ended.
    pub(crate) fn end_thread(&self) {
        self.state.lock().threads -= 1;
        self.settled.notify_all();
    }

    // ---- the callers' side ----

    pub(crate) fn add_thread(&self, handle: JoinHandle<()>) {
        self.state.lock().handles.push(handle);
    }

    /// `count` threads could not be started.
    pub(crate) fn forgo_threads(&self, count: usize) {
        self.state.lock().threads -= count;
    }

    /// Something may be ready to be leased.
    pub(crate) fn announce(&self) {
        self.state.lock().news = true;
        self.pull.notify_one();
    }

    /// These leases are over, whoever they belonged to.
    pub(crate) fn release(&self, tokens: impl Iterator<Item = Token>) {
        let mut state = self.state.lock();
        for token in tokens {
            state.outstanding.remove(&token);
        }
        if state.hungry {
            self.pull.notify_one();
        }
    }

    /// These leases were asked to end at another time.
    pub(crate) fn move_deadlines(&self, extended: impl Iterator<Item = (Token, i64, Outcome)>) {
        let mut state = self.state.lock();
        for (token, deadline, outcome) in extended {
            match outcome {
                Outcome::Done if state.outstanding.contains_key(&token) => {
                    state.hold(token, deadline);
                }
                Outcome::Done => {}
                Outcome::Gone => drop(state.outstanding.remove(&token)),
            }
        }
    }

    /// Stops pulling; returns once no lease will be taken any more.
    pub(crate) fn pause(&self) {
        let mut state = self.state.lock();
        state.phase = state.phase.max(Phase::Paused);
        self.pull.notify_one();
        // Without threads nobody leases, whatever a puller that panicked has left here.
        while state.leasing && state.threads > 0 {
            self.settled.wait(&mut state);
        }
    }

    /// Pulls again after a pause.
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Paused {
            state.phase = Phase::Pulling;
        }
        self.pull.notify_one();
    }

    /// Ends the subscription's threads; does not wait.
    pub(crate) fn stop(&self) {
        self.state.lock().phase = Phase::Stopped;
        self.pull.notify_one();
    }

    /// Waits until no callback is queued or running.
    pub(crate) fn wait_idle(&self) {
        let mut state = self.state.lock();
        while state.queued + state.running > 0 && state.threads > 0 {
            self.settled.wait(&mut state);
        }
    }

    /// Waits until every thread has ended; tells what ended the subscription.
    pub(crate) fn wait_ended(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        while state.threads > 0 {
            self.settled.wait(&mut state);
        }
        let handles = std::mem::take(&mut state.handles);
        let result = state.failure.clone().map_or(Ok(()), Err);
        drop(state);
        for handle in handles {
            // Ignored: a panic that reaches a thread's end was printed by the hook.
            let _ = handle.join();
        }
        result
    }

    /// Whether the calling thread is one of the subscription's own.
    pub(crate) fn is_own_thread(&self) -> bool {
        OWNER.get() == self.address()
    }

    #[cfg(test)]
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().phase == Phase::Stopped
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.state.lock().outstanding.len()
    }

    pub(crate) fn panics(&self) -> u64 {
        self.state.lock().panics
    }
}

impl State {
    fn hold(&mut self, token: Token, deadline: i64) {
        self.outstanding.insert(token, deadline);
        self.earliest = self.earliest.min(deadline);
    }

    /// How many more messages may be leased at `now`.
    fn room(&mut self, max_outstanding: usize, now: i64) -> usize {
        if self.earliest <= now {
            self.outstanding.retain(|_, deadline| *deadline > now);
            self.earliest = self.outstanding.values().copied().min().unwrap_or(i64::MAX);
        }
        // Messages whose lease ran out while they waited for a callback thread still take a place
        // in its queue.
        let taken = self.outstanding.len().max(self.queued);
        max_outstanding.saturating_sub(taken)
    }
}

thread_local! {
    /// The address of the gate whose thread this is; only compared.
    static OWNER: Cell<usize> = const { Cell::new(0) };
}
