//! Counts of durations, in buckets that grow with them.

use std::fmt;
use std::time::Duration;

use crate::time::nanos_of;

/// How often durations of which length were seen.
///
/// Four buckets for each doubling, from a nanosecond to 584 years: a bucket is at most a quarter
/// wider than where it begins. All of it is integers, so that the same durations give the same
/// histogram on every machine.
///
/// # Examples
///
/// ```
/// use mayhem_core::Histogram;
/// use std::time::Duration;
///
/// let histogram: Histogram = (1..=100).map(Duration::from_millis).collect();
///
/// assert_eq!(histogram.count(), 100);
/// assert_eq!(histogram.max(), Duration::from_millis(100));
/// assert_eq!(histogram.sum(), Duration::from_millis(5050));
/// // Never too small, and at most a quarter too large.
/// let median = histogram.quantile(0.5);
/// assert!(median >= Duration::from_millis(50) && median < Duration::from_millis(63));
/// assert_eq!(histogram.quantile(1.0), histogram.max());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    sum_nanos: u64,
    max_nanos: u64,
}

impl Histogram {
    /// How many durations were seen.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// The longest; zero when none was seen.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_nanos)
    }

    /// A duration that `fraction` of those seen do not exceed, or a little more: the end of the
    /// bucket it falls into, and no more than [`max`](Self::max). Zero when none was seen.
    ///
    /// `fraction` is taken as 0 below that and as 1 above it: 0.99 asks for the 99th percentile.
    pub fn quantile(&self, fraction: f64) -> Duration {
        let count = self.count();
        // Rounded up: the quantile is one of those seen. Saturates, NaN to 0.
        let rank = ((fraction * count as f64).ceil() as u64).clamp(1, count.max(1));
        let nanos = nanos_at(self.counts.iter().copied().enumerate(), rank).unwrap_or(0);
        Duration::from_nanos(nanos.min(self.max_nanos))
    }

    /// The buckets that are not empty: the longest duration that each holds, ascending, and how
    /// many durations are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let buckets = self.counts.iter().enumerate();
        buckets
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (Duration::from_nanos(last_of(bucket)), *count))
    }

    pub(super) fn from_parts(
        counts: impl Iterator<Item = u64>,
        sum_nanos: u64,
        max_nanos: u64,
    ) -> Self {
        let mut histogram = Self {
            sum_nanos,
            max_nanos,
            ..Self::default()
        };
        for (bucket, count) in histogram.counts.iter_mut().zip(counts) {
            *bucket = count;
        }
        histogram
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            sum_nanos: 0,
            max_nanos: 0,
        }
    }
}

impl Extend<Duration> for Histogram {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        for duration in durations {
            let nanos = nanos_of(duration);
            self.counts[bucket_of(nanos)] += 1;
            self.sum_nanos = self.sum_nanos.saturating_add(nanos);
            self.max_nanos = self.max_nanos.max(nanos);
        }
    }
}

impl FromIterator<Duration> for Histogram {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut histogram = Self::default();
        histogram.extend(durations);
        histogram
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

/// The bucket that holds `nanos`.
pub(crate) fn bucket_of(nanos: u64) -> usize {
    if nanos < SHARE {
        return nanos as usize;
    }
    let octave = nanos.ilog2();
    let share = (nanos >> (octave - SHARE_BITS)) & (SHARE - 1);
    ((octave - SHARE_BITS + 1) as usize) * SHARE as usize + share as usize
}

/// The largest number that `bucket` holds.
fn last_of(bucket: usize) -> u64 {
    let (octave, share) = (bucket as u64 / SHARE, bucket as u64 % SHARE);
    if octave == 0 {
        return share;
    }
    let shift = octave - 1;
    // In this order: the last bucket ends at the largest number there is.
    ((SHARE + share) << shift) + ((1 << shift) - 1)
}

/// The end of the bucket that holds the duration of that rank, from 1; `None` without one. Buckets
/// that are left out are empty.
pub(crate) fn nanos_at(counts: impl Iterator<Item = (usize, u64)>, rank: u64) -> Option<u64> {
    let mut below = 0_u64;
    for (bucket, count) in counts {
        below = below.saturating_add(count);
        if below >= rank {
            return Some(last_of(bucket));
        }
    }
    None
}

/// Into how many buckets a doubling is divided: 2 to the power of this.
const SHARE_BITS: u32 = 2;
const SHARE: u64 = 1 << SHARE_BITS;

/// How many buckets hold every `u64`.
pub(crate) const BUCKETS: usize = (64 - SHARE_BITS as usize + 1) << SHARE_BITS;

#[cfg(test)]
mod tests;
