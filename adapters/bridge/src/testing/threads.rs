//! The threads of the fake SDK: each makes the calls it is given, one at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::parked::observe;
use super::script::{Call, Outcome, Record};
use crate::panic::contain;

/// How long anything may be waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was subscribed.
pub(super) type Callback<M, R> = Arc<dyn Fn(Call<M>) -> R + Send + Sync>;

/// What the fake and its threads share.
pub(super) struct Shared<M, R> {
    state: Mutex<State<M, R>>,
    pub(super) changed: Condvar,
}

pub(super) struct State<M, R> {
    pub(super) script: VecDeque<Line<M>>,
    /// How many lines the script has had.
    pub(super) lines: usize,
    pub(super) threads: Vec<Thread<M>>,
    pub(super) records: Vec<Record<R>>,
    pub(super) callback: Option<Callback<M, R>>,
    pub(super) is_paused: bool,
    pub(super) is_ended: bool,
}

pub(super) struct Line<M> {
    pub(super) number: usize,
    pub(super) thread: String,
    pub(super) call: Call<M>,
}

pub(super) struct Thread<M> {
    pub(super) name: String,
    pub(super) inbox: Option<Line<M>>,
    pub(super) status: Status,
    pub(super) handle: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    /// In a call, or about to make one.
    Running,
    /// In a call that waits for room.
    Parked,
}

impl<M, R> Default for State<M, R> {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            lines: 0,
            threads: Vec::new(),
            records: Vec::new(),
            callback: None,
            is_paused: false,
            is_ended: false,
        }
    }
}

impl<M, R> State<M, R> {
    pub(super) fn count(&self, status: Status) -> usize {
        self.threads.iter().filter(|it| it.status == status).count()
    }
}

impl<M, R> Shared<M, R> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<M, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the thread is not in a call, or parked in it.
    pub(super) fn settled<'a>(
        &'a self,
        state: MutexGuard<'a, State<M, R>>,
        index: usize,
    ) -> MutexGuard<'a, State<M, R>> {
        let what = format!("{} neither returns nor parks", state.threads[index].name);
        self.wait(state, &what, |state| {
            state.threads[index].status != Status::Running
        })
    }

    /// Waits until every thread has returned from its call.
    pub(super) fn wait_until_idle(&self) {
        let reached = |state: &State<M, R>| state.count(Status::Idle) == state.threads.len();
        drop(self.wait(self.lock(), "calls do not return", reached));
    }

    pub(super) fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<M, R>>,
        what: &str,
        is_reached: impl Fn(&State<M, R>) -> bool,
    ) -> MutexGuard<'a, State<M, R>> {
        let deadline = Instant::now() + PATIENCE;
        while !is_reached(&state) {
            let patience = deadline.saturating_duration_since(Instant::now());
            if patience.is_zero() {
                drop(state);
                panic!("{what} within {PATIENCE:?}");
            }
            state = self
                .changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state
    }
}

impl<M: Send + 'static, R: Send + 'static> Shared<M, R> {
    /// The thread of this name, started when it is first asked for.
    pub(super) fn thread_of(self: &Arc<Self>, state: &mut State<M, R>, name: &str) -> usize {
        let known = state.threads.iter().position(|thread| thread.name == name);
        known.unwrap_or_else(|| {
            let (index, shared) = (state.threads.len(), Arc::clone(self));
            let handle = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&shared, index))
                .expect("a test can start a thread");
            state.threads.push(Thread {
                name: name.to_owned(),
                inbox: None,
                status: Status::Idle,
                handle: Some(handle),
            });
            index
        })
    }
}

/// The life of a thread of the SDK's.
fn work<M: Send + 'static, R: Send + 'static>(shared: &Arc<Shared<M, R>>, index: usize) {
    let observed = Arc::clone(shared);
    observe(move |is_parked| {
        let status = if is_parked {
            Status::Parked
        } else {
            Status::Running
        };
        observed.lock().threads[index].status = status;
        observed.changed.notify_all();
    });
    let mut state = shared.lock();
    loop {
        if let Some(line) = state.threads[index].inbox.take() {
            let callback = state.callback.clone();
            drop(state);
            let record = callback.map(|callback| make_call(&*callback, line));
            state = shared.lock();
            state.records.extend(record);
            state.threads[index].status = Status::Idle;
            shared.changed.notify_all();
        } else if state.is_ended {
            return;
        } else {
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn make_call<M, R>(callback: &dyn Fn(Call<M>) -> R, line: Line<M>) -> Record<R> {
    let Line {
        number,
        thread,
        call,
    } = line;
    let outcome = match contain(|| callback(call)) {
        Ok(result) => Outcome::Returned(result),
        Err(panic) => Outcome::Panicked(panic.message().to_owned()),
    };
    Record {
        line: number,
        thread,
        outcome,
    }
}
