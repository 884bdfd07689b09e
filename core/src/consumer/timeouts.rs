//! Handler timeouts: told, cancelled, reported as stuck.
//!
//! All handlers have the same timeout, so that they are due in the order in which they started:
//! each step is a queue, and no handler has a timer of its own. What is deliberately absent: a
//! settlement. A handler that was cancelled here ends like every other, and is settled then.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use super::builder::Builder;
use super::delivering::{Running, Stage};
use super::engine::Engine;
use crate::handler::Finish;
use crate::lease::Handle;
use crate::slots::Slots;
use crate::{Event, Instant, Timeout};

impl<B, C, H> Builder<B, C, H> {
    /// How long a handler may take. Default: as long as it likes.
    ///
    /// A handler that takes longer is told, then dropped, which is a failed attempt, and reported
    /// if it does not end even so: see [`Timeout`]. It keeps its permit until it has really ended,
    /// and its lease is extended up to [`lease_max`](Self::lease_max) and no longer. Work that it
    /// [shielded](crate::Delivery::shield) is not dropped. The time of a spawned handler counts
    /// from when the executor was given it.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Consumer, Delivery, Timeout, Verdict};
    /// use std::time::Duration;
    ///
    /// let timeout = Timeout { soft: Duration::from_secs(5), ..Timeout::default() };
    /// let builder = Consumer::builder()
    ///     .handler(async |delivery: &Delivery| {
    ///         if delivery.is_overdue() {
    ///             return Verdict::Retry { after: None };
    ///         }
    ///         Verdict::Ack
    ///     })
    ///     .handler_timeout(timeout);
    /// # drop(builder);
    /// ```
    pub fn handler_timeout(mut self, timeout: Timeout) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }
}

/// Who is to be looked at when.
#[derive(Debug)]
pub(super) struct Timeouts {
    timeout: Timeout,
    /// One for each step, each in the order in which it is due.
    queues: [VecDeque<Watched>; STEPS.len()],
}

/// A handler that was started.
#[derive(Clone, Copy, Debug)]
struct Watched {
    due: Instant,
    handle: Handle,
    /// Where it runs.
    slot: usize,
}

/// What happens to a handler that is due.
#[derive(Clone, Copy, Debug)]
enum Step {
    Tell,
    Cancel,
    Report,
}

impl Timeouts {
    pub(super) fn new(timeout: Timeout) -> Box<Self> {
        let queues = Default::default();
        Box::new(Self { timeout, queues })
    }

    /// When the first handler is due. It may have ended: then the look is for nothing.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let firsts = self.queues.iter().filter_map(VecDeque::front);
        firsts.map(|watched| watched.due).min()
    }

    /// From the step before to this one.
    fn pause(&self, step: Step) -> Duration {
        match step {
            Step::Tell => self.timeout.soft,
            Step::Cancel => self.timeout.cancel,
            Step::Report => self.timeout.stuck,
        }
    }

    fn push(&mut self, now: Instant, step: Step, handle: Handle, slot: usize) {
        // Later than all before it: the pause is the same and time does not go back.
        let due = now + self.pause(step);
        self.queues[step as usize].push_back(Watched { due, handle, slot });
    }
}

