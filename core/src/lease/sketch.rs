//! How long something takes lately: a histogram that forgets.

use std::ops::Range;
use std::time::Duration;

use crate::Instant;
use crate::metrics::{BUCKETS, Tally, bucket_of, nanos_at};

/// Durations by their length, each of half the weight after [`HALF_LIFE`].
///
/// Integers only, so that the same history gives the same quantiles on every machine.
#[derive(Debug)]
pub(super) struct Sketch {
    weights: Box<[u64; BUCKETS]>,
    /// Outside of these all of them are zero: what takes about as long is in few buckets.
    used: Range<usize>,
    decayed_at: Instant,
    /// The quantile, until something is added or forgotten: it takes a walk through all weights.
    p99: Option<Duration>,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            weights: Box::new([0; BUCKETS]),
            used: 0..0,
            decayed_at: Instant::ZERO,
            p99: None,
        }
    }

    /// Adds equal durations.
    pub(super) fn add(&mut self, now: Instant, Tally { nanos, count }: Tally) {
        self.decay(now);
        self.p99 = None;
        let bucket = bucket_of(nanos);
        self.used = if self.used.is_empty() {
            bucket..bucket + 1
        } else {
            self.used.start.min(bucket)..self.used.end.max(bucket + 1)
        };
        let weight = &mut self.weights[bucket];
        *weight = weight.saturating_add(count.saturating_mul(WEIGHT));
    }

    /// What 99 of 100 do not exceed, or a little more; zero when nothing is remembered.
    pub(super) fn p99(&mut self, now: Instant) -> Duration {
        self.decay(now);
        let p99 = self.p99.unwrap_or_else(|| self.look_for_p99());
        self.p99 = Some(p99);
        p99
    }

    fn look_for_p99(&self) -> Duration {
        let weights = &self.weights[self.used.clone()];
        let total = weights
            .iter()
            .fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        if total == 0 {
            return Duration::ZERO;
        }
        let rank = (total - total / 100).max(1);
        let buckets = self.used.clone().zip(weights.iter().copied());
        let nanos = nanos_at(buckets, rank).unwrap_or(0);
        Duration::from_nanos(nanos)
    }

    /// Forgets in steps, so that a look is cheap between them.
    fn decay(&mut self, now: Instant) {
        let steps = (now - self.decayed_at).as_nanos() / STEP.as_nanos();
        if steps == 0 {
            return;
        }
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.decayed_at = self.decayed_at + STEP * steps;
        self.p99 = None;
        let (halves, rest) = (steps / STEPS, steps % STEPS);
        let weights = self.weights[self.used.clone()].iter_mut();
        for weight in weights.filter(|weight| **weight > 0) {
            *weight = weight.checked_shr(halves).unwrap_or(0);
            for _ in 0..rest {
                // In this order: no product is too large.
                *weight = *weight / STEP_BASE * STEP_FACTOR
                    + *weight % STEP_BASE * STEP_FACTOR / STEP_BASE;
            }
        }
    }
}

/// After how long a duration counts half: long enough for a burst of slow messages to be
/// remembered, short enough for a bad hour not to last a day.
const HALF_LIFE: Duration = Duration::from_secs(5 * 60);

/// In how many steps a half is forgotten.
const STEPS: u32 = 8;
const STEP: Duration = Duration::from_millis(HALF_LIFE.as_millis() as u64 / STEPS as u64);

/// What is left after a step: the eighth root of a half, in 256ths.
const STEP_FACTOR: u64 = 235;
const STEP_BASE: u64 = 256;

/// The weight of a new duration: enough to be halved a few times before it is forgotten.
const WEIGHT: u64 = 256;

#[cfg(test)]
mod tests;
