//! What becomes of a delivery in hand: received, merged, extended, lost, and over.

use mayhem_core::{DeliveryKey, Event, LeaseToken, Message, MessageId};

use super::calls::Known;
use super::checks::{Checks, End, Generation, delivery_of};
use super::timeouts::Ladder;
use super::{Broken, Time};

impl Checks {
    pub(super) fn received(&mut self, id: &MessageId, attempt: u32, time: Time) {
        let token = self.arrived.pop_front();
        let (token, bytes) = token.unwrap_or_else(|| (LeaseToken::from("unknown"), 0));
        let until = self.leases.get_or_default(&token).deadline;
        self.serial += 1;
        self.newest = self.serial;
        let message = self.messages.get_or_default(id);
        self.room.add(&mut message.weight, bytes);
        message.spared.add();
        let owner = message.generations.len();
        let owner_before = message.owners.insert(delivery_of(&token), owner);
        message.generations.push(Generation {
            is_started: false,
            is_keyless: false,
            attempt,
            serial: self.serial,
            started: Time::default(),
            ladder: Ladder::default(),
            has_panicked_shield: false,
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
                is_behind: false,
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
        // A duplicate that is late may be of a lease that an earlier delivery goes on under: its
        // nack is on its way, and what came after it has nothing to do with it.
        let before = newer.known.owner_before.filter(|it| *it != latest);
        let goes_on = |it: usize| {
            message
                .generations
                .get(it)
                .is_some_and(|it| !it.known.is_over)
        };
        let is_late = |it: &Generation| newer.known.attempt < it.known.attempt;
        if let Some(before) = before
            && (goes_on(before) || message.generations.last().is_some_and(is_late))
        {
            message.owners.insert(delivery, before);
            return Ok(());
        }
        message.owners.insert(delivery, latest);
        let Some(older) = message.generations.last_mut() else {
            return Ok(());
        };
        let known = &mut older.known;
        if before.is_some() {
            known.doubt();
        }
        if known.is_lost || known.is_unsure {
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
        } else {
            // Whether it goes on under this lease depends on when each ends.
            known.until = known.until.max(newer.known.until);
            if newer.known.attempt == known.attempt && newer.known.token != known.token {
                known.doubt();
            }
            known.since = time;
        }
        Ok(())
    }

    pub(super) fn extended(&mut self, key: &DeliveryKey) -> Result<(), Broken> {
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        let mut is_unsure = false;
        for generation in message.generations.iter_mut().rev() {
            let known = &mut generation.known;
            if generation.attempt != key.attempt || known.is_over {
                continue;
            }
            is_unsure |= known.is_unsure;
            if let Some(lease) = self.leases.get_mut(&known.token)
                && let Some(left) = lease.extended_count.checked_sub(1)
            {
                lease.extended_count = left;
                known.until = known.until.max(lease.asked_until);
                return Ok(());
            }
        }
        if is_unsure {
            return Ok(());
        }
        Err(Broken("told when done", format!("{key} is extended")))
    }

    pub(super) fn lost(&mut self, key: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let leases = &self.leases;
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        // What has just come is not what it finds lost; later it may be.
        let has_just_come =
            |it: &&Generation| it.serial == self.newest && it.known.received.now == time.now;
        let newest = message.generations.iter().find(has_just_come);
        let newest = newest.map(|it| it.serial).unwrap_or_default();
        let is_named = |it: &Generation| it.attempt == key.attempt && !it.known.is_over;
        let generations = &mut message.generations;
        let is_older = |it: &&Generation| it.serial != newest;
        let last = generations.iter().rev().find(is_older);
        let last = last.map(|it| it.serial).unwrap_or_default();
        let has_reason = |it: &Generation| {
            let lease = leases.get(&it.known.token);
            // A nack on its way, after which the message has come again, may yet take effect.
            let is_sent = lease.is_some_and(|it| it.settles_in_flight > 0) && it.serial < last;
            let is_over = it.known.until <= time.now && !is_sent;
            (is_over || lease.is_some_and(|it| it.is_gone())) && !it.known.is_lost
        };
        let named = || generations.iter().filter(|it| is_named(it));
        let mut reasons = named().filter(|it| has_reason(it));
        let is_unsure = named().any(|it| it.known.is_unsure);
        let is_only = !is_unsure && named().count() == 1;
        let told_apart = match (reasons.next(), reasons.next()) {
            (Some(it), None) if !is_unsure => Some(it.serial),
            _ => None,
        };
        // Nacks of the same attempt that wait to be confirmed have one name: it may be any of them.
        let is_other = |it: &Generation| is_named(it) && it.serial != newest;
        if told_apart.is_none() && named().filter(|it| is_other(it)).count() > 1 {
            let named = generations.iter_mut().filter(|it| is_named(it));
            named.for_each(|it| it.known.doubt());
            return Ok(());
        }
        // The one that has a reason to be.
        let is_it = |it: &&mut Generation| match told_apart {
            Some(serial) => it.serial == serial,
            None => is_other(it) && has_reason(it),
        };
        let serial = match generations.iter_mut().find(is_it) {
            Some(generation) => generation.lose(),
            None => match message.in_hand(key.attempt, newest) {
                Some(generation) => generation.lose(),
                None => return Ok(()),
            },
        };
        if is_only
            && let Some(lost) = message.generations.iter().find(|it| it.serial == serial)
            && lost.is_started
            && lost.end.is_none()
        {
            message.spared.lost_running();
        }
        let generations = self.messages.get(&key.id).map(|it| &it.generations);
        let is_it = |it: &&Generation| it.serial == serial;
        match generations.and_then(|it| it.iter().find(is_it)) {
            Some(generation) => self.check_kept(generation, time),
            None => Ok(()),
        }
    }

    /// What has just come ends as if its handler had panicked.
    pub(super) fn key_panics(&mut self, message: &Message, time: Time) {
        self.panics += 1;
        self.error_at = time;
        let generations = self.messages.get_mut(&message.id);
        let newest = generations.and_then(|it| it.generations.last_mut());
        if let Some(generation) = newest.filter(|it| it.known.token == message.lease) {
            (generation.is_keyless, generation.is_started) = (true, true);
            generation.started = time;
            generation.end = Some((End::Panicked, time));
        }
    }

    pub(super) fn set_aside(&mut self, key: &DeliveryKey, time: Time) {
        let Some(message) = self.messages.get_mut(&key.id) else {
            return;
        };
        // Too much as well, it is handed back for that reason.
        let newest = message.generations.last_mut();
        if let Some(generation) = newest.filter(|it| it.is_keyless && it.serial == self.serial) {
            (generation.is_started, generation.end) = (false, None);
        }
        // An earlier one of the same attempt only waits for its nack to be confirmed.
        let is_it = |it: &&mut Generation| it.attempt == key.attempt && !it.is_started;
        if let Some(generation) = message.generations.iter_mut().rev().find(is_it) {
            generation.known.set_aside = Some(time);
        }
    }

    pub(super) fn ended(&mut self, event: &Event, key: &DeliveryKey) -> Result<(), Broken> {
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        let is_named = |it: &&mut Generation| it.attempt == key.attempt && !it.known.is_over;
        let is_expired = matches!(event, Event::Expired(_));
        let leases = &self.leases;
        // Of several of one name, the one that has a reason to be.
        let rank = |it: &&mut Generation| {
            let lease = leases.get(&it.known.token);
            match is_expired {
                true => !it.known.is_lost,
                false => it.known.is_lost || !lease.is_some_and(|lease| lease.is_done),
            }
        };
        let named = || {
            message
                .generations
                .iter()
                .filter(|it| it.attempt == key.attempt)
        };
        let is_only = named().filter(|it| !it.known.is_over).count() == 1;
        if let Some(generation) = message
            .generations
            .iter_mut()
            .filter(is_named)
            .min_by_key(rank)
            && !matches!(event, Event::Merged(_))
        {
            generation.known.is_over = true;
            if is_expired && is_only && !generation.is_started {
                message.spared.lost_unstarted();
            }
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
