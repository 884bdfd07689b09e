//! What the consumer tells its observer.

use std::fmt;
use std::time::Duration;

use crate::{MessageId, Plan, Rate};

/// Names one delivery in events: the message and which attempt it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryKey {
    /// The message.
    pub id: MessageId,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// Something that happened in a consumer, in the order in which it happened.
///
/// Each delivery has one [`Event::Received`] and later exactly one of its ends: `Acked`, `Nacked`,
/// `Released`, `DeadLettered`, `Expired`, `Abandoned` or `Merged`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message came from the broker; its lease runs.
    Received(DeliveryKey),
    /// A handler asked for another attempt, panicked or was timed out; `Nacked` follows when the
    /// broker knows.
    Retried {
        /// The delivery.
        delivery: DeliveryKey,
        /// The delay before the next attempt.
        after: Duration,
    },
    /// A handler put its message off, not as an attempt; `Nacked` follows when the broker knows.
    Postponed {
        /// The delivery.
        delivery: DeliveryKey,
        /// The delay before the next delivery.
        after: Duration,
    },
    /// End: the broker has confirmed the ack.
    Acked(DeliveryKey),
    /// End: the broker will deliver the message again.
    Nacked {
        /// The delivery.
        delivery: DeliveryKey,
        /// The delay before the next delivery.
        after: Duration,
        /// Whether this delivery was an attempt.
        counted: bool,
    },
    /// End: handed back unstarted.
    Released(DeliveryKey),
    /// End: moved to the dead letters.
    DeadLettered {
        /// The delivery.
        delivery: DeliveryKey,
        /// Why.
        reason: String,
    },
    /// A message is not started, because too many deliveries of it were started and never settled:
    /// see [`Builder::poison_after`](crate::Builder::poison_after). `DeadLettered` follows.
    Poisoned {
        /// The delivery.
        delivery: DeliveryKey,
        /// Which attempt it would have been.
        attempt: u32,
    },
    /// A lease was extended.
    Extended(DeliveryKey),
    /// One poll of a handler took longer than the threshold: it blocks the executor.
    SlowPoll {
        /// The delivery.
        delivery: DeliveryKey,
        /// How long the poll took.
        took: Duration,
    },
    /// The lease ended before the delivery was settled. The handler is told and may finish.
    LeaseLost(DeliveryKey),
    /// A branch of a fan-out failed or panicked.
    BranchFailed {
        /// The delivery.
        delivery: DeliveryKey,
        /// The branch's name.
        branch: &'static str,
        /// The error with its sources, for a person.
        error: String,
        /// Whether it counts: an ack needs this branch, or enough of its kind.
        required: bool,
    },
    /// A handler panicked, or the function that tells keys: a failed attempt, unless it was a
    /// handler that a stop has cancelled.
    HandlerPanicked {
        /// The delivery.
        delivery: DeliveryKey,
        /// The panic's message.
        message: String,
    },
    /// A handler, or work that it shielded, is taking longer than
    /// [`Timeout::soft`](crate::Timeout::soft); it is told.
    HandlerOverdue {
        /// The delivery.
        delivery: DeliveryKey,
        /// After which time it was due.
        after: Duration,
    },
    /// A handler was cancelled because it took longer than
    /// [`Timeout::total`](crate::Timeout::total). When it has ended the message is retried, unless
    /// it ended with a verdict after all.
    HandlerTimedOut {
        /// The delivery.
        delivery: DeliveryKey,
        /// After which time it was due.
        after: Duration,
    },
    /// A handler was cancelled and has not ended [`Timeout::stuck`](crate::Timeout::stuck) later:
    /// it blocks a thread, or work that it shielded goes on. It keeps its permit, and its lease up
    /// to the longest.
    HandlerStuck {
        /// The delivery.
        delivery: DeliveryKey,
        /// After which time it was due.
        after: Duration,
    },
    /// Shielded work panicked; an ack turns into a retry.
    ShieldPanicked {
        /// The delivery.
        delivery: DeliveryKey,
        /// The panic's message.
        message: String,
    },
    /// End: the same message was already in hand, under this or an earlier lease.
    Merged(DeliveryKey),
    /// End: the lease was lost, so nothing was told to the broker.
    Expired(DeliveryKey),
    /// End: given up at shutdown or after a broker failure; its lease runs out by itself.
    Abandoned(DeliveryKey),
    /// A broker call failed; it is retried unless the failure is permanent.
    BrokerFailed {
        /// Which call.
        call: BrokerCall,
        /// The error with its sources, for a person.
        error: String,
        /// Whether the consumer stops because of it.
        permanent: bool,
    },
    /// The broker delivered far more than it was asked for, or far larger: this one is handed back
    /// at once, or because it comes after such a one of its key. `Released` follows when the broker
    /// knows.
    Shed(DeliveryKey),
    /// The messages of a key wait for this one, which is not done, to come back: see
    /// [`NackedHead::Stall`](crate::NackedHead::Stall).
    KeyStalled(DeliveryKey),
    /// Messages of a key were handed back because one before them is not done or has not come
    /// back: see [`NackedHead`](crate::NackedHead). `Released` follows for each when the broker
    /// knows.
    TailReleased {
        /// The message before them.
        head: MessageId,
        /// How many were handed back.
        count: usize,
    },
    /// The consumer was paused: nothing starts, and nothing is asked of the broker.
    Paused,
    /// A pause has ended.
    Resumed,
    /// This many handlers may run at a time from now on.
    ConcurrencySet(usize),
    /// Handlers start at this rate from now on; `None` is no limit.
    RateSet(Option<Rate>),
    /// The consumer entered a phase.
    Phase(Phase),
}

