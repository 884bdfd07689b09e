//! What the executor, the clock and the broker share: the time, the dice and who may run next.
//!
//! One lock guards all of it, and nothing foreign runs under it: wakers are cloned before the look,
//! collected in it and woken after it, and futures are dropped after it.

mod schedule;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures::task::FutureObj;
use mayhem_core::Instant;

use crate::by_task::ByTask;
use crate::fingerprint::Fingerprint;
use crate::guarded::{Guarded, Held, Hold};
use crate::hazards::{Hazards, Schedule};
use crate::timers::{TimerSlot, Timers};
use crate::{Dice, Violation};

pub(crate) use self::schedule::Next;

/// Names a task; `TaskId::MAIN` is the future given to `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(u64);

impl TaskId {
    pub(crate) const MAIN: Self = Self(0);
}

pub(crate) struct World {
    dice: Dice,
    state: Guarded<State>,
    /// Whether there is a violation, so that a look after each poll costs next to nothing.
    is_violated: AtomicBool,
    /// As `State::now` and `State::stolen`, which are asked for often.
    now_nanos: AtomicU64,
    stolen_nanos: AtomicU64,
    /// The hash of everything so far.
    hash: AtomicU64,
    serial: AtomicU64,
}

pub(crate) struct State {
    now: Instant,
    /// How much of the time went by in suspends, which a monotonic clock does not count.
    suspended: Duration,
    /// What the time of day has over the time since the start, in nanoseconds.
    wall_offset: i128,
    /// How much of the time went by although something could have run.
    stolen: Duration,
    polls: u64,
    hazards: Hazards,
    violation: Option<Violation>,
    tasks: ByTask<Task>,
    runnable: Vec<TaskId>,
    timers: Timers,
    /// Kept for its memory; empty.
    due: Vec<Waker>,
    spawned: Vec<(TaskId, FutureObj<'static, ()>)>,
}

struct Task {
    /// It is named by its number if it has no name.
    name: Option<String>,
    /// Counts polls: only the waker of the latest poll may wake the task, which is all that a
    /// future may rely on.
    poll: u64,
    is_runnable: bool,
    /// Under [`Schedule::Priorities`]: the highest runs first.
    priority: i64,
}

impl World {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            dice,
            is_violated: AtomicBool::new(false),
            now_nanos: AtomicU64::new(Instant::ZERO.as_nanos()),
            stolen_nanos: AtomicU64::new(0),
            hash: AtomicU64::new(0),
            serial: AtomicU64::new(0),
            state: Guarded::new(State {
                now: Instant::ZERO,
                suspended: Duration::ZERO,
                wall_offset: WALL_START,
                stolen: Duration::ZERO,
                polls: 0,
                hazards: Hazards::default(),
                violation: None,
                tasks: ByTask::default(),
                runnable: Vec::new(),
                timers: Timers::default(),
                due: Vec::new(),
                spawned: Vec::new(),
            }),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        // Relaxed: everything happens on one thread.
        Instant::from_nanos(self.now_nanos.load(Ordering::Relaxed))
    }

