//! What a handler decides about its message.

use std::time::Duration;

/// A handler's decision; the consumer turns it into one settlement after the handler has ended.
///
/// Nothing inside a handler can settle early: a verdict is the only way to an ack.
///
/// # Delays
///
/// A message is handled once in each delivery. It comes again as a new delivery, from the broker,
/// whatever the delay: it may go to another consumer, and the broker has counted the attempt.
///
/// A delay that a verdict names is at least
/// [`Builder::nack_delay_min`](crate::Builder::nack_delay_min). Where the
/// [broker cannot delay](crate::Caps::nack_delay) the consumer does: the delivery is *parked*. It
/// has no permit, its lease is extended, and it is handed back when the delay is over. The delay
/// comes out of the same [`Builder::lease_max`](crate::Builder::lease_max) as the handler's time:
/// one that does not fit is cut short. When more than half of what may be
/// [in hand](crate::Builder::prefetch) is parked, a second is enough for those that are due first.
/// A stop hands back all that are parked.
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
