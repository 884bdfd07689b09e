//! What becomes of a delivery in hand: received, merged, extended, lost, and over.

use mayhem_core::{DeliveryKey, Event, LeaseToken, MessageId};

use super::calls::Known;
use super::checks::{Checks, Generation, delivery_of};
use super::{Broken, Time};

impl Checks {
    pub(super) fn received(&mut self, id: &MessageId, attempt: u32, time: Time) {
        let token = self.arrived.pop_front();
        let token = token.unwrap_or_else(|| LeaseToken::from("unknown"));
        let until = self.leases.entry(token.clone()).or_default().deadline;
        let message = self.messages.entry(id.clone()).or_default();
        let owner = message.generations.len();
        let owner_before = message.owners.insert(delivery_of(&token), owner);
        message.generations.push(Generation {
            is_started: false,
            attempt,
            holds: 0,
            end: None,
            known: Known {
                token,
                attempt,
                is_unsure: false,
                owner_before,
                until,
                received: time,
                since: time,
                set_aside: None,
                is_lost: false,
                is_over: false,
            },
        });
        self.step.deliveries += 1;
    }

    /// The delivery that was received last is none of its own: the one before it goes on under its
    /// lease, if it goes on.
    pub(super) fn merged(&mut self, key: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        let Some(newer) = message.generations.pop() else {
            return Ok(());
        };
        let latest = message.generations.len().saturating_sub(1);
        let delivery = delivery_of(&newer.known.token);
        // A duplicate that is late may be of a lease that an earlier delivery goes on under.
        let goes_on = |it: &usize| {
            message
                .generations
                .get(*it)
                .is_some_and(|it| !it.known.is_over)
        };
        let owner = newer.known.owner_before.filter(goes_on);
        let owner = owner.unwrap_or(latest);
        message.owners.insert(delivery, owner);
        let Some(older) = message.generations.last_mut() else {
            return Ok(());
        };
        let known = &mut older.known;
        if known.is_lost {
            return Ok(());
        }
        if known.until <= time.now {
            let detail = format!("{key} goes on, though its lease ended at {:?}", known.until);
            return Err(Broken("lost is lost", detail));
        }
        if newer.known.attempt > known.attempt {
            known.token = newer.known.token;
            known.attempt = newer.known.attempt;
            known.until = newer.known.until;
            known.since = time;
            known.is_unsure = false;
        } else {
            // Whether it goes on under this lease depends on when each ends.
            known.until = known.until.max(newer.known.until);
            known.is_unsure |= newer.known.attempt == known.attempt;
            known.since = time;
        }
        Ok(())
    }

    pub(super) fn extended(&mut self, key: &DeliveryKey) {
        let message = self.messages.get_mut(&key.id);
        let generation = message.and_then(|it| it.in_hand(key.attempt));
        if let Some(generation) = generation
            && let Some(lease) = self.leases.get(&generation.known.token)
        {
            let known = &mut generation.known;
            known.until = known.until.max(lease.asked_until);
        }
    }

    pub(super) fn lost(&mut self, key: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let message = self.messages.get_mut(&key.id);
        if let Some(generation) = message.and_then(|it| it.in_hand(key.attempt)) {
            generation.known.is_lost = true;
        }
        let generations = self.messages.get(&key.id).map(|it| &it.generations);
        let is_it = |it: &&Generation| it.attempt == key.attempt && !it.known.is_over;
        match generations.and_then(|it| it.iter().find(is_it)) {
            Some(generation) => self.check_kept(generation, time),
            None => Ok(()),
        }
    }

    pub(super) fn set_aside(&mut self, key: &DeliveryKey, time: Time) {
        let message = self.messages.get_mut(&key.id);
        if let Some(generation) = message.and_then(|it| it.in_hand(key.attempt)) {
            generation.known.set_aside = Some(time);
        }
    }

    pub(super) fn ended(&mut self, event: &Event, key: &DeliveryKey) -> Result<(), Broken> {
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        if let Some(generation) = message.in_hand(key.attempt)
            && !matches!(event, Event::Merged(_))
        {
            generation.known.is_over = true;
        }
        let is_settled = matches!(
            event,
            Event::Acked(_)
                | Event::Nacked { .. }
                | Event::Released(_)
                | Event::DeadLettered { .. }
        );
        if is_settled {
            let Some(left) = message.done_count.checked_sub(1) else {
                return Err(Broken("told when done", format!("{key}: {event:?}")));
            };
            message.done_count = left;
        }
        Ok(())
    }
}
