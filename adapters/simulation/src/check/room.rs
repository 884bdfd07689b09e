//! What is in hand, by count and by bytes: what is too much is shed, and what is full rests.

use mayhem_core::{DeliveryKey, Instant, MessageId, Phase, Stats};

use super::checks::{Checks, Mark};
use super::{Broken, Time};
use crate::fingerprint::Map;

/// What a consumer has in hand, by its events.
#[derive(Default)]
pub(super) struct Room {
    load: Load,
    /// Without what it hands back because it was too much.
    kept: Load,
    /// The largest message so far.
    largest: usize,
    pub(super) shed_count: u64,
    /// Whether what comes is shed until the end of its batch.
    is_shedding: bool,
    /// When one of a key was too much the last time.
    shed_at: Map<u64, Instant>,
    /// Since when there is no room; kept until the next call.
    full_since: Option<Mark>,
}

/// What is in hand of one message.
#[derive(Default)]
pub(super) struct Weight {
    bytes: usize,
    count: usize,
    /// How many of these were shed, or fewer: of one name, who ends is assumed not to be.
    shed_count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    count: usize,
    bytes: usize,
}

impl Room {
    /// A delivery has come, and may yet be merged or shed.
    pub(super) fn add(&mut self, message: &mut Weight, bytes: usize) {
        (message.bytes, message.count) = (bytes, message.count + 1);
        self.largest = self.largest.max(bytes);
        self.load.add(bytes);
        self.kept.add(bytes);
    }

    /// Deliveries come that were asked for together.
    pub(super) fn begin_batch(&mut self) {
        self.is_shedding = false;
    }

    /// Whoever looks anew need not wait any longer.
    pub(super) fn rest_is_over(&mut self) {
        self.full_since = None;
    }
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Checks {
    /// A delivery was too much, or came after one of its key that was: was it, or did it?
    pub(super) fn shed(&mut self, key: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let order_key = self.promises.key_of.map(|key_of| key_of(&key.id));
        let (prefetch, bytes_max) = (self.promises.prefetch, self.promises.prefetch_bytes);
        let Some(message) = self.messages.get_mut(&key.id) else {
            return Ok(());
        };
        message.weight.shed_count += 1;
        let bytes = message.weight.bytes;
        let room = &mut self.room;
        room.kept.remove(bytes);
        room.shed_count += 1;
        let mut load = room.load;
        load.remove(bytes);
        let is_over = load.bytes + bytes > OVERSHOOT * bytes_max && load.bytes >= bytes_max;
        room.is_shedding |= load.count >= OVERSHOOT * prefetch || is_over;
        if room.is_shedding {
            order_key.map(|key| room.shed_at.insert(key, time.now));
            return Ok(());
        }
        let before = order_key.and_then(|key| room.shed_at.get(&key));
        if before.is_some_and(|at| time.now <= *at + self.promises.lease) {
            return Ok(());
        }
        let detail = format!("{key} of {bytes} bytes is shed beside {load:?}");
        Err(Broken("room", detail))
    }

    /// A delivery of a message has ended.
    pub(super) fn leave_room(&mut self, id: &MessageId) {
        let Some(message) = self.messages.get_mut(id) else {
            return;
        };
        let weight = &mut message.weight;
        self.room.load.remove(weight.bytes);
        weight.count = weight.count.saturating_sub(1);
        if weight.shed_count > weight.count {
            weight.shed_count = weight.count;
        } else {
            self.room.kept.remove(weight.bytes);
        }
    }

    /// A consumer asks for messages only while it has room, or has room again after a rest.
    pub(super) fn check_pull(&mut self, time: Time) -> Result<(), Broken> {
        let rest = self.room.full_since.take();
        if self.phase != Phase::Running || self.limits.paused_at.is_some() {
            return Ok(());
        }
        let (count_max, bytes_max) = (self.promises.prefetch, self.promises.prefetch_bytes);
        let load = self.room.load;
        let (count_max, bytes_max) = match rest {
            Some(since) if time.is_well_after(since) => (resume(count_max), resume(bytes_max)),
            _ => (count_max - 1, bytes_max - 1),
        };
        if load.count > count_max || load.bytes > bytes_max {
            let detail = format!("asks for more than {load:?}, rests since {rest:?}");
            return Err(Broken("room", detail));
        }
        Ok(())
    }

    /// What is in hand after a step.
    pub(super) fn check_room(&mut self, stats: &Stats, time: Time) -> Result<(), Broken> {
        if stats.phase != Phase::Running || self.is_closed {
            return Ok(());
        }
        let (count_max, bytes_max) = (self.promises.prefetch, self.promises.prefetch_bytes);
        let Room {
            load,
            kept,
            largest,
            ..
        } = self.room;
        if (stats.outstanding, stats.bytes) != (load.count, load.bytes) {
            let detail = format!("{load:?} by the events, but {stats:?}");
            return Err(Broken("conservation", detail));
        }
        let most = (OVERSHOOT * bytes_max).max(bytes_max - 1 + largest);
        if kept.count > OVERSHOOT * count_max || kept.bytes > most {
            let detail = format!("{kept:?} are kept with room for {count_max} and {bytes_max}");
            return Err(Broken("room", detail));
        }
        let is_full = load.count >= count_max || load.bytes >= bytes_max;
        if is_full && !self.is_receiving() && self.limits.paused_at.is_none() {
            self.room.full_since.get_or_insert(time);
        } else if self
            .room
            .full_since
            .is_some_and(|it| !time.is_well_after(it))
        {
            // It may not have been looked at while it was full.
            self.room.full_since = None;
        }
        Ok(())
    }
}

/// How little must be in hand for an intake that rests to go on: a fifth less than the limit.
fn resume(limit: usize) -> usize {
    limit - (limit / 5).max(1)
}

/// How many times a limit is borne.
const OVERSHOOT: usize = 2;
