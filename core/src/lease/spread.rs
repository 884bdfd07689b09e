//! Spreads the extensions of leases that came together.
//!
//! A million leases that are received in one second end in one second, and would be extended in
//! one: as many calls as otherwise in half a minute. They are spread once, when they are armed for
//! the first time, over most of the time that they rest; from then on each comes when it is due,
//! and the spread stays. A renewal is only ever moved to be earlier.

use std::time::Duration;

use fastrand::Rng;

use super::cohorts::{Cohorts, Tick};
use super::deadlines::Deadlines;
use crate::Instant;

/// Chooses the ticks of renewals.
#[derive(Debug)]
pub(super) struct Spread {
    rng: Rng,
    /// Since when and until when the leases run that were armed last, to which tick they went, and
    /// how many more may go there.
    run: (Instant, Instant),
    tick: Tick,
    left: usize,
}

impl Spread {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            run: Default::default(),
            tick: Tick::default(),
            left: 0,
        }
    }

    /// The tick that was chosen last, if it was for such a lease and has room for another.
    pub(super) fn latest(&mut self, run: (Instant, Instant)) -> Option<Tick> {
        if self.run != run || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(self.tick)
    }

    /// Chooses a tick for a lease, and for those that follow it and run as long: by when it is to
    /// be extended, later by the margin. There are `live` leases, extended `count_max` at a time.
    pub(super) fn choose(
        &mut self,
        (since, deadline): (Instant, Instant),
        is_first: bool,
        deadlines: &Deadlines,
        renewals: &Cohorts,
        (live, count_max): (usize, usize),
    ) -> Tick {
        let ahead = deadlines.ahead(deadline - since, is_first);
        let rest = (deadline - since) - ahead;
        let due = since + (rest - self.jitter(rest, deadlines));
        let end = due + deadlines.margin();
        let base = renewals.floor(end);

        let (mut tick, mut room) = (base, count_max);
        // Fewer than fit into a call are one call, whenever it comes.
        if live > count_max {
            let most = most(live, renewals.tick(), deadlines.period()).max(count_max);
            let earliest = renewals.floor(end - rest * 4 / 5);
            let mut candidate = base;
            let mut least = renewals.load(base);
            while least >= most && candidate > earliest {
                candidate = candidate.before();
                let load = renewals.load(candidate);
                if load < least {
                    (least, tick) = (load, candidate);
                }
            }
            room = most.saturating_sub(least).clamp(1, count_max);
        }
        (self.run, self.tick, self.left) = ((since, deadline), tick, room - 1);
        tick
    }

    /// How much earlier than necessary: consumers that were started together drift apart.
    fn jitter(&mut self, rest: Duration, deadlines: &Deadlines) -> Duration {
        if !deadlines.is_adaptive() {
            return Duration::ZERO;
        }
        let nanos = u64::try_from(rest.as_nanos() / JITTER_SHARE).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(0..=nanos))
    }
}

/// How many leases go into one tick where `live` of them come round in `period`: a third more than
/// would if they were spread evenly, so that four fifths of the period have room for all of them.
fn most(live: usize, tick: Duration, period: Duration) -> usize {
    let evenly = live as u128 * tick.as_nanos() / period.as_nanos().max(1);
    usize::try_from(evenly * 4 / 3).unwrap_or(usize::MAX)
}

/// A tenth of what a lease rests is the most by which its extension is early.
const JITTER_SHARE: u128 = 10;

#[cfg(test)]
mod tests;
