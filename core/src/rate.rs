//! How many handlers may start in a time: a token bucket in integers, so that nothing drifts.
//!
//! What is deliberately absent: timers. The bucket says when it has a token again; whoever waits
//! for one waits until then.

use std::time::Duration;

use crate::Instant;

/// A limit to how many handlers start: `count` in each `period`, and at most `burst` at once.
///
/// In any span of time no more than `burst + count * span / period` start; handlers that wait for
/// the rate keep their leases. Zeros count as one.
///
/// # Examples
///
/// ```
/// use mayhem_core::Rate;
/// use std::time::Duration;
///
/// let rate = Rate::per_second(200);
/// assert_eq!((rate.count, rate.period, rate.burst), (200, Duration::from_secs(1), 20));
///
/// // One every ten seconds, never two at once.
/// let rate = Rate { count: 1, period: Duration::from_secs(10), burst: 1 };
/// # drop(rate);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may start in each period in the long run.
    pub count: u32,
    /// The period.
    pub period: Duration,
    /// How many may start at once after a quiet time, at least 1.
    ///
    /// With less than starts in the time by which a timer is late, the rate is not reached.
    pub burst: u32,
}

impl Rate {
    /// So many in a second, with a burst of a tenth of them.
    pub const fn per_second(count: u32) -> Self {
        Self {
            count,
            period: Duration::from_secs(1),
            burst: if count < 20 { 1 } else { count / 10 },
        }
    }
}

/// The tokens that are left, in parts of a token so small that a nanosecond adds whole ones.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Parts that a nanosecond adds.
    gain: u128,
    /// Parts of a token.
    token: u128,
    /// The most parts there may be.
    capacity: u128,
    /// The parts there were at `at`.
    level: u128,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate) -> Self {
        let token = rate.period.as_nanos().clamp(1, u128::from(u64::MAX));
        let gain = u128::from(rate.count.max(1));
        let level = u128::from(rate.burst.max(1)) * token;
        Self {
            gain,
            token,
            // And what the last nanosecond added too much: cut off, it would be missed for ever.
            capacity: level + gain.min(token) - 1,
            level,
            at: Instant::ZERO,
        }
    }

    /// Goes on at another rate with the tokens that are left, as far as they fit.
    pub(crate) fn change(&mut self, now: Instant, rate: Rate) {
        self.refill(now);
        let (whole, part) = (self.level / self.token, self.level % self.token);
        let next = Self::new(rate);
        // Does not overflow: a part is less than a token, which is less than 2^64, and so are
        // whole ones.
        let level = whole * next.token + part * next.token / self.token;
        *self = Self {
            level: level.min(next.capacity),
            at: self.at,
            ..next
        };
    }

    /// Whether there is a token.
    pub(crate) fn is_ready(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level >= self.token
    }

    /// Takes a token, which `is_ready` has found.
    pub(crate) fn take(&mut self) {
        self.level = self.level.saturating_sub(self.token);
    }

    /// When there is a token, to the nanosecond.
    pub(crate) fn next(&self) -> Instant {
        let missing = self.token.saturating_sub(self.level);
        let nanos = u64::try_from(missing.div_ceil(self.gain)).unwrap_or(u64::MAX);
        self.at + Duration::from_nanos(nanos)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = (now - self.at).as_nanos();
        self.level = (self.level + elapsed * self.gain).min(self.capacity);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests;
