//! Shedding: what is handed back at once because it is too much, without disorder within keys.
//!
//! A message that was shed comes again, and must not find that a later one of its key was handled
//! meanwhile: so those are shed as well, until it is back. What is deliberately absent: more than
//! the first of a key. Those that are shed after it come back after it, if the broker keeps order.

use std::collections::HashMap;
use std::time::Duration;

use super::engine::Engine;
use crate::lease::Handle;
use crate::order::OrderKey;
use crate::{Event, Instant, MessageId, Settle};

/// The first message of each key that was shed and has not come back.
#[derive(Debug)]
pub(super) struct Shed {
    /// How long one is waited for.
    wait: Duration,
    /// With until when it is waited for. Only ever asked for one key: its order is of no
    /// consequence.
    firsts: HashMap<OrderKey, (MessageId, Instant)>,
    /// When those that are waited for no more were last looked for.
    forgot_at: Instant,
}

impl Shed {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            wait,
            firsts: HashMap::new(),
            forgot_at: Instant::ZERO,
        }
    }

    /// A message has come, which is too much or not; returns for how long it is to be handed back
    /// at most, if it is to be.
    pub(super) fn look(
        &mut self,
        now: Instant,
        key: OrderKey,
        id: &MessageId,
        is_too_much: bool,
    ) -> Option<Duration> {
        let first = self.firsts.get(&key).filter(|(_, until)| now < *until);
        match first {
            Some((first, until)) if first != id => return Some(*until - now),
            Some(_) if !is_too_much => drop(self.firsts.remove(&key)),
            None if is_too_much => self.note(now, key, id),
            _ => {}
        }
        is_too_much.then_some(Duration::ZERO)
    }

    fn note(&mut self, now: Instant, key: OrderKey, id: &MessageId) {
        // Not for every message that is too much: it takes a walk through all of them.
        if self.firsts.len() >= KEYS_MAX && now >= self.forgot_at + self.wait / 8 {
            self.firsts.retain(|_, (_, until)| now < *until);
            self.forgot_at = now;
        }
        // Bounded: order among more keys than that is left to the broker.
        if self.firsts.len() < KEYS_MAX {
            self.firsts.insert(key, (id.clone(), now + self.wait));
        }
    }
}

impl Engine<'_> {
    /// Hands a message back, which is too much or comes after one that was; `wait` is how long that
    /// one is still waited for.
    pub(super) fn shed(&mut self, now: Instant, handle: Handle, wait: Duration) {
        self.stats.totals.shed += 1;
        self.emit_about(handle, Event::Shed);
        let settle = Settle::Nack {
            // Not at once, unless it is its own turn: it would come again, and again.
            after: wait.min(self.settings.nack_delay_min),
            counted: false,
        };
        self.settle_or_park(now, handle, settle, true);
    }
}

/// Of how many keys it is known who was shed.
const KEYS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