/// A method of the broker port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerCall {
    /// [`Broker::receive`](crate::Broker::receive).
    Receive,
    /// [`Broker::settle`](crate::Broker::settle).
    Settle,
    /// [`Broker::extend`](crate::Broker::extend).
    Extend,
}

/// Where a consumer is in its life; it only ever moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Receives and handles.
    #[default]
    Running,
    /// The source is closed and unstarted messages are released; handlers may finish, with their
    /// leases extended, for [`Plan::drain`].
    Draining,
    /// Handlers have been cancelled; shielded work may finish, for [`Plan::grace`].
    Grace,
    /// Only settlements are left, and tasks that were cancelled and have not ended, for
    /// [`Plan::flush`].
    Flushing,
    /// Nothing is left.
    Closed,
}

impl Event {
    /// The delivery that the event is about, if it is about one.
    pub fn delivery(&self) -> Option<&DeliveryKey> {
        match self {
            Self::Received(delivery)
            | Self::Retried { delivery, .. }
            | Self::Postponed { delivery, .. }
            | Self::Acked(delivery)
            | Self::Nacked { delivery, .. }
            | Self::Released(delivery)
            | Self::Poisoned { delivery, .. }
            | Self::DeadLettered { delivery, .. }
            | Self::Extended(delivery)
            | Self::SlowPoll { delivery, .. }
            | Self::LeaseLost(delivery)
            | Self::BranchFailed { delivery, .. }
            | Self::HandlerPanicked { delivery, .. }
            | Self::HandlerOverdue { delivery, .. }
            | Self::HandlerTimedOut { delivery, .. }
            | Self::HandlerStuck { delivery, .. }
            | Self::ShieldPanicked { delivery, .. }
            | Self::Merged(delivery)
            | Self::Expired(delivery)
            | Self::Abandoned(delivery)
            | Self::Shed(delivery)
            | Self::KeyStalled(delivery) => Some(delivery),
            Self::BrokerFailed { .. }
            | Self::TailReleased { .. }
            | Self::Paused
            | Self::Resumed
            | Self::ConcurrencySet(_)
            | Self::RateSet(_)
            | Self::Phase(_) => None,
        }
    }

    /// The id of the message that the event is about, if it is about one.
    pub fn id(&self) -> Option<&MessageId> {
        self.delivery().map(|delivery| &delivery.id)
    }
}

impl Phase {
    /// The most time a stop allows for this phase; `None` where there is no limit.
    pub fn limit(self, plan: &Plan) -> Option<Duration> {
        match self {
            Self::Draining => Some(plan.drain),
            Self::Grace => Some(plan.grace),
            Self::Flushing => Some(plan.flush),
            Self::Running | Self::Closed => None,
        }
    }
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (attempt {})", self.id, self.attempt)
    }
}
