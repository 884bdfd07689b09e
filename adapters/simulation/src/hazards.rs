//! What an executor and its machine may do to a program.

use std::time::Duration;

use crate::Dice;

/// How a [`Simulation`](crate::Simulation) treats its tasks. Probabilities are from 0 to 1.
#[derive(Clone, Debug)]
pub struct Hazards {
    /// Which task runs next.
    pub schedule: Schedule,
    /// Per poll of a task that waits: it is polled once more for no reason; 1 in 32 by default.
    pub spurious_poll: f64,
    /// Per poll: the whole process stands still before it; 0 by default.
    pub pause: f64,
    /// The longest such pause.
    pub pause_max: Duration,
    /// Per jump to the next timer: it fires late, and with it all that came due meanwhile; 0 by
    /// default.
    pub timer_late: f64,
    /// How late at the most.
    pub timer_late_max: Duration,
}

/// Which of the tasks that can run is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Any of them.
    #[default]
    Random,
    /// The one that has waited longest.
    Fifo,
    /// The one that was woken last.
    Lifo,
    /// The most urgent by a priority that each is given at random, and that now and then is lost:
    /// finds what needs one task to be starved.
    Priorities,
}

impl Default for Hazards {
    fn default() -> Self {
        Self {
            schedule: Schedule::Random,
            spurious_poll: 1.0 / 32.0,
            pause: 0.0,
            pause_max: Duration::ZERO,
            timer_late: 0.0,
            timer_late_max: Duration::ZERO,
        }
    }
}

impl Hazards {
    /// Draws a mixture of its own for one run: the many together would hide what a few do.
    pub fn swarm(dice: &Dice) -> Self {
        Self {
            schedule: dice.pick(
                "swarm: schedule",
                &[
                    Schedule::Fifo,
                    Schedule::Random,
                    Schedule::Priorities,
                    Schedule::Lifo,
                ],
            ),
            spurious_poll: swarm_rate(dice, "swarm: spurious poll", 0.03),
            pause: swarm_rate(dice, "swarm: pause", 0.000_5),
            pause_max: dice.pick("swarm: longest pause", &[1, 10, 120]) * SECOND,
            timer_late: swarm_rate(dice, "swarm: timer late", 0.01),
            timer_late_max: dice.pick("swarm: latest timer", &[1, 3, 30]) * SECOND / 10,
        }
    }

    /// Whether the process never stands still and every timer fires in time.
    pub fn is_punctual(&self) -> bool {
        self.pause <= 0.0 && self.timer_late <= 0.0
    }
}

/// A rate of 0, `base`, or 4 or 10 times as much.
pub(crate) fn swarm_rate(dice: &Dice, label: &'static str, base: f64) -> f64 {
    base * dice.pick(label, &[0.0, 0.0, 1.0, 1.0, 4.0, 10.0])
}

const SECOND: Duration = Duration::from_secs(1);