impl Engine<'_> {
    /// A handler was started in a slot.
    pub(super) fn watch(&mut self, now: Instant, handle: Handle, slot: usize) {
        let Some(timeouts) = self.timeouts.as_mut() else {
            return;
        };
        timeouts.push(now, STEPS[0], handle, slot);
        // Behind a handler that takes long there may be many that have ended.
        for queue in &mut timeouts.queues {
            if queue.len() > 2 * self.stats.running + COMPACT_MIN {
                let table = &self.table;
                let is_running = |watched: &Watched| {
                    let lease = table.get(watched.handle);
                    lease.is_some_and(|lease| matches!(lease.owner.stage, Stage::Running(_)))
                };
                queue.retain(is_running);
            }
        }
    }

    /// Looks after the handlers that are due; returns whether something happened.
    pub(super) fn poll_timeouts<F: Future<Output = Finish>>(
        &mut self,
        now: Instant,
        handlers: &mut Slots<F>,
        is_inline: bool,
    ) -> bool {
        let Some(mut timeouts) = self.timeouts.take() else {
            return false;
        };
        let mut is_busy = false;
        // From the last to the first: each is one step further at most.
        for (index, step) in STEPS.iter().enumerate().rev() {
            for _ in 0..POLL_COUNT_MAX {
                let Some(watched) = timeouts.queues[index].front().copied() else {
                    break;
                };
                let is_open = self.running_mut(watched.handle).is_some();
                if is_open && now < watched.due {
                    break;
                }
                timeouts.queues[index].pop_front();
                self.work += 1;
                if !is_open {
                    continue;
                }
                is_busy = true;
                let Watched { handle, slot, .. } = watched;
                match step {
                    Step::Tell => self.tell_overdue(handle, timeouts.timeout.soft),
                    // A task may have ended without its end having been looked at.
                    Step::Cancel
                        if !is_inline && handlers.poll_one(slot, handle, &mut self.finished) => {}
                    Step::Cancel => {
                        let after = timeouts.timeout.total();
                        if self.time_out(handle, after) && is_inline {
                            handlers.cancel_one(slot, handle, &mut self.finished);
                        }
                    }
                    Step::Report => {
                        let total = timeouts.timeout.total();
                        let after = total.saturating_add(timeouts.timeout.stuck);
                        self.report_stuck(handle, after);
                    }
                }
                if let Some(next) = STEPS.get(index + 1) {
                    timeouts.push(now, *next, handle, slot);
                }
            }
        }
        self.timeouts = Some(timeouts);
        is_busy
    }

    /// What is said of a handler that was cancelled because it took too long.
    pub(super) fn timed_out_error(&self, handle: Handle) -> Option<String> {
        let Stage::Running(running) = &self.table.get(handle)?.owner.stage else {
            return None;
        };
        let timeout = self.settings.timeout.filter(|_| running.is_timed_out)?;
        Some(format!("timed out after {:?}", timeout.total()))
    }

    fn tell_overdue(&mut self, handle: Handle, after: Duration) {
        self.emit_about(handle, |delivery| Event::HandlerOverdue { delivery, after });
        if let Some(lease) = self.table.get(handle) {
            lease.owner.delivery.set_overdue();
        }
    }

    /// Cancels a handler unless it has ended, or was cancelled by a stop, which is no failure of
    /// its own; returns whether it did.
    fn time_out(&mut self, handle: Handle, after: Duration) -> bool {
        let Some(lease) = self.table.get(handle) else {
            return false;
        };
        let delivery = lease.owner.delivery.clone();
        let Some(running) = self.running_mut(handle) else {
            return false;
        };
        if running.has_ended() || delivery.is_cancelled() {
            return false;
        }
        running.is_timed_out = true;
        self.stats.totals.timed_out += 1;
        self.emit_about(handle, |delivery| Event::HandlerTimedOut {
            delivery,
            after,
        });
        delivery.cancel();
        true
    }

    /// Neither the handler nor its shielded work may have ended.
    fn report_stuck(&mut self, handle: Handle, after: Duration) {
        if let Some(running) = self.running_mut(handle) {
            running.is_stuck = true;
            self.stats.stuck += 1;
            self.emit_about(handle, |delivery| Event::HandlerStuck { delivery, after });
        }
    }
}

impl Running {
    /// Whether only shielded work is left.
    fn has_ended(&self) -> bool {
        let shields = self.shields.as_ref();
        shields.is_some_and(|shields| shields.finish.is_some())
    }
}

/// In their order.
const STEPS: [Step; 3] = [Step::Tell, Step::Cancel, Step::Report];

/// How many handlers one pass looks at for each step.
const POLL_COUNT_MAX: usize = 256;

/// Below this many, handlers that have ended are not worth looking for.
const COMPACT_MIN: usize = 64;
