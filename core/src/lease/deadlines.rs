//! How long leases are extended, and how much of one is left when that is asked for.
//!
//! Both are fixed, or follow what handlers, calls and timers took lately. The time that a call
//! takes counts: a deadline from the handlers' time alone collapses when calls become slow, because
//! then every extension comes too late for a lease that is only as long as a handler needs.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::sketch::Sketch;
use crate::Instant;
use crate::metrics::Tally;

/// The deadline policy of a table.
#[derive(Debug)]
pub(super) struct Deadlines {
    lease: Duration,
    margin: Duration,
    adaptive: Option<Box<Adaptive>>,
}

#[derive(Debug)]
struct Adaptive {
    range: RangeInclusive<Duration>,
    handle: Sketch,
    round_trip: Sketch,
    lag: Sketch,
    /// When the calls were sent that have no answer yet: a few.
    flying: Vec<Instant>,
    looked_at: Instant,
    is_changed: bool,
}

impl Deadlines {
    /// `lease` each time, with half of it left.
    pub(super) fn fixed(lease: Duration) -> Self {
        Self {
            lease,
            margin: lease / 2,
            adaptive: None,
        }
    }

    /// Within `range`, as long as is needed.
    pub(super) fn adaptive(range: RangeInclusive<Duration>) -> Self {
        Self {
            lease: *range.start(),
            margin: *range.start() / SHARE,
            adaptive: Some(Box::new(Adaptive {
                range,
                handle: Sketch::new(),
                round_trip: Sketch::new(),
                lag: Sketch::new(),
                flying: Vec::new(),
                looked_at: Instant::ZERO,
                is_changed: false,
            })),
        }
    }

    /// How long a lease is extended at a time.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// How much of a lease is left when its extension is asked for.
    pub(super) fn margin(&self) -> Duration {
        self.margin
    }

    /// How long a lease rests between two extensions.
    pub(super) fn period(&self) -> Duration {
        self.lease - self.margin
    }

    /// How long before its end the renewal of a lease is due that has `span` to run.
    ///
    /// The first time no later than when half of it is left: nothing is known of it but what the
    /// broker says.
    pub(super) fn ahead(&self, span: Duration, is_first: bool) -> Duration {
        let half = span.min(self.lease) / 2;
        let ahead = match &self.adaptive {
            None => half,
            Some(_) if is_first => half.max(self.margin),
            Some(_) => self.margin,
        };
        ahead.min(span)
    }

    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive.is_some()
    }

    /// So many handlers took so long.
    pub(super) fn handled(&mut self, now: Instant, tally: Tally) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle.add(now, tally);
            adaptive.is_changed = true;
        }
    }

    /// A timer was so late.
    pub(super) fn woken(&mut self, now: Instant, lag: Duration) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.lag.add(now, Tally::one(lag));
            adaptive.is_changed = true;
        }
    }

    /// A call of `extend` is on its way.
    pub(super) fn sent(&mut self, now: Instant) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.flying.push(now);
        }
    }

    /// A call of `extend` has ended, whatever way: it took no less than that.
    pub(super) fn answered(&mut self, now: Instant, sent: Instant) {
        if let Some(adaptive) = &mut self.adaptive {
            if let Some(index) = adaptive.flying.iter().position(|one| *one == sent) {
                adaptive.flying.swap_remove(index);
            }
            adaptive.round_trip.add(now, Tally::one(now - sent));
            adaptive.is_changed = true;
        }
    }

    /// Looks at what has been seen, if enough has changed for the look to be worth it.
    pub(super) fn look(&mut self, now: Instant) {
        let Some(adaptive) = &mut self.adaptive else {
            return;
        };
        // What does not change is forgotten, slowly.
        let is_moving = adaptive.is_changed || !adaptive.flying.is_empty();
        let rest = if is_moving { LOOK_EVERY } else { FORGET_EVERY };
        if now - adaptive.looked_at < rest {
            return;
        }
        adaptive.looked_at = now;
        adaptive.is_changed = false;
        // A call without an answer has taken its time already: when calls become slow, that is
        // known long before the first of them is answered.
        let waiting = adaptive.flying.iter().min().map(|sent| now - *sent);
        let round_trip = adaptive
            .round_trip
            .p99(now)
            .max(waiting.unwrap_or_default());
        let lag = adaptive.lag.p99(now);
        let handle = adaptive.handle.p99(now);
        let needed = (round_trip * ROUND_TRIPS).saturating_add(lag + TICK);
        let wanted = handle
            .saturating_add(round_trip)
            .saturating_add(lag + 2 * TICK)
            .max(needed * 2);
        self.lease = wanted.clamp(*adaptive.range.start(), *adaptive.range.end());
        // Never all of it: an extension that asks for the next one at once leads to a storm.
        let margin_max = self.lease - self.lease / SHARE;
        self.margin = (self.lease / SHARE).max(needed).min(margin_max);
    }
}

/// What a margin is at least, and what it leaves at least: a fifth of the lease.
const SHARE: u32 = 5;

/// How many round trips a margin leaves room for: one that fails, one that follows, one to spare.
const ROUND_TRIPS: u32 = 3;

/// To what timers are rounded, about.
const TICK: Duration = Duration::from_millis(20);

/// How often what has been seen is looked at, while something is, and while nothing is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const FORGET_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
