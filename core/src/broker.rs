//! The broker port: where messages come from and where their settlements go.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::{Instant, LeaseToken, Message, MessageId};

/// Delivers messages under lease, extends the leases and takes the settlements.
///
/// Called per batch, never per message. All four methods may be in flight at the same time,
/// `settle` and `extend` more than once each.
///
/// # Duties of an implementation
///
/// - It never blocks the calling thread: blocking SDKs stand behind pool threads.
/// - It never panics; a panic ends the consumer.
/// - `settle` and `extend` answer per item, in the order of the batch. Both are idempotent: a
///   second settlement under the same lease is [`Outcome::Gone`], not an error.
/// - After an error classified [`BrokerError::Permanent`] every later call fails the same way.
///
/// The `contract` module of `mayhem-sim` checks an implementation against these duties, and the
/// guide `docs/write-a-broker-adapter.md` beside this crate tells how to write one.
pub trait Broker: Send + Sync {
    /// Waits for the next messages; see [`Pull`]. An empty batch says that the source has ended.
    /// There is never more than one such call at a time.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe: a message taken out of the SDK by a dropped call is returned by the
    /// next one (its lease is running meanwhile).
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>>;

    /// Settles deliveries; returns when the outcomes are as durable as the broker makes them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the call loses the outcomes, not the settlements.
    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>>;

    /// Extends leases, each by its [`Extension::duration`] from the moment of the call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the call loses the outcomes; the extensions may take effect or not.
    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>>;

    /// What this broker can do. Asked once, before anything else.
    fn caps(&self) -> Caps;
}

impl<B: Broker + ?Sized> Broker for Arc<B> {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        (**self).receive(pull)
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        (**self).settle(batch)
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        (**self).extend(batch)
    }

    fn caps(&self) -> Caps {
        (**self).caps()
    }
}

/// What [`Broker::receive`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Wait until there is at least one message, return at most `count_max`.
    Next {
        /// The most messages to return, at least 1.
        count_max: usize,
    },
    /// Lease nothing more until the next `Next`, and wait for what is leased and was not yet
    /// returned: its leases are running. The consumer is paused, and drops the call when it goes
    /// on. A broker that leases only what it returns waits for ever.
    Hold,
    /// Stop the source: lease nothing more, and return, without waiting for new messages, all that
    /// is leased and was not yet returned. The consumer repeats it until the batch is empty; every
    /// later call, a `Next` too, finds it empty at once.
    Close,
}

/// A message with the time its lease ends.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// When the lease ends unless it is extended: stamped where the SDK called back, on the
    /// consumer's clock.
    pub deadline: Instant,
}

/// How one delivery ends, as the broker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Done: never deliver it again.
    Ack,
    /// Deliver it again.
    Nack {
        /// Not before this long from now.
        after: Duration,
        /// Whether this delivery was an attempt. Postponed and released ones were not.
        counted: bool,
    },
    /// Move it to the dead letters.
    Dead {
        /// Why, for a person.
        reason: String,
    },
}

/// One delivery's settlement.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The message.
    pub id: MessageId,
    /// The lease it was delivered under.
    pub lease: LeaseToken,
    /// How it ends.
    pub settle: Settle,
}

/// One lease's extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The message.
    pub id: MessageId,
    /// The lease to extend.
    pub lease: LeaseToken,
    /// How long from the moment of the call.
    pub duration: Duration,
}

/// What became of one item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Done,
    /// The lease had ended or belonged to somebody else: nothing was changed.
    Gone,
}

/// What a broker can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The most settlements in one call; 0 counts as 1.
    pub settle_count_max: usize,
    /// The most extensions in one call; 0 when leases cannot be extended.
    pub extend_count_max: usize,
    /// Whether `Nack { after }` is honoured; otherwise redelivery is at once, and the consumer
    /// waits with the nack: it keeps the lease until the delay is over, up to
    /// [`Builder::lease_max`](crate::Builder::lease_max).
    pub nack_delay: bool,
    /// Whether `Outcome::Done` on an ack means that the message will not be delivered again.
    pub confirmed_ack: bool,
}

/// Why a call failed. The batch may or may not have taken effect.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrokerError {
    /// Worth trying again: the messages are still leased.
    Retryable(Cause),
    /// The broker is unusable from now on: the consumer stops in order. Leases run out by
    /// themselves and the messages are delivered again.
    Permanent(Cause),
}

/// The adapter's own error, opaque.
pub type Cause = Box<dyn Error + Send + Sync>;

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retryable(_) => f.write_str("the broker failed for now"),
            Self::Permanent(_) => f.write_str("the broker failed for good"),
        }
    }
}

impl Error for BrokerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::Retryable(cause) | Self::Permanent(cause)) = self;
        Some(cause.as_ref())
    }
}
