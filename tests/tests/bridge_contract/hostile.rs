//! An executor that does everything an executor may do and that nobody expects.
//!
//! - It polls late: a woken task lies about while others overtake it.
//! - It wakes inline: half of the wakes poll the task there and then, on the thread that wakes, so
//!   the bridge's own stack is below the task's.
//! - It moves tasks: any of its threads, and any that wakes, may be the next to poll.
//! - It polls tasks that nobody has woken, a few times each, so that a lost wake still shows, and
//!   gives a fresh waker to every poll.
//! - It drops tasks unpolled: beside the suite's it takes two of its own, and their owners must be
//!   told.
//!
//! What it may not do: lose a wake, poll a task twice at a time, or poll one that has ended.

use std::any::Any;
use std::collections::VecDeque;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use mayhem_bridge::{JoinError, Overflow, Portal, Push, callback_stream};

use crate::executors::Task;

/// Runs tasks to their end, as badly as is allowed.
pub(crate) fn hostile_executor(tasks: Vec<Task>) {
    let (portal, driver) = Portal::builder().name("doomed").build();
    let waiting = portal.run_coroutine_threadsafe(pending::<()>());
    let (sink, stream) = callback_stream::<u32>("doomed")
        .capacity(1)
        .overflow(Overflow::Fail)
        .build();
    let doomed = [driver.map(drop).boxed(), async { drop(stream) }.boxed()];

    let executor = Arc::new(Executor::default());
    executor.lock().open = tasks.len() + doomed.len();
    for (index, task) in tasks.into_iter().enumerate() {
        Arc::new(Hosted::new(&executor, index, task, false)).wake_late();
    }
    for task in doomed {
        Arc::new(Hosted::new(&executor, 0, task, true)).wake_late();
    }
    thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(|| executor.work())));
    });

    let panic = executor.lock().panic.take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    let waited = waiting.expect("the driver was there").wait();
    assert!(matches!(waited, Err(JoinError::PortalClosed)), "{waited:?}");
    assert_eq!(sink.push(1), Push::Closed(1));
}

#[derive(Default)]
struct Executor {
    state: Mutex<State>,
    changed: Condvar,
    wakes: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Tasks that were woken, or are to be polled for the first time.
    late: VecDeque<Arc<Hosted>>,
    /// Tasks that nobody has woken, for polls without a reason.
    idle: VecDeque<Weak<Hosted>>,
    /// Tasks that have not ended.
    open: usize,
    panic: Option<Box<dyn Any + Send>>,
    random: usize,
}

impl Executor {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// One thread of the executor, until all tasks have ended.
    fn work(&self) {
        let mut state = self.lock();
        while state.open > 0 && state.panic.is_none() {
            state.random = scramble(state.random);
            let random = state.random;
            if let Some(task) = state.any_late(random) {
                drop(state);
                // Late: whoever else is ready goes first.
                (0..random % 16).for_each(|_| thread::yield_now());
                task.run();
                state = self.lock();
                continue;
            }
            let unasked = state.idle.pop_front().and_then(|task| task.upgrade());
            (state, _) = self
                .changed
                .wait_timeout(state, Duration::from_millis(1))
                .expect("no panic under this lock");
            if let Some(task) = unasked {
                drop(state);
                task.poll_unasked();
                state = self.lock();
            }
        }
        self.changed.notify_all();
    }
}

impl State {
    /// Not the first: the order of wakes is not the order of polls.
    fn any_late(&mut self, random: usize) -> Option<Arc<Hosted>> {
        let count = self.late.len().max(1);
        self.late.swap_remove_back(random % count)
    }
}

