//! Order within keys: one of a key at a time, and who goes before whom after a failure.
//!
//! A message that has failed keeps its place while it is away: who waited behind it starts when it
//! is back and done, or is handed back. Who of those that come again goes first can only be told
//! where each delivery is known for what it is.

use mayhem_core::{DeliveryKey, MessageId, NackedHead, Verdict};

use super::checks::{Checks, End, Generation, Mark, Message, delivery_of};
use super::{Broken, Checker, Time};
use crate::fingerprint::Map;

/// What is known of the keys of one consumer.
#[derive(Default)]
pub(super) struct Keys {
    /// Those that have ever waited for a message to come back.
    stalled: Vec<u64>,
    /// The first message of each key that was shed; none where that cannot be told.
    shed: Map<u64, Option<Shed>>,
}

/// A message that was shed, and is waited for.
struct Shed {
    id: MessageId,
    serial: u64,
    at: Mark,
}

type KeyOf = fn(&MessageId) -> u64;

impl Checker {
    /// The key of a message that has just come cannot be told, which is to be told once. To be
    /// called before the function that tells keys panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Message, OrderKey};
    /// use mayhem_sim::Checker;
    ///
    /// fn key_of(checker: &Checker, message: &Message) -> Option<OrderKey> {
    ///     let Ok(text) = std::str::from_utf8(&message.payload) else {
    ///         checker.key_panics(message);
    ///         panic!("not a text");
    ///     };
    ///     Some(OrderKey::of(text))
    /// }
    /// ```
    pub fn key_panics(&self, message: &mayhem_core::Message) {
        self.check(|checks, now| {
            checks.key_panics(message, now);
            Ok(())
        });
    }
}

impl Checks {
    /// One of a key at a time, and in the order in which they were received.
    pub(super) fn check_key(&self, name: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let Some(key_of) = self.promises.key_of else {
            return Ok(());
        };
        let key = key_of(&name.id);
        self.check_not_behind(name, key_of, time)?;
        self.check_shed_first(name, key)?;
        let generations = self.messages.get(&name.id).map(|it| &it.generations);
        let is_only = generations.is_some_and(|it| it.len() == 1);
        let own = generations.and_then(|it| it.last());
        let received = own.map(|it| it.serial).unwrap_or_default();
        // A message that comes again may have to go before those that waited for it.
        let is_first = own
            .is_some_and(|it| delivery_of(&it.known.token) == 1 && !self.is_duplicated(it))
            && is_only;
        for (id, message) in self.messages.iter() {
            if *id == name.id || key_of(id) != key {
                continue;
            }
            for other in &message.generations {
                let is_running = other.is_started && (other.end.is_none() || other.holds > 0);
                let is_in_hand = !other.known.is_over && !other.known.is_lost;
                // While an eighth of its longest lease is left it is handed back.
                let waits = !other.is_started && is_in_hand && !self.is_ending(other, time);
                let is_older = other.serial < received
                    && other.known.set_aside.is_none()
                    && !other.known.is_behind;
                if is_running || (is_first && waits && is_older) {
                    let detail = format!("{name} starts before {id} has ended");
                    return Err(Broken("key order", detail));
                }
            }
        }
        Ok(())
    }

    /// Who waited behind a message that has failed does not start before that is done.
    fn check_not_behind(
        &self,
        name: &DeliveryKey,
        key_of: KeyOf,
        time: Time,
    ) -> Result<(), Broken> {
        let own = self.messages.get(&name.id);
        let Some(own) = own.filter(|it| self.is_known(it)) else {
            return Ok(());
        };
        let waits = |it: &&Generation| !it.is_started && it.attempt == name.attempt;
        let Some(own) = own.generations.iter().rev().find(waits) else {
            return Ok(());
        };
        let key = key_of(&name.id);
        for (id, message) in self.messages.iter() {
            if *id == name.id || key_of(id) != key || !self.is_known(message) {
                continue;
            }
            let was_behind = |it: &Generation| {
                let failed_at = self.failed_at(it);
                failed_at.is_some_and(|at| own.known.received.now < at.now)
            };
            let generations = &message.generations;
            let Some(failed) = generations.iter().rposition(was_behind) else {
                continue;
            };
            // What came of it after that may have been poison, or lost before its turn.
            let is_not_done = match &generations[failed + 1..] {
                [] => true,
                [back] => self.is_waiting(back, time),
                _ => false,
            };
            if is_not_done {
                let detail = format!("{name} starts behind {id}, which is not done");
                return Err(Broken("key order", detail));
            }
        }
        Ok(())
    }

    /// When a delivery has left its place, to be delivered again.
    fn failed_at(&self, generation: &Generation) -> Option<Mark> {
        let (end, at) = generation.end.as_ref()?;
        let may_be_last = generation.attempt >= self.promises.max_deliveries;
        let has_failed = match end {
            End::Verdict(Verdict::Ack) => generation.has_panicked_shield && !may_be_last,
            End::Verdict(Verdict::Retry { .. }) | End::Panicked => !may_be_last,
            End::Verdict(Verdict::Postpone { .. }) => true,
            End::Verdict(Verdict::Dead(_)) | End::Cancelled => false,
        };
        (has_failed && !generation.is_keyless && generation.holds == 0).then_some(*at)
    }

