//! How old the oldest lease is, at the price of a counter per lease.

use std::time::Duration;

use crate::Instant;
use crate::time::nanos_of;

/// Counts leases by the tick in which they were received, a ring of ticks long.
///
/// What is received before the ring begins is counted together: the ring is longer than a lease may
/// last, so that only messages are there whose lease is lost and whose handler goes on.
#[derive(Debug)]
pub(super) struct Ages {
    /// A tick is 2 to the power of this in nanoseconds.
    tick_shift: u32,
    latest: Instant,
    counts: Box<[u32; TICKS]>,
    /// The latest tick of the ring.
    newest: u64,
    /// A tick before which every count of the ring is zero.
    oldest: u64,
    older_count: u32,
    /// The first tick that was counted since there were no older ones.
    older_tick: u64,
}

impl Ages {
    /// For leases that last at most `lease_max`.
    pub(super) fn new(lease_max: Duration) -> Self {
        let nanos = nanos_of(lease_max);
        Self {
            tick_shift: (nanos / (TICKS as u64 / 2)).max(1).ilog2(),
            latest: Instant::ZERO,
            counts: Box::new([0; TICKS]),
            newest: 0,
            oldest: 0,
            older_count: 0,
            older_tick: 0,
        }
    }

    /// Counts a lease received now; returns as when it was counted: time does not go back.
    pub(super) fn add(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        let tick = self.latest.as_nanos() >> self.tick_shift;
        if tick > self.newest {
            self.advance(tick);
        }
        self.counts[tick as usize % TICKS] += 1;
        self.latest
    }

    /// Takes a lease out that was counted as received then.
    pub(super) fn remove(&mut self, received: Instant) {
        let tick = received.as_nanos() >> self.tick_shift;
        if self.newest - tick < TICKS as u64 {
            self.counts[tick as usize % TICKS] -= 1;
        } else {
            self.older_count -= 1;
        }
    }

    /// When the oldest lease was received, or up to a tick before that; `None` without one.
    pub(super) fn first(&mut self) -> Option<Instant> {
        if self.older_count > 0 {
            return Some(Instant::from_nanos(self.older_tick << self.tick_shift));
        }
        while self.counts[self.oldest as usize % TICKS] == 0 {
            if self.oldest == self.newest {
                return None;
            }
            self.oldest += 1;
        }
        Some(Instant::from_nanos(self.oldest << self.tick_shift))
    }

    /// Moves the ring's end to `tick`, and what falls off its beginning to the older ones.
    fn advance(&mut self, tick: u64) {
        let begin = (tick + 1).saturating_sub(TICKS as u64);
        // After a long rest every count falls off, once.
        for past in self.oldest..begin.min(self.newest + 1) {
            let count = std::mem::take(&mut self.counts[past as usize % TICKS]);
            if self.older_count == 0 {
                self.older_tick = past;
            }
            self.older_count += count;
        }
        self.oldest = self.oldest.max(begin);
        self.newest = tick;
    }
}

/// How many ticks the ring has.
const TICKS: usize = 256;

#[cfg(test)]
mod tests;
