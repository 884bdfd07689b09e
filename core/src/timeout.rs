//! How long a handler may take.

use std::time::Duration;

/// The ladder for a handler that takes too long: it is told, then cancelled, then reported.
///
/// Counted from the start of the handler; each step from the one before. Off unless it is given to
/// [`Builder::handler_timeout`](crate::Builder::handler_timeout).
///
/// # Examples
///
/// ```
/// use mayhem_core::Timeout;
/// use std::time::Duration;
///
/// let timeout = Timeout { soft: Duration::from_secs(30), ..Timeout::default() };
/// assert_eq!(timeout.total(), Duration::from_secs(40));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// How long a handler may take before it is told that it is overdue: see
    /// [`Delivery::overdue`](crate::Delivery::overdue) and
    /// [`Event::HandlerOverdue`](crate::Event::HandlerOverdue). Default: 60 s.
    pub soft: Duration,
    /// How long after that it is dropped, which is a failed attempt:
    /// [`Event::HandlerTimedOut`](crate::Event::HandlerTimedOut). Default: 10 s.
    pub cancel: Duration,
    /// How long after that a handler that has still not ended is reported as stuck:
    /// [`Event::HandlerStuck`](crate::Event::HandlerStuck). Default: 10 s.
    pub stuck: Duration,
}

impl Timeout {
    /// How long a handler may take before it is dropped.
    pub fn total(&self) -> Duration {
        self.soft.saturating_add(self.cancel)
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self {
            soft: Duration::from_secs(60),
            cancel: Duration::from_secs(10),
            stuck: Duration::from_secs(10),
        }
    }
}
