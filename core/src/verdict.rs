//! What a handler decides about its message.

use std::time::Duration;

/// A handler's decision; the consumer turns it into one settlement after the handler has ended.
///
/// Nothing inside a handler can settle early: a verdict is the only way to an ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done: never deliver it again.
    Ack,
    /// It failed: deliver it again, which counts as an attempt.
    ///
    /// At the last of `max_deliveries` the message is dead-lettered instead, with the last error
    /// that a branch reported as the reason.
    Retry {
        /// Not before this long from now; `None` leaves it to the consumer's
        /// [`Backoff`](crate::Backoff).
        after: Option<Duration>,
    },
    /// Not now: deliver it again, which does not count as an attempt.
    Postpone {
        /// Not before this long from now.
        after: Duration,
    },
    /// It can never succeed: move it to the dead letters, for this reason.
    Dead(String),
}
