//! What the broker writes down: the truth about a message, and the trace that tests assert on.

use std::fmt;
use std::time::Duration;

use mayhem_core::{Instant, LeaseToken, MessageId, Outcome, Settle};

/// What a message has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Waits to be delivered, not before an instant.
    Ready {
        /// The instant.
        from: Instant,
    },
    /// Somebody holds it.
    Leased {
        /// The lease that counts.
        lease: LeaseToken,
        /// When it really ends.
        until: Instant,
    },
    /// Done.
    Acked,
    /// Moved to the dead letters.
    Dead {
        /// The consumer's reason.
        reason: String,
    },
}

/// What the broker knows of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// What it has come to.
    pub fate: Fate,
    /// How often it was delivered under a lease of its own; duplicates are not counted.
    pub deliveries: u32,
    /// How many of these ended as attempts: counted nacks, and leases that ran out.
    pub attempts: u32,
}

/// One thing that happened to one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fact {
    /// When.
    pub at: Instant,
    /// To which message.
    pub id: MessageId,
    /// Under which lease; `None` for the publishing.
    pub lease: Option<LeaseToken>,
    /// What.
    pub kind: FactKind,
}

/// What can happen to a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FactKind {
    /// It was published.
    Published,
    /// It was leased and sent to the consumer.
    Delivered {
        /// The attempt the consumer was told.
        attempt: u32,
        /// The deadline the consumer was told.
        deadline: Instant,
    },
    /// It was handed to the consumer.
    Arrived {
        /// The length of its payload.
        bytes: usize,
    },
    /// The same lease was sent to the consumer once more.
    Duplicated,
    /// The consumer called `settle`; whether it arrives is another fact.
    SettleCalled(SettleKind),
    /// The consumer called `extend`.
    ExtendCalled {
        /// For how long.
        duration: Duration,
    },
    /// The consumer has the answer to a `settle`, or waits for it no longer.
    SettleAnswered(Answer),
    /// The consumer has the answer to an `extend`, or waits for it no longer.
    ExtendAnswered(Answer),
    /// The lease now ends at an instant.
    Extended {
        /// The instant.
        until: Instant,
    },
    /// A settlement took effect.
    Settled(SettleKind),
    /// The lease ran out, or was forgotten.
    Expired,
    /// A confirmed ack was forgotten.
    AckForgotten,
    /// A nack was asked for while an extension of its lease was on its way, which may override it.
    ExtensionOvertaken,
    /// An extension came after the nack of its lease: not to be delivered before an instant.
    PutOff {
        /// The instant.
        until: Instant,
    },
    /// A settlement or extension came under a lease that did not count any more.
    Refused,
}

/// How far a call has come, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallStage {
    /// It was made.
    Began,
    /// It was answered.
    Answered,
    /// It ended with an error.
    Failed,
    /// The caller waits for it no longer.
    GivenUp,
}

/// What the consumer knows of one item of a call after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// [`Outcome::Done`].
    Done,
    /// [`Outcome::Gone`].
    Gone,
    /// Nothing: the call failed, or was given up.
    Failed,
}

/// A [`Settle`] without its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettleKind {
    /// [`Settle::Ack`].
    Ack,
    /// [`Settle::Nack`].
    Nack {
        /// Not to be delivered before this long.
        after: Duration,
        /// Whether it was an attempt.
        counted: bool,
    },
    /// [`Settle::Dead`].
    Dead,
}

impl Fate {
    /// Whether it will never be delivered again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Acked | Self::Dead { .. })
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Gone => Self::Gone,
        }
    }
}

impl From<&Settle> for SettleKind {
    fn from(settle: &Settle) -> Self {
        match settle {
            Settle::Ack => Self::Ack,
            Settle::Nack { after, counted } => Self::Nack {
                after: *after,
                counted: *counted,
            },
            Settle::Dead { .. } => Self::Dead,
        }
    }
}

/// The message, the lease and what happened; the time is left to the caller.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = self.lease.as_ref().map_or("-", LeaseToken::as_str);
        write!(f, "{} under {lease}: {:?}", self.id, self.kind)
    }
}
