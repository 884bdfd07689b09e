//! How long to wait before the next attempt.

use std::time::Duration;

use fastrand::Rng;

use crate::time::nanos_of;

/// Exponential backoff with jitter.
///
/// The delay before attempt `n + 1` is `base * factor^(n - 1)`, at most `max`, then jittered.
///
/// # Examples
///
/// ```
/// use mayhem_core::{Backoff, Jitter};
/// use std::time::Duration;
///
/// let backoff = Backoff { base: Duration::from_millis(100), ..Backoff::default() };
/// assert_eq!(backoff.factor, 2);
/// assert_eq!(backoff.jitter, Jitter::Equal);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first attempt. Default: 1 s.
    pub base: Duration,
    /// The longest delay before jitter. Default: 5 min.
    pub max: Duration,
    /// By how much each delay exceeds the one before. Default: 2.
    pub factor: u32,
    /// How much of the delay is left to chance. Default: [`Jitter::Equal`].
    pub jitter: Jitter,
}

/// How much of a delay is left to chance, so that many failures do not come back as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// None: the delay as computed.
    None,
    /// Half: between one half and the whole of the delay.
    Equal,
    /// All: between zero and the whole of the delay.
    Full,
}

impl Backoff {
    /// The delay after `attempt` (from 1) has failed.
    pub(crate) fn delay(&self, attempt: u32, rng: &mut Rng) -> Duration {
        let factor = self
            .factor
            .checked_pow(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let delay = self.base.saturating_mul(factor).min(self.max);
        let nanos = nanos_of(delay);
        match self.jitter {
            Jitter::None => Duration::from_nanos(nanos),
            Jitter::Equal => Duration::from_nanos(rng.u64(nanos / 2..=nanos)),
            Jitter::Full => Duration::from_nanos(rng.u64(0..=nanos)),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_secs(300),
            factor: 2,
            jitter: Jitter::Equal,
        }
    }
}

#[cfg(test)]
mod tests;