    /// Shows what `State::now` and `State::stolen` have become.
    fn show(&self, state: &State) {
        let stolen = u64::try_from(state.stolen.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: as above.
        self.now_nanos
            .store(state.now.as_nanos(), Ordering::Relaxed);
        self.stolen_nanos.store(stolen, Ordering::Relaxed);
    }

    pub(crate) fn dice(&self) -> &Dice {
        &self.dice
    }

    pub(crate) fn set_hazards(&self, hazards: Hazards) {
        self.state.with(|state| state.hazards = hazards);
    }

    /// The first violation counts.
    pub(crate) fn violate(&self, violation: Violation) {
        self.state.with(|state| {
            state.violation.get_or_insert(violation);
        });
        // Relaxed: everything happens on one thread.
        self.is_violated.store(true, Ordering::Relaxed);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        let is_violated = self.is_violated.load(Ordering::Relaxed);
        let violation = is_violated.then(|| self.state.with(|state| state.violation.clone()));
        violation.flatten()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.state.with(|state| state.polls)
    }

    pub(crate) fn stolen(&self) -> Duration {
        // Relaxed: as above.
        Duration::from_nanos(self.stolen_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn suspended(&self) -> Duration {
        self.state.with(|state| state.suspended)
    }

    pub(crate) fn wall_offset(&self) -> i128 {
        self.state.with(|state| state.wall_offset)
    }

    pub(crate) fn set_wall_offset(&self, nanos: i128) {
        self.state.with(|state| state.wall_offset = nanos);
    }

    /// Suspends the machine: time goes by, but not for a monotonic clock.
    pub(crate) fn suspend(&self, duration: Duration) {
        self.advance(duration);
        self.state.with(|state| state.suspended += duration);
    }

    /// Adds what happens now to the hash of everything.
    pub(crate) fn record(&self, event: &impl Hash) {
        // Relaxed: as above.
        let mut hasher = Fingerprint::resume(self.hash.load(Ordering::Relaxed));
        (self.now(), event).hash(&mut hasher);
        self.hash.store(hasher.pause(), Ordering::Relaxed);
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        // Relaxed: as above.
        Fingerprint::resume(self.hash.load(Ordering::Relaxed)).finish()
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.state.with(|state| {
            state.now = state.now + duration;
            state.stolen += duration;
            self.show(state);
        });
    }

    /// The name of a task or a timer; later ones are larger.
    pub(crate) fn next_serial(&self) -> u64 {
        // Relaxed: as above.
        let serial = self.serial.load(Ordering::Relaxed) + 1;
        self.serial.store(serial, Ordering::Relaxed);
        serial
    }

    /// Sets a timer that is not due yet.
    pub(crate) fn set_timer(&self, deadline: Instant, id: u64, waker: &Waker) -> TimerSlot {
        let waker = waker.clone();
        self.state
            .with(|state| state.timers.set(deadline, id, waker))
    }

    /// Has a timer that is not due yet wake another.
    pub(crate) fn replace_waker(&self, slot: TimerSlot, id: u64, waker: &Waker) {
        let waker = waker.clone();
        let replaced = self
            .state
            .with(|state| state.timers.replace(slot, id, waker));
        // After the look: dropping a waker may run foreign code.
        drop(replaced);
    }

    pub(crate) fn forget_timer(&self, id: u64, slot: TimerSlot) {
        // As above.
        drop(self.state.with(|state| state.timers.forget(slot, id)));
    }

    pub(crate) fn add_task(&self, name: Option<&str>) -> TaskId {
        let id = TaskId(self.next_serial());
        let name = name.map(str::to_owned);
        self.state.with(|state| {
            let priority = self.draw_priority(state);
            state.add(id, name, priority);
        });
        id
    }

    pub(crate) fn add_main(&self) {
        self.state.with(|state| {
            let is_nested = state.tasks.get(TaskId::MAIN).is_some();
            assert!(!is_nested, "a simulation is run by one caller at a time");
            let priority = self.draw_priority(state);
            state.add(TaskId::MAIN, Some("main".to_owned()), priority);
        });
    }

    fn draw_priority(&self, state: &State) -> i64 {
        match state.hazards.schedule {
            Schedule::Priorities => self.dice.choose("priority", 1 << 16).cast_signed(),
            _ => 0,
        }
    }

    pub(crate) fn spawn(&self, future: FutureObj<'static, ()>) {
        let id = self.add_task(None);
        self.state.with(|state| state.spawned.push((id, future)));
    }

    pub(crate) fn take_spawned(&self) -> Vec<(TaskId, FutureObj<'static, ()>)> {
        self.state.with(|state| std::mem::take(&mut state.spawned))
    }

    pub(crate) fn remove_task(&self, id: TaskId) {
        self.state.with(|state| {
            state.tasks.remove(id);
            state.runnable.retain(|runnable| *runnable != id);
        });
    }

    /// Forgets every task but the one that is being run.
    pub(crate) fn forget_tasks(&self) {
        self.state.with(|state| {
            state.tasks.retain(|id| id == TaskId::MAIN);
            state.runnable.retain(|id| *id == TaskId::MAIN);
        });
    }

    pub(crate) fn task_names(&self) -> Vec<String> {
        let name = |(TaskId(number), task): &(TaskId, Task)| {
            let name = task.name.clone();
            name.unwrap_or_else(|| format!("task-{number}"))
        };
        self.state
            .with(|state| state.tasks.iter().map(name).collect())
    }

    pub(crate) fn task_count(&self) -> usize {
        self.state.with(|state| state.tasks.len())
    }
}

impl Hold for World {
    fn hold(&self) -> Held<'_> {
        self.state.hold()
    }
}

impl State {
    fn add(&mut self, id: TaskId, name: Option<String>, priority: i64) {
        let task = Task {
            name,
            poll: 0,
            is_runnable: false,
            priority,
        };
        self.tasks.insert(id, task);
        self.make_runnable(id);
    }

    fn make_runnable(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(id)
            && !task.is_runnable
        {
            task.is_runnable = true;
            self.runnable.push(id);
        }
    }
}

/// A simulation begins at noon of the first of January 2026, as nanoseconds since 1970.
const WALL_START: i128 = 1_767_268_800_000_000_000;
