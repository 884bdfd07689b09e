//! The ladder for handlers that take too long: told, cancelled, reported; no step too early or left
//! out.

use std::time::Duration;

use mayhem_core::{Delivery, DeliveryKey, MessageId};

use super::checks::{Checks, End, Generation, Mark};
use super::{Broken, Time};

/// How far a handler has come on the ladder.
#[derive(Default)]
pub(super) struct Ladder {
    pub(super) is_timed_out: bool,
    overdue_at: Option<Mark>,
    is_stuck: bool,
    /// Whether it may have been another of its name that was told of.
    is_unclear: bool,
}

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rung {
    Overdue,
    TimedOut,
    Stuck,
}

impl Generation {
    /// Whether it is known to be the one that was told of.
    fn is_clear(&self) -> bool {
        !self.ladder.is_unclear && !self.known.is_unsure
    }

    /// How long ago its handler was started.
    fn took(&self, time: Time) -> Duration {
        time.now - self.started.now
    }

    /// Whether a step was due after `due`, and the consumer had the time to tell of it.
    fn is_beyond(&self, due: Duration, time: Time) -> bool {
        let stolen = time.stolen - self.started.stolen;
        self.took(time) > due + stolen + SLACK
    }
}

impl Checks {
    /// A handler has come to the next step: is it due, and was it not there before?
    pub(super) fn rung(&mut self, rung: Rung, key: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let (stolen_at, newest) = (self.stolen_at.now, self.newest);
        let timeout = self.promises.timeout;
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        let is_named = |it: &&mut Generation| it.attempt == key.attempt && !it.known.is_over;
        let named = message.generations.iter_mut().filter(is_named).count();
        if named > 1 {
            let named = message.generations.iter_mut().filter(is_named);
            named.for_each(|it| it.ladder.is_unclear = true);
        }
        let Some(generation) = message.in_hand(key.attempt, newest) else {
            return Ok(());
        };
        let is_clear = generation.is_clear();
        let ladder = &mut generation.ladder;
        let (due, is_again) = match (rung, timeout) {
            (_, None) => (Duration::MAX, false),
            (Rung::Overdue, Some(timeout)) => {
                let before = ladder.overdue_at.replace(time);
                (timeout.soft, before.is_some())
            }
            (Rung::TimedOut, Some(timeout)) => {
                let before = std::mem::replace(&mut ladder.is_timed_out, true);
                (timeout.total(), before)
            }
            (Rung::Stuck, Some(timeout)) => {
                let before = std::mem::replace(&mut ladder.is_stuck, true);
                (timeout.total() + timeout.stuck, before)
            }
        };
        if !generation.is_started {
            // It was given to the executor, and not polled yet; cancelled, it never is.
            if rung == Rung::TimedOut {
                (generation.is_started, generation.started) = (true, time);
                generation.end = Some((End::Cancelled, time));
            }
            return Ok(());
        }
        let took = generation.took(time);
        if took < due && stolen_at < generation.started.now {
            let detail = format!("{key}: {rung:?} after {took:?}");
            return Err(Broken("timeout kept", detail));
        }
        if is_again && is_clear {
            return Err(Broken("timeout kept", format!("{key}: {rung:?} again")));
        }
        Ok(())
    }

    /// A handler that ends has been told how long it took.
    pub(super) fn check_length(
        &self,
        id: &MessageId,
        generation: &Generation,
        end: &End,
        time: Time,
    ) -> Result<(), Broken> {
        let Some(timeout) = self.promises.timeout.filter(|_| !self.is_deaf()) else {
            return Ok(());
        };
        let is_beyond = |due: Duration| generation.is_beyond(due, time);
        let ladder = &generation.ladder;
        let has_verdict = matches!(end, End::Verdict(_));
        // One that a stop has cancelled is not timed any more.
        let is_timed = self.draining.is_none();
        let is_missed = is_beyond(timeout.total()) && !ladder.is_timed_out && has_verdict
            || is_beyond(timeout.soft) && ladder.overdue_at.is_none() && is_timed;
        if is_missed && generation.is_clear() {
            let took = generation.took(time);
            let detail = format!("{id}: not told after {took:?}, came to {end:?}");
            return Err(Broken("timeout kept", detail));
        }
        Ok(())
    }

    /// Shielded work that ends long after its handler was due to was reported.
    pub(super) fn check_stuck(
        &self,
        id: &MessageId,
        generation: &Generation,
        time: Time,
    ) -> Result<(), Broken> {
        let Some(timeout) = self.promises.timeout.filter(|_| !self.is_deaf()) else {
            return Ok(());
        };
        let is_due = generation.is_beyond(timeout.total() + timeout.stuck, time);
        let is_missed = is_due && !generation.ladder.is_stuck && self.draining.is_none();
        if is_missed && generation.is_clear() {
            let took = generation.took(time);
            let detail = format!("{id}: not reported as stuck after {took:?}");
            return Err(Broken("timeout kept", detail));
        }
        Ok(())
    }

    /// A handler that is polled is shown that it is overdue when that was told, and no earlier.
    pub(super) fn check_overdue(
        &self,
        generation: &Generation,
        delivery: &Delivery,
        time: Time,
    ) -> Result<(), Broken> {
        let shown = delivery.is_overdue();
        let is_right = match generation.ladder.overdue_at {
            None => !shown,
            Some(told) => shown || !time.is_well_after(told),
        };
        if is_right || !generation.is_clear() || self.is_deaf() {
            return Ok(());
        }
        let detail = format!("{}: overdue is {shown}", delivery.key());
        Err(Broken("timeout kept", detail))
    }
}

/// To what a consumer may round its timers.
const SLACK: Duration = Duration::from_millis(50);
