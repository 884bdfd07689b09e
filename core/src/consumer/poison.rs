//! Poison: messages that bring their consumers down before anything can be settled.
//!
//! A message whose every handler crashes its process, hangs or outlives its lease is never settled,
//! so that no verdict can make it a dead letter. What is left of it is the broker's count of
//! attempts: when that is above the last attempt there may be, the message is not started.
//!
//! What is deliberately absent: a memory that outlives the process. A message that was only waiting
//! when somebody else's handler crashed the process has an attempt more as well, if the broker
//! counts so.

use std::collections::{BTreeMap, VecDeque};

use super::engine::Engine;
use crate::lease::Handle;
use crate::{Event, MessageId, Settle};

/// What is known about messages that were delivered and not started.
#[derive(Debug)]
pub(super) struct Poison {
    /// The last attempt that is started.
    pub(super) attempt_max: u32,
    /// How many attempts of a message ended while it waited for a permit: they prove nothing
    /// against it.
    waited: BTreeMap<MessageId, u32>,
    /// In the order in which they were noted first.
    oldest: VecDeque<MessageId>,
}

impl Poison {
    pub(super) fn new(attempt_max: u32) -> Self {
        Self {
            attempt_max,
            waited: BTreeMap::new(),
            oldest: VecDeque::new(),
        }
    }

    /// Notes that the lease of a message ended while it waited.
    pub(super) fn note_waited(&mut self, id: &MessageId) {
        if let Some(count) = self.waited.get_mut(id) {
            *count = count.saturating_add(1);
            return;
        }
        if self.oldest.len() >= WAITED_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.waited.remove(&oldest);
        }
        self.waited.insert(id.clone(), 1);
        self.oldest.push_back(id.clone());
    }

    fn waited(&self, id: &MessageId) -> u32 {
        self.waited.get(id).copied().unwrap_or(0)
    }
}

impl Engine<'_> {
    /// Makes a dead letter of a waiting message if it was started too often before; `attempt` is
    /// above the last one. Returns whether it did.
    pub(super) fn is_buried(&mut self, handle: Handle, attempt: u32) -> bool {
        let Some(lease) = self.table.get(handle) else {
            return false;
        };
        let attempt_max = self.poison.attempt_max;
        let waited = self.poison.waited(lease.owner.delivery.id());
        if attempt.saturating_sub(waited) <= attempt_max {
            return false;
        }
        self.stats.totals.poisoned += 1;
        self.emit_about(handle, |delivery| Event::Poisoned { delivery, attempt });
        let reason = format!(
            "poison: attempt {attempt} of at most {attempt_max}, and those before were never \
             settled: a crash, a hang or a lost lease"
        );
        self.settle(handle, Settle::Dead { reason }, false);
        true
    }
}

/// Of how many messages it is known that they only waited.
const WAITED_MAX: usize = 4096;
