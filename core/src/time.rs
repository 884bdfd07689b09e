//! Time as the consumer sees it: nanoseconds on one clock that does not stop in suspend.
//!
//! Core never asks the operating system what time it is; an [`Instant`] comes from a
//! [`Clock`](crate::Clock), which is boot time in the real adapters and a counter in simulation.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: nanoseconds since the origin of the [`Clock`](crate::Clock) that made it.
///
/// Instants of different clocks must not be compared. Arithmetic saturates: a lease that would end
/// after the end of time (584 years) ends there.
///
/// # Examples
///
/// ```
/// use mayhem_core::Instant;
/// use std::time::Duration;
///
/// let start = Instant::from_nanos(1_000);
/// let later = start + Duration::from_nanos(500);
/// assert_eq!(later.as_nanos(), 1_500);
/// assert_eq!(later - start, Duration::from_nanos(500));
/// assert_eq!(start - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of every clock.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How many nanoseconds later this is; zero when it is not later. Cheaper than a [`Duration`],
    /// which is made by a division.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// How much later `self` is; zero when it is not later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }
}

/// The earliest of some instants.
pub(crate) fn earliest(instants: &[Option<Instant>]) -> Option<Instant> {
    // A loop by hand: it is asked several times in every pass, and an iterator that leaves those
    // out which are not there takes a third longer.
    let mut first = None;
    for instant in instants {
        if let Some(instant) = *instant
            && first.is_none_or(|first| instant < first)
        {
            first = Some(instant);
        }
    }
    first
}

/// The nanoseconds of a duration; 584 years are as long as one gets.
pub(crate) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
