//! Shutdown: the phases of a stop, each with a deadline.

use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;

use super::delivering::{End, Stage};
use super::engine::Engine;
use crate::handler::Finish;
use crate::lease::Handle;
use crate::order::Tails;
use crate::slots::Slots;
use crate::{Event, Failure, Instant, Phase, Plan, Settle};

/// How far a stop has come.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// When the present phase ends at the latest.
    pub(super) deadline: Option<Instant>,
    pub(super) requests: u32,
    /// Whether the waker of this poll of `run()` is woken by a stop.
    pub(super) is_heard: bool,
    plan: Plan,
    /// From where in the lease table on deliveries are to be given up, once they are.
    giving_up: Option<u32>,
    /// Who waited for somebody else of the same key when the stop began, and is to be handed back.
    tails: Option<Tails<Handle>>,
}

impl Shutdown {
    /// Whether nothing is waited for any more.
    pub(super) fn is_giving_up(&self) -> bool {
        self.giving_up.is_some()
    }
}

/// How far handlers have been cancelled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cancelling {
    /// They are told, from this place in the lease table on.
    Telling(u32),
    /// They are dropped, from this slot on.
    Dropping(usize),
}

impl Engine<'_> {
    pub(super) fn poll_stops(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        // A plain look, in all passes but the first.
        if self.shutdown.is_heard && self.stops.is_empty() {
            return false;
        }
        let mut is_busy = false;
        while let Poll::Ready(Some(plan)) = self.stops.poll_next_unpin(cx) {
            is_busy = true;
            self.shutdown.requests += 1;
            match self.shutdown.requests {
                1 => self.stop(now, plan),
                2 => self.hand_back(now, plan.flush),
                _ => self.hand_back(now, Duration::ZERO),
            }
        }
        self.shutdown.is_heard = true;
        is_busy
    }

    /// Stops the consumer, in order, because of a failure; the first one is reported.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
        }
    }

    /// Ends the drain as early as after a failure: nothing can be kept under lease any more.
    pub(super) fn hasten(&mut self, now: Instant) {
        if self.stats.phase == Phase::Draining {
            self.end_phase_by(Some(now + self.settings.failure_plan.drain));
        }
    }

    /// Has the present phase end by then, if not before.
    fn end_phase_by(&mut self, deadline: Option<Instant>) {
        let deadlines = [self.shutdown.deadline, deadline];
        self.shutdown.deadline = deadlines.into_iter().flatten().min();
    }

    /// Enters the next phase if this one is over. At most one at a time: each gets its pass.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        let is_late = self
            .shutdown
            .deadline
            .is_some_and(|deadline| now >= deadline);
        // What has been begun is done before the next phase, however much of it there is.
        if self.cancelling.is_some() || self.abandoned.is_some() || !self.answers.is_empty() {
            return true;
        }
        let is_idle = self.stats.running == 0 && !self.is_handing_back();
        match self.stats.phase {
            Phase::Running if self.failure.is_some() => self.drain(now, self.settings.failure_plan),
            Phase::Running if self.intake.is_closed() && self.table.is_empty() => {
                self.enter(now, Phase::Closed);
            }
            Phase::Draining if is_idle => self.enter(now, Phase::Flushing),
            Phase::Draining if is_late => {
                self.cancel_handlers();
                self.enter(now, Phase::Grace);
            }
            Phase::Grace if is_idle => self.enter(now, Phase::Flushing),
            Phase::Grace if is_late => {
                self.abandon_shields();
                // A cancelled task ends when its executor gets to it, which may be never: it is
                // waited for as long as the settlements are.
                self.enter(now, Phase::Flushing);
            }
            Phase::Flushing if self.intake.is_closed() && self.table.is_empty() => {
                self.enter(now, Phase::Closed);
            }
            Phase::Flushing if is_late => self.give_up(now),
            _ => return false,
        }
        true
    }

    /// Hands a message back that was not started.
    pub(super) fn release(&mut self, handle: Handle) {
        let settle = Settle::Nack {
            after: Duration::ZERO,
            counted: false,
        };
        self.settle(handle, settle, true);
    }

    /// First stop: in order, but no later than a failure allows.
    fn stop(&mut self, now: Instant, plan: Plan) {
        if self.failure.is_none() {
            return self.drain(now, plan);
        }
        if self.stats.phase == Phase::Running {
            self.drain(now, self.settings.failure_plan);
        }
        let set = &mut self.shutdown.plan;
        set.drain = set.drain.min(plan.drain);
        set.grace = set.grace.min(plan.grace);
        set.flush = set.flush.min(plan.flush);
        self.end_phase_by(self.stats.phase.limit(&plan).map(|limit| now + limit));
    }

    /// Nothing starts any more, handlers may finish.
    fn drain(&mut self, now: Instant, plan: Plan) {
        self.shutdown.plan = plan;
        self.enter(now, Phase::Draining);
        self.shared.draining.set();
        self.intake.close();
        self.shutdown.tails = self.end_order();
    }

    /// Hands back what has not started, a part at a time; returns whether it did.
    pub(super) fn release_waiting(&mut self) -> bool {
        if self.stats.phase == Phase::Running {
            return false;
        }
        // After those who might have started, so that each key is handed back in its order.
        if self.waiting.is_empty()
            && let Some(tails) = &mut self.shutdown.tails
            && !tails.append_to(&mut self.waiting, STEPS_MAX)
        {
            self.shutdown.tails = None;
        }
        let count = self.waiting.len().min(STEPS_MAX);
        for handle in self.waiting.drain(..count).collect::<Vec<_>>() {
            if let Some(lease) = self.table.get(handle)
                && matches!(lease.owner.stage, Stage::Buffered)
            {
                self.release(handle);
            }
        }
        self.work += count;
        count > 0 || self.shutdown.tails.is_some()
    }

    /// Whether there is more to be handed back at once, which is done a part at a time.
    pub(super) fn is_handing_back(&self) -> bool {
        let is_waiting = !self.waiting.is_empty() || self.shutdown.tails.is_some();
        let is_kept = self.stats.phase == Phase::Running;
        !self.leaving.is_empty() || !is_kept && (is_waiting || self.stats.parked > 0)
    }

    /// Cancels the handlers, a part at a time, if they are to be; returns whether they were.
    pub(super) fn poll_cancelling<F: Future<Output = Finish>>(
        &mut self,
        handlers: &mut Slots<F>,
        is_inline: bool,
    ) -> bool {
        let Some(cancelling) = self.cancelling.take() else {
            return false;
        };
        self.work += STEPS_MAX;
        let mut slot = 0;
        if let Cancelling::Telling(first) = cancelling {
            let (handles, next) = self.table.handles_from(first, STEPS_MAX);
            for handle in handles {
                if let Some(lease) = self.table.get(handle)
                    && matches!(lease.owner.stage, Stage::Running(_))
                {
                    lease.owner.delivery.cancel();
                }
            }
            self.cancelling = next.map(Cancelling::Telling);
        } else if let Cancelling::Dropping(first) = cancelling {
            slot = first;
        }
        // A handler that is a task drops its future itself.
        if self.cancelling.is_none() && is_inline {
            let next = handlers.cancel(slot, STEPS_MAX, &mut self.finished);
            self.cancelling = next.map(Cancelling::Dropping);
        }
        true
    }

    /// Second stop: only settlements are waited for. With no time for them: gives up.
    fn hand_back(&mut self, now: Instant, flush: Duration) {
        if self.stats.phase == Phase::Running {
            self.drain(now, self.shutdown.plan);
        }
        self.cancel_handlers();
        self.abandon_shields();
        self.shutdown.plan.flush = flush;
        if self.stats.phase < Phase::Flushing {
            self.enter(now, Phase::Flushing);
        } else {
            self.end_phase_by(Some(now + flush));
        }
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        self.stats.phase = phase;
        self.shutdown.deadline = phase.limit(&self.shutdown.plan).map(|limit| now + limit);
        self.emit(|| Event::Phase(phase));
    }

    /// Has every running handler told, and dropped before it is polled again.
    fn cancel_handlers(&mut self) {
        self.cancelling = Some(Cancelling::Telling(0));
    }

    /// Abandons what is left, a part at a time: nothing comes or is told any more.
    fn give_up(&mut self, now: Instant) {
        let first = self.shutdown.giving_up.unwrap_or_else(|| {
            self.intake.forget();
            0
        });
        let (handles, next) = self.table.handles_from(first, STEPS_MAX);
        self.work += STEPS_MAX;
        for handle in handles {
            self.end(handle, End::Abandoned);
        }
        match next {
            Some(next) => self.shutdown.giving_up = Some(next),
            None => self.enter(now, Phase::Closed),
        }
    }
}

/// Which request to stop is one to wait for nothing any more.
pub(super) const GIVE_UP: u32 = 3;

/// How many deliveries one pass of a stop looks at.
pub(super) const STEPS_MAX: usize = 256;
