//! What the executor, the clock and the broker share: the time, the dice and who may run next.
//!
//! One lock guards all of it. Nothing foreign runs under it: wakers are collected first and woken,
//! and futures dropped, after it is released.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use futures::task::FutureObj;
use mayhem_core::Instant;

/// Names a task; `TaskId::MAIN` is the future given to `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(u64);

impl TaskId {
    pub(crate) const MAIN: Self = Self(0);
}

pub(crate) struct World {
    state: Mutex<State>,
}

pub(crate) struct State {
    now: Instant,
    dice: Rng,
    hasher: DefaultHasher,
    tasks: BTreeMap<TaskId, Task>,
    runnable: Vec<TaskId>,
    timers: BTreeMap<(Instant, u64), Waker>,
    spawned: Vec<(TaskId, FutureObj<'static, ()>)>,
    serial: u64,
}

struct Task {
    name: String,
    /// Counts polls: only the waker of the latest poll may wake the task, which is all that a
    /// future may rely on.
    poll: u64,
    is_runnable: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                now: Instant::ZERO,
                dice: Rng::with_seed(seed),
                // Keyed with constants, so that a fingerprint is the same in every process.
                hasher: DefaultHasher::new(),
                tasks: BTreeMap::new(),
                runnable: Vec::new(),
                timers: BTreeMap::new(),
                spawned: Vec::new(),
                serial: 0,
            }),
        })
    }

    /// A panicking task leaves the state whole: nothing foreign runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        self.lock().now
    }

    /// A generator of its own, so that one part's draws do not shift another's.
    pub(crate) fn fork_dice(&self) -> Rng {
        self.lock().dice.fork()
    }

    pub(crate) fn record(&self, event: &impl Hash) {
        let mut state = self.lock();
        let State { hasher, now, .. } = &mut *state;
        now.hash(hasher);
        event.hash(hasher);
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.lock().hasher.finish()
    }

    pub(crate) fn advance(&self, duration: Duration) {
        let mut state = self.lock();
        state.now = state.now + duration;
    }

    pub(crate) fn timer_id(&self) -> u64 {
        self.lock().next_serial()
    }

    /// Sets a timer, or replaces its waker; `false` when it is due already.
    pub(crate) fn set_timer(&self, deadline: Instant, id: u64, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.lock();
        if deadline <= state.now {
            return false;
        }
        let replaced = state.timers.insert((deadline, id), waker);
        drop(state);
        // Dropped outside the lock: dropping a waker may run foreign code.
        drop(replaced);
        true
    }

    pub(crate) fn forget_timer(&self, deadline: Instant, id: u64) {
        let forgotten = self.lock().timers.remove(&(deadline, id));
        // As above.
        drop(forgotten);
    }

    /// Wakes everything due; when nothing can run, jumps to the next timer first.
    ///
    /// `false` when there is nothing to wait for either.
    pub(crate) fn advance_if_idle(&self) -> bool {
        let due = {
            let mut state = self.lock();
            let is_idle = state.runnable.is_empty();
            let Some((&(next, _), _)) = state.timers.first_key_value() else {
                return !is_idle;
            };
            if next > state.now && !is_idle {
                return true;
            }
            let now = state.now.max(next);
            state.now = now;
            let later = state.timers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.timers, later)
        };
        due.into_values().for_each(Waker::wake);
        true
    }

    pub(crate) fn add_task(&self, name: Option<&str>) -> TaskId {
        let mut state = self.lock();
        let id = TaskId(state.next_serial());
        let name = name.map_or_else(|| format!("task-{}", id.0), str::to_owned);
        state.add(id, name);
        id
    }

    pub(crate) fn add_main(&self) {
        let mut state = self.lock();
        let is_nested = state.tasks.contains_key(&TaskId::MAIN);
        assert!(!is_nested, "a simulation is run by one caller at a time");
        state.add(TaskId::MAIN, "main".to_owned());
    }

    pub(crate) fn spawn(&self, future: FutureObj<'static, ()>) {
        let id = self.add_task(None);
        self.lock().spawned.push((id, future));
    }

    pub(crate) fn take_spawned(&self) -> Vec<(TaskId, FutureObj<'static, ()>)> {
        std::mem::take(&mut self.lock().spawned)
    }

    pub(crate) fn remove_task(&self, id: TaskId) {
        let mut state = self.lock();
        state.tasks.remove(&id);
        state.runnable.retain(|runnable| *runnable != id);
    }

    /// Picks one of the runnable tasks by seed, and the waker of its next poll.
    pub(crate) fn pick(self: &Arc<Self>) -> Option<(TaskId, Waker)> {
        let mut state = self.lock();
        if state.runnable.is_empty() {
            return None;
        }
        let State { runnable, dice, .. } = &mut *state;
        let id = runnable.swap_remove(dice.usize(..runnable.len()));
        let State {
            tasks, hasher, now, ..
        } = &mut *state;
        (*now, id).hash(hasher);
        // A runnable task is in the table: `remove_task` clears both.
        let task = tasks.get_mut(&id)?;
        task.is_runnable = false;
        task.poll += 1;
        let waker = TaskWaker {
            world: Arc::clone(self),
            id,
            poll: task.poll,
        };
        Some((id, Arc::new(waker).into()))
    }

    /// Now and then makes a task that is waiting runnable for no reason, as executors may.
    pub(crate) fn wake_for_nothing(&self, id: TaskId) {
        let mut state = self.lock();
        if state.dice.u32(..SPURIOUS_ONE_IN) == 0 {
            state.make_runnable(id);
        }
    }

    pub(crate) fn task_names(&self) -> Vec<String> {
        let state = self.lock();
        state.tasks.values().map(|task| task.name.clone()).collect()
    }

    pub(crate) fn task_count(&self) -> usize {
        self.lock().tasks.len()
    }
}

impl State {
    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn add(&mut self, id: TaskId, name: String) {
        let task = Task {
            name,
            poll: 0,
            is_runnable: false,
        };
        self.tasks.insert(id, task);
        self.make_runnable(id);
    }

    fn make_runnable(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id)
            && !task.is_runnable
        {
            task.is_runnable = true;
            self.runnable.push(id);
        }
    }
}

struct TaskWaker {
    world: Arc<World>,
    id: TaskId,
    poll: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut state = self.world.lock();
        if state
            .tasks
            .get(&self.id)
            .is_some_and(|task| task.poll == self.poll)
        {
            state.make_runnable(self.id);
        }
    }
}

/// One poll in this many is followed by another one that nothing asked for.
const SPURIOUS_ONE_IN: u32 = 32;
