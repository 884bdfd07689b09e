//! Poison: what was started too often and never settled is not started, and nothing else is buried.
//!
//! A consumer knows of some attempts that no handler is to blame for. Which, can only be told
//! within bounds from outside.

use mayhem_core::{DeliveryKey, MessageId};

use super::Broken;
use super::checks::{Checks, Promises};

/// How many attempts of a message may not be held against it, in this consumer's life.
#[derive(Default)]
pub(super) struct Spared {
    /// How many deliveries were received.
    received: u32,
    /// How many of them are known to have been lost without having been started.
    least: u32,
    /// How many are known to have been lost while their handlers ran.
    blamed: u32,
}

impl Spared {
    /// A delivery was received.
    pub(super) fn add(&mut self) {
        self.received += 1;
    }

    /// One was lost while its handler ran.
    pub(super) fn lost_running(&mut self) {
        self.blamed += 1;
    }

    /// One was lost that no handler had.
    pub(super) fn lost_unstarted(&mut self) {
        self.least += 1;
    }
}

impl Promises {
    /// Which attempt is the last that is started.
    pub(super) fn attempt_max(&self) -> u32 {
        self.poison_after.max(self.max_deliveries)
    }
}

impl Checks {
    /// A handler starts on this attempt: may it?
    pub(super) fn check_not_poison(&self, id: &MessageId, attempt: u32) -> Result<(), Broken> {
        let spared = self.messages.get(id).map(|it| &it.spared);
        let most = spared.map_or(0, |it| it.received.saturating_sub(1 + it.blamed));
        let attempt_max = self.promises.attempt_max();
        if attempt.saturating_sub(most) <= attempt_max {
            return Ok(());
        }
        let detail = format!("{id} starts at attempt {attempt} of {attempt_max}");
        Err(Broken("no poison", detail))
    }

    /// A message was buried unstarted at this attempt: had it to be?
    pub(super) fn check_poison(&self, key: &DeliveryKey, attempt: u32) -> Result<(), Broken> {
        let spared = self.messages.get(&key.id).map(|it| &it.spared);
        let least = spared.map_or(0, |it| it.least);
        let attempt_max = self.promises.attempt_max();
        if attempt.saturating_sub(least) > attempt_max {
            return Ok(());
        }
        let detail = format!("{key} is poison at {attempt} of {attempt_max}, {least} are spared");
        Err(Broken("no early dead letter", detail))
    }
}
