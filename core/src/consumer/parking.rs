//! Parking: delays for a broker that has none.
//!
//! Where a nack cannot be delayed the message would come again at once. There the delivery keeps
//! its lease instead, extended and without a permit, and is handed back when its delay is over. So
//! the next delivery is one like every other: counted by the broker, for whoever is free.
//!
//! What is deliberately absent: another run of the handler in this process. The broker would not
//! know of it, and after a crash the attempts would not have happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::builder::Builder;
use super::delivering::{Parked, Stage};
use super::engine::Engine;
use crate::lease::Handle;
use crate::{Instant, Phase, Settle};

impl<B, C, H> Builder<B, C, H> {
    /// The least delay of a retry or a postponement whose verdict names a delay. Default: 100 ms.
    ///
    /// Without it, a handler that puts its message off by nothing has it again at once, and again.
    pub fn nack_delay_min(mut self, delay: Duration) -> Self {
        self.settings.nack_delay_min = delay;
        self
    }
}

/// Who is to be handed back when.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// With the time since when; some of them may be gone.
    queue: BinaryHeap<Reverse<(Instant, Instant, Handle)>>,
    /// The payloads of those that are parked.
    pub(super) bytes: usize,
}

impl Engine<'_> {
    /// Settles a delivery whose scope has been left, now or when its delay is over.
    pub(super) fn settle_or_park(
        &mut self,
        now: Instant,
        handle: Handle,
        settle: Settle,
        is_release: bool,
    ) {
        if let Settle::Nack { after, counted } = settle
            && let Some(until) = self.park_until(now, handle, after)
        {
            return self.park((now, until), handle, counted, is_release);
        }
        self.settle(handle, settle, is_release);
    }

    /// Hands back, a part at a time, what has been parked for as long as it should, is in the way,
    /// or is held up by nothing any more because the consumer stops.
    pub(super) fn poll_parking(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        for _ in 0..POLL_COUNT_MAX {
            if self.next_unpark().is_none_or(|due| now < due) {
                break;
            }
            self.work += 1;
            if let Some(Reverse((_, _, handle))) = self.parking.queue.pop() {
                is_busy = true;
                self.unpark(handle);
            }
        }
        is_busy
    }

    /// When the next parked delivery is to be handed back.
    pub(super) fn next_unpark(&self) -> Option<Instant> {
        let Reverse((until, since, _)) = self.parking.queue.peek()?;
        if self.stats.phase != Phase::Running {
            return Some(Instant::ZERO);
        }
        // Parked messages take the room of others, and must not take all of it.
        let is_crowded = self.stats.parked > self.settings.prefetch / 2
            || self.parking.bytes > self.settings.prefetch_bytes / 2;
        if is_crowded {
            return Some((*until).min(*since + CROWDED));
        }
        Some(*until)
    }

    /// Until when a nack with this delay has to be parked, if it has to and can be.
    fn park_until(&self, now: Instant, handle: Handle, after: Duration) -> Option<Instant> {
        let is_plain = self.caps.nack_delay || after.is_zero();
        if is_plain || self.stats.phase != Phase::Running || self.failure.is_some() {
            return None;
        }
        let lease = self.table.get(handle)?;
        let end = if self.caps.extend_count_max == 0 {
            lease.deadline
        } else {
            lease.received + self.settings.lease_max
        };
        // The nack itself takes time, and has to arrive under the lease.
        let latest = end - self.settings.lease / 8;
        let until = (now + after).min(latest);
        (until > now).then_some(until)
    }

    fn park(
        &mut self,
        (now, until): (Instant, Instant),
        handle: Handle,
        is_counted: bool,
        is_release: bool,
    ) {
        let Some(delivering) = self.table.owner_mut(handle) else {
            return;
        };
        let bytes = delivering.delivery.payload().len();
        let parked = Stage::Parked(Parked {
            bytes,
            is_counted,
            is_release,
        });
        let stage = std::mem::replace(&mut delivering.stage, parked);
        self.leave(&stage);
        self.stats.parked += 1;
        self.parking.bytes += bytes;
        self.parking.queue.push(Reverse((until, now, handle)));
        // Those that were lost meanwhile would stay for as long as they were to be parked.
        if self.parking.queue.len() > 2 * self.stats.parked + COMPACT_MIN {
            let table = &self.table;
            let is_parked = |entry: &Reverse<(Instant, Instant, Handle)>| {
                let lease = table.get(entry.0.2);
                lease.is_some_and(|lease| matches!(lease.owner.stage, Stage::Parked(_)))
            };
            self.parking.queue.retain(is_parked);
        }
    }

    pub(super) fn unpark(&mut self, handle: Handle) {
        let Some(delivering) = self.table.owner_mut(handle) else {
            return;
        };
        if let Stage::Parked(parked) = &delivering.stage {
            let settle = Settle::Nack {
                after: Duration::ZERO,
                counted: parked.is_counted,
            };
            let is_release = parked.is_release;
            self.settle(handle, settle, is_release);
        }
    }
}

/// How long a message stays parked at least when there is no room for it.
const CROWDED: Duration = Duration::from_secs(1);

/// Below this many, entries of deliveries that are gone are not worth looking for.
const COMPACT_MIN: usize = 64;

/// How many parked deliveries one pass hands back.
const POLL_COUNT_MAX: usize = 256;

#[cfg(test)]
mod tests;
