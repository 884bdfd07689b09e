//! Polls of handlers that took too long: each is told of once, with its time, and no other is.

use std::time::Duration;

use mayhem_core::{DeliveryKey, Phase};

use super::checks::{Checks, Mark, Start};
use super::{Broken, Time};

/// A poll that took too long and was not told of yet.
pub(super) struct SlowPoll {
    delivery: DeliveryKey,
    took: Duration,
    ended: Mark,
}

impl Checks {
    /// A poll of a handler has ended.
    pub(super) fn polled(
        &mut self,
        start: &Start,
        delivery: &DeliveryKey,
        took: Duration,
        time: Time,
    ) {
        let is_ours = start.life == self.life && !self.is_closed;
        if took > self.promises.slow_poll && is_ours {
            self.slow_polls.push(SlowPoll {
                delivery: delivery.clone(),
                took,
                ended: time,
            });
        }
    }

    /// A poll is told of: was there one?
    pub(super) fn slow_poll_told(
        &mut self,
        delivery: &DeliveryKey,
        took: Duration,
    ) -> Result<(), Broken> {
        let is_it = |it: &SlowPoll| it.delivery == *delivery && it.took == took;
        match self.slow_polls.iter().position(is_it) {
            Some(place) => {
                self.slow_polls.swap_remove(place);
                Ok(())
            }
            None => {
                let detail = format!("{delivery} was not polled for {took:?}");
                Err(Broken("slow polls told", detail))
            }
        }
    }

    /// What took too long is told before anything else can happen.
    pub(super) fn check_slow(&self, phase: Phase, time: Time) -> Result<(), Broken> {
        let is_late = |it: &&SlowPoll| time.is_well_after(it.ended);
        match self.slow_polls.iter().find(is_late) {
            Some(slow) if phase == Phase::Running && !self.is_closed => slow.missed(),
            _ => Ok(()),
        }
    }

    /// At the end all are told of.
    pub(super) fn check_slow_end(&self) -> Result<(), Broken> {
        self.slow_polls.first().map_or(Ok(()), SlowPoll::missed)
    }
}

impl SlowPoll {
    fn missed(&self) -> Result<(), Broken> {
        let detail = format!("a poll of {} took {:?}", self.delivery, self.took);
        Err(Broken("slow polls told", detail))
    }
}
