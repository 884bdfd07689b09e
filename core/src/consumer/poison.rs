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

use super::builder::Builder;
use super::engine::Engine;
use crate::lease::Handle;
use crate::{Event, MessageId, Settle};

impl<B, C, H> Builder<B, C, H> {
    /// Which attempt is the last that is started at all, at least
    /// [`max_deliveries`](Self::max_deliveries), which is also the default.
    ///
    /// A retry at the last delivery is a dead letter, so that a later attempt means that earlier
    /// ones were never settled: their handlers crashed the process, hung, or outlived their lease.
    /// An attempt that this process knows to have been lost while no handler ran does not count.
    /// Such a message is dead-lettered without being started, with
    /// [`Event::Poisoned`](crate::Event::Poisoned). While the consumer stops it is handed back
    /// like any other instead.
    ///
    /// Whether a lease that runs out is an attempt is the broker's affair. With one that counts
    /// every delivery, a crash costs an attempt of each message that only waited, too; give it
    /// room, or `u32::MAX` to start every message.
    pub fn poison_after(mut self, attempt_max: u32) -> Self {
        self.settings.poison_after = attempt_max;
        self
    }
}

/// What is known in favour of messages.
#[derive(Debug)]
pub(super) struct Poison {
    /// The last attempt that is started.
    pub(super) attempt_max: u32,
    /// How many attempts of a message went by without a handler being to blame: it had not started,
    /// or had ended, and the lease was lost all the same.
    spared: BTreeMap<MessageId, u32>,
    /// In the order in which they were noted first.
    oldest: VecDeque<MessageId>,
}

impl Poison {
    pub(super) fn new(attempt_max: u32) -> Self {
        Self {
            attempt_max,
            spared: BTreeMap::new(),
            oldest: VecDeque::new(),
        }
    }

    /// Notes an attempt of a message that was lost while no handler of it was running.
    pub(super) fn spare(&mut self, id: &MessageId) {
        if let Some(count) = self.spared.get_mut(id) {
            *count = count.saturating_add(1);
            return;
        }
        if self.oldest.len() >= SPARED_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.spared.remove(&oldest);
        }
        self.spared.insert(id.clone(), 1);
        self.oldest.push_back(id.clone());
    }

    fn spared(&self, id: &MessageId) -> u32 {
        self.spared.get(id).copied().unwrap_or(0)
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
        let spared = self.poison.spared(lease.owner.delivery.id());
        if attempt.saturating_sub(spared) <= attempt_max {
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

/// About how many messages something is known.
const SPARED_MAX: usize = 4096;
