//! Whether a consumer does its work.

/// Whether a consumer does its work: see [`Control::health`](crate::Control::health).
///
/// # Examples
///
/// ```
/// use mayhem_core::Health;
///
/// let health = Health {
///     stream_up: true,
///     slack_positive: false,
///     progress: true,
/// };
/// assert!(!health.is_healthy());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Messages can come: the consumer is in [`Phase::Running`](crate::Phase::Running), its source
    /// is open, and the last call of [`Broker::receive`](crate::Broker::receive) that has ended
    /// did not fail.
    pub stream_up: bool,
    /// Every lease in hand lasts: none is over by now, and no handler works under a lost one.
    pub slack_positive: bool,
    /// Things move: the consumer is polled within 5 s of when it wanted to be, and it has
    /// settled a delivery within the longest lease, or has had nothing in hand but what waits for
    /// the end of its delay or of a pause.
    pub progress: bool,
}

impl Health {
    /// Whether all of it holds.
    pub fn is_healthy(self) -> bool {
        self.stream_up && self.slack_positive && self.progress
    }
}
