//! What is next: which of the tasks that can run, or the jump to the next timer.

use std::sync::Arc;
use std::task::{Wake, Waker};

use futures::task::FutureObj;

use super::{State, TaskId, World};
use crate::Dice;
use crate::hazards::Schedule;

/// What an executor is to do next.
pub(crate) enum Next {
    /// Take up what was spawned.
    Add(Vec<(TaskId, FutureObj<'static, ()>)>),
    /// Wake those whose timers are due.
    Wake(Vec<Waker>),
    /// Poll a task.
    Poll(TaskId, Waker),
    /// Nothing can run, and no timer is set.
    Nothing,
}

impl World {
    /// What is next, after a task was polled that `waits`, if it does.
    pub(crate) fn next(self: &Arc<Self>, waits: Option<TaskId>) -> Next {
        self.state.with(|state| {
            if let Some(id) = waits {
                self.wake_for_nothing(state, id);
            }
            if !state.spawned.is_empty() {
                return Next::Add(std::mem::take(&mut state.spawned));
            }
            if let Some(due) = self.take_due(state) {
                return Next::Wake(due);
            }
            match self.pick(state) {
                Some((id, waker)) => Next::Poll(id, waker),
                None => Next::Nothing,
            }
        })
    }

    /// Wakes those whose timers are due.
    pub(crate) fn wake(&self, mut due: Vec<Waker>) {
        due.drain(..).for_each(Waker::wake);
        // Its memory is used again.
        self.state.with(|state| state.due = due);
    }

    /// Now and then makes a task that is waiting runnable for no reason, as executors may.
    fn wake_for_nothing(&self, state: &mut State, id: TaskId) {
        if self
            .dice
            .chance("spurious poll", state.hazards.spurious_poll)
        {
            state.make_runnable(id);
        }
    }

    /// Whoever is to be woken by now; when nothing can run, after a jump to the next timer.
    fn take_due(&self, state: &mut State) -> Option<Vec<Waker>> {
        let is_idle = state.runnable.is_empty();
        let next = state.timers.first()?;
        if next > state.now && !is_idle {
            return None;
        }
        let mut now = state.now.max(next);
        if is_idle && self.dice.chance("timer late", state.hazards.timer_late) {
            let late = self.dice.duration("how late", state.hazards.timer_late_max);
            now = now + late;
            state.stolen += late;
        }
        state.now = now;
        self.show(state);
        let mut due = std::mem::take(&mut state.due);
        due.extend(std::iter::from_fn(|| state.timers.pop_due(now)));
        Some(due)
    }

    /// Picks one of the runnable tasks, and the waker of its next poll.
    fn pick(self: &Arc<Self>, state: &mut State) -> Option<(TaskId, Waker)> {
        if state.runnable.is_empty() {
            return None;
        }
        state.polls += 1;
        if self.dice.chance("process pause", state.hazards.pause) {
            let pause = self.dice.duration("pause", state.hazards.pause_max);
            state.now = state.now + pause;
            state.stolen += pause;
            self.show(state);
        }
        let id = state.pick(&self.dice);
        self.record(&id);
        // A runnable task is in the table: `remove_task` clears both.
        let task = state.tasks.get_mut(id)?;
        task.is_runnable = false;
        task.poll += 1;
        let waker = TaskWaker {
            world: Arc::clone(self),
            id,
            poll: task.poll,
        };
        Some((id, Arc::new(waker).into()))
    }
}

impl State {
    /// Takes the next task off the runnable ones, of which there is at least one.
    fn pick(&mut self, dice: &Dice) -> TaskId {
        let count = self.runnable.len();
        let index = match self.hazards.schedule {
            Schedule::Random => usize::try_from(dice.choose("next task", count as u64)),
            Schedule::Fifo => Ok(0),
            Schedule::Lifo => Ok(count - 1),
            Schedule::Priorities => Ok(self.most_urgent(dice)),
        };
        // In order, so that the first in is the first.
        self.runnable.remove(index.unwrap_or(0).min(count - 1))
    }

    fn most_urgent(&mut self, dice: &Dice) -> usize {
        let State {
            runnable, tasks, ..
        } = self;
        let priority = |id: &TaskId| tasks.get(*id).map_or(0, |task| task.priority);
        let mut most = 0;
        for index in 1..runnable.len() {
            if priority(&runnable[index]) > priority(&runnable[most]) {
                most = index;
            }
        }
        // A change point: the most urgent becomes the least urgent.
        if runnable.len() > 1 && dice.chance("priority change", PRIORITY_CHANGE) {
            let least = tasks
                .iter()
                .map(|(_, task)| task.priority)
                .min()
                .unwrap_or(0);
            if let Some(task) = tasks.get_mut(runnable[most]) {
                task.priority = least - 1;
            }
        }
        most
    }
}

struct TaskWaker {
    world: Arc<World>,
    id: TaskId,
    poll: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.world.state.with(|state| {
            let task = state.tasks.get(self.id);
            if task.is_some_and(|task| task.poll == self.poll) {
                state.make_runnable(self.id);
            }
        });
    }
}

/// How often the most urgent task loses its rank.
const PRIORITY_CHANGE: f64 = 1.0 / 24.0;