    /// Whether a delivery is in hand and may be started in its turn.
    fn is_waiting(&self, generation: &Generation, time: Time) -> bool {
        let known = &generation.known;
        let is_in_hand = !known.is_over && !known.is_lost && known.set_aside.is_none();
        !generation.is_started
            && is_in_hand
            && !known.is_behind
            && !self.is_ending(generation, time)
    }

    /// Whether each delivery of a message is known for what it is.
    fn is_known(&self, message: &Message) -> bool {
        let mut generations = message.generations.iter();
        generations.all(|it| !it.known.is_unsure && !self.is_duplicated(it))
    }

    fn is_duplicated(&self, generation: &Generation) -> bool {
        let lease = self.leases.get(&generation.known.token);
        lease.is_some_and(|lease| lease.is_duplicated)
    }

    pub(super) fn key_stalled(&mut self, head: &MessageId) {
        let Some(key) = self.promises.key_of.map(|key_of| key_of(head)) else {
            return;
        };
        if !self.keys.stalled.contains(&key) {
            self.keys.stalled.push(key);
        }
    }

    /// Who waits for a message that has failed waits for a lease, unless its own is over before.
    fn check_stall(&self, head: &MessageId, key_of: KeyOf, time: Time) -> Result<(), Broken> {
        let promises = &self.promises;
        // Where too many keys wait, the one that has waited longest makes room.
        let may_be_crowded = self.keys.stalled.len() > promises.prefetch;
        let message = self.messages.get(head).filter(|it| self.is_known(it));
        let last = message.and_then(|it| it.generations.last());
        let failed_at = last.and_then(|it| self.failed_at(it));
        let is_stall = promises.nacked_head == NackedHead::Stall && !may_be_crowded;
        let Some(failed_at) = failed_at.filter(|_| is_stall) else {
            return Ok(());
        };
        let is_short = |it: &Generation| {
            let latest = it.known.received.now + promises.lease_max - promises.lease / 4;
            !it.is_started && latest <= time.now
        };
        let of_key = self
            .messages
            .iter()
            .filter(|it| key_of(&it.0) == key_of(head));
        let mut waiting = of_key.flat_map(|(_, message)| &message.generations);
        let waited = time.now - failed_at.now;
        if waited >= promises.lease || waiting.any(is_short) {
            return Ok(());
        }
        let detail = format!("{head} is waited for no longer than {waited:?}");
        Err(Broken("key order", detail))
    }

    /// A message was shed: those of its key that come before it is back are, too, for a lease.
    pub(super) fn note_shed(&mut self, id: &MessageId, time: Time) {
        let Some(key) = self.promises.key_of.map(|key_of| key_of(id)) else {
            return;
        };
        let newest = self.messages.get(id).and_then(|it| it.generations.last());
        let Some(newest) = newest.filter(|it| !it.is_keyless) else {
            return;
        };
        let serial = newest.serial;
        let is_exact = self.stolen_at.now < time.now;
        let lease = self.promises.lease;
        let shed = Shed {
            id: id.clone(),
            serial,
            at: time,
        };
        let before = self.keys.shed.remove(&key);
        let after = match before {
            None => is_exact.then_some(shed),
            Some(None) => None,
            Some(Some(first)) if self.is_back(&first, serial) => is_exact.then_some(shed),
            Some(Some(first)) if time.now >= first.at.now + lease => is_exact.then_some(shed),
            // It came back, and was too much again.
            Some(Some(first)) if first.id == *id => Some(Shed { serial, ..first }),
            Some(Some(first)) => Some(first),
        };
        self.keys.shed.insert(key, after);
    }

    /// Whether a message that was shed has come again, with its key, before another delivery came.
    fn is_back(&self, shed: &Shed, before: u64) -> bool {
        let generations = self.messages.get(&shed.id).map(|it| &it.generations);
        let mut generations = generations.into_iter().flatten();
        generations.any(|it| it.serial > shed.serial && it.serial < before && !it.is_keyless)
    }

    fn check_shed_first(&self, name: &DeliveryKey, key: u64) -> Result<(), Broken> {
        let Some(Some(shed)) = self.keys.shed.get(&key) else {
            return Ok(());
        };
        let own = self.messages.get(&name.id).filter(|it| self.is_known(it));
        let own = own.and_then(|it| it.generations.last());
        let Some(own) = own.filter(|it| it.attempt == name.attempt && name.id != shed.id) else {
            return Ok(());
        };
        let received = own.known.received.now;
        let is_after = own.serial > shed.serial && received > shed.at.now;
        let is_waited_for = received < shed.at.now + self.promises.lease;
        let is_exact = self.stolen_at.now < shed.at.now;
        if is_after && is_waited_for && is_exact && !self.is_back(shed, own.serial) {
            let detail = format!("{name} starts before {}, which was shed", shed.id);
            return Err(Broken("key order", detail));
        }
        Ok(())
    }

    /// Some of what waited behind a message is handed back, and comes before others no more.
    pub(super) fn tail_released(&mut self, head: &MessageId, time: Time) -> Result<(), Broken> {
        let Some(key_of) = self.promises.key_of else {
            return Ok(());
        };
        self.check_stall(head, key_of, time)?;
        let of_key = self
            .messages
            .iter_mut()
            .filter(|(id, _)| key_of(id) == key_of(head));
        for generation in of_key.flat_map(|(_, message)| &mut message.generations) {
            if !generation.is_started && !generation.known.is_over {
                generation.known.is_behind = true;
            }
        }
        Ok(())
    }
}
