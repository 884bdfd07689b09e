//! Which of the tasks that can run is next.

use super::{State, TaskId};
use crate::Dice;
use crate::hazards::Schedule;

impl State {
    /// Takes the next task off the runnable ones, of which there is at least one.
    pub(super) fn pick(&mut self, dice: &Dice) -> TaskId {
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
        let priority = |id: &TaskId| tasks.get(id).map_or(0, |task| task.priority);
        let mut most = 0;
        for index in 1..runnable.len() {
            if priority(&runnable[index]) > priority(&runnable[most]) {
                most = index;
            }
        }
        // A change point: the most urgent becomes the least urgent.
        if runnable.len() > 1 && dice.chance("priority change", PRIORITY_CHANGE) {
            let least = tasks.values().map(|task| task.priority).min().unwrap_or(0);
            if let Some(task) = tasks.get_mut(&runnable[most]) {
                task.priority = least - 1;
            }
        }
        most
    }
}

/// How often the most urgent task loses its rank.
const PRIORITY_CHANGE: f64 = 1.0 / 64.0;