/// A task, and what is to be done with it.
struct Hosted {
    executor: Arc<Executor>,
    index: usize,
    is_doomed: bool,
    /// What runs. Empty once it has ended; locked only by the thread whose turn it is.
    future: Mutex<Option<Task>>,
    turn: Mutex<Turn>,
    /// How often it was offered to be polled for no reason.
    unasked: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nobody has woken it.
    Idle,
    /// It was woken, and a thread will poll it.
    Woken,
    /// A thread polls it.
    Polled,
    /// A thread polls it, and it was woken since.
    PolledAndWoken,
    Ended,
}

impl Hosted {
    fn new(executor: &Arc<Executor>, index: usize, task: Task, is_doomed: bool) -> Self {
        Self {
            executor: Arc::clone(executor),
            index,
            is_doomed,
            future: Mutex::new(Some(task)),
            turn: Mutex::new(Turn::Woken),
            unasked: AtomicUsize::new(0),
        }
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().expect("no panic under this lock")
    }

    fn wake_late(self: Arc<Self>) {
        let executor = Arc::clone(&self.executor);
        executor.lock().late.push_back(self);
        executor.changed.notify_one();
    }

    fn wake_by(self: Arc<Self>) {
        let mut turn = self.turn();
        match *turn {
            Turn::Idle => *turn = Turn::Woken,
            Turn::Polled => {
                *turn = Turn::PolledAndWoken;
                return;
            }
            Turn::Woken | Turn::PolledAndWoken | Turn::Ended => return,
        }
        drop(turn);
        // Relaxed: any mixture of the two ways is fine.
        if self.executor.wakes.fetch_add(1, Ordering::Relaxed) % 2 == self.index % 2 {
            self.run();
        } else {
            self.wake_late();
        }
    }

    fn poll_unasked(self: Arc<Self>) {
        let mut turn = self.turn();
        if *turn != Turn::Idle {
            return;
        }
        *turn = Turn::Woken;
        drop(turn);
        self.run();
    }

    /// Polls the task, on whatever thread this is; it was woken, so the turn is ours.
    fn run(self: Arc<Self>) {
        *self.turn() = Turn::Polled;
        // A fresh waker each time: none of them will wake another.
        let waker = Waker::from(Arc::new(Waking(Arc::clone(&self))));
        let mut slot = self.future.lock().expect("panics are caught below");
        let polled = catch_unwind(AssertUnwindSafe(|| match slot.as_mut() {
            Some(future) if !self.is_doomed => future.poll_unpin(&mut Context::from_waker(&waker)),
            _ => Poll::Ready(()),
        }));
        if matches!(polled, Ok(Poll::Pending)) {
            drop(slot);
            self.after_pending();
            return;
        }
        // Dropped here, on the thread of the last poll, or of none.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(slot.take())));
        drop(slot);
        *self.turn() = Turn::Ended;
        let mut state = self.executor.lock();
        state.open -= 1;
        if let Err(panic) = polled.map(drop).and(dropped) {
            state.panic.get_or_insert(panic);
        }
        drop(state);
        self.executor.changed.notify_all();
    }

    fn after_pending(self: Arc<Self>) {
        let mut turn = self.turn();
        if *turn == Turn::PolledAndWoken {
            *turn = Turn::Woken;
            drop(turn);
            self.wake_late();
            return;
        }
        *turn = Turn::Idle;
        drop(turn);
        // Relaxed: a limit, and whoever polls has the turn.
        if self.unasked.fetch_add(1, Ordering::Relaxed) < UNASKED_MAX {
            let task = Arc::downgrade(&self);
            self.executor.lock().idle.push_back(task);
        }
    }
}

/// One poll's waker.
struct Waking(Arc<Hosted>);

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        Arc::clone(&self.0).wake_by();
    }
}

/// The next of a sequence without a pattern that matters here.
fn scramble(random: usize) -> usize {
    (random ^ 0x9e37_79b9)
        .wrapping_mul(0x85eb_ca6b)
        .rotate_left(13)
}

/// Polls without a reason that a task gets.
const UNASKED_MAX: usize = 8;

/// More than this machine may have processors.
const THREADS: usize = 3;
