//! What the engine keeps for each delivery in hand.

use std::time::Duration;

use crate::handler::Finish;
use crate::lease::Leased;
use crate::time::nanos_of;
use crate::{Delivery, DeliveryKey, Event, Instant, LeaseToken, MessageId, Settle, Totals};

/// A delivery in hand: received, and without its end.
#[derive(Debug)]
pub(super) struct Delivering {
    pub(super) delivery: Delivery,
    pub(super) stage: Stage,
}

/// How far a delivery has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for a permit.
    Buffered,
    /// Its handler, or work shielded by it, is running.
    Running(Running),
    /// Waits under its lease until it may be handed back.
    Parked(Parked),
    /// The broker is being told.
    Settling(Settling),
}

/// A delivery whose scope is open.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) started: Instant,
    /// Made with the first shielded work.
    pub(super) shields: Option<Box<Shields>>,
    /// Whether it was cancelled because it took too long.
    pub(super) is_timed_out: bool,
    /// Whether it was reported as stuck.
    pub(super) is_stuck: bool,
}

/// The shielded work of a delivery.
#[derive(Debug, Default)]
pub(super) struct Shields {
    /// How many have not ended.
    pub(super) count: usize,
    /// How the handler ended, if it has.
    pub(super) finish: Option<Finish>,
    /// The panic of one of them.
    pub(super) panic: Option<String>,
    /// Whether one was dropped unfinished.
    pub(super) is_abandoned: bool,
}

/// A delivery that is to be delivered again, later than now.
#[derive(Debug)]
pub(super) struct Parked {
    /// What its payload weighs.
    pub(super) bytes: usize,
    /// Whether it was an attempt.
    pub(super) is_counted: bool,
    /// Whether its handler was not the reason.
    pub(super) is_release: bool,
}

/// A delivery whose scope has been left; small, because there is room for one in each delivery.
#[derive(Debug)]
pub(super) enum Settling {
    Ack,
    Nack {
        /// Longer delays than these can name end with time itself.
        after_nanos: u64,
        counted: bool,
        /// Whether its handler was not the reason.
        is_release: bool,
        /// Whether it waits for the answer to an extension, which could override it.
        is_held: bool,
    },
    Dead(Box<DeadReason>),
}

/// Why a message is dead.
#[derive(Debug)]
pub(super) struct DeadReason(String);

/// The named ends of a delivery.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// As it was settled.
    Settled,
    Expired,
    Abandoned,
}

impl Delivering {
    /// Whether the broker is being told to deliver the message again.
    pub(super) fn is_nacked(&self) -> bool {
        matches!(self.stage, Stage::Settling(Settling::Nack { .. }))
    }
}

impl Leased for Delivering {
    fn id(&self) -> &MessageId {
        self.delivery.id()
    }

    fn token(&self) -> &LeaseToken {
        self.delivery.lease_token()
    }

    fn retire(&mut self) -> bool {
        self.delivery.retire()
    }
}

impl Settling {
    /// What is kept of `settle`; only a nack is a release, and only a nack is held.
    pub(super) fn new(settle: Settle, is_release: bool, is_held: bool) -> Self {
        match settle {
            Settle::Ack => Self::Ack,
            Settle::Nack { after, counted } => Self::Nack {
                after_nanos: nanos_of(after),
                counted,
                is_release,
                is_held,
            },
            Settle::Dead { reason } => Self::Dead(Box::new(DeadReason(reason))),
        }
    }

    /// What the broker is told.
    pub(super) fn settle(&self) -> Settle {
        match self {
            Self::Ack => Settle::Ack,
            Self::Nack {
                after_nanos,
                counted,
                ..
            } => Settle::Nack {
                after: Duration::from_nanos(*after_nanos),
                counted: *counted,
            },
            Self::Dead(reason) => Settle::Dead {
                reason: reason.0.clone(),
            },
        }
    }

    /// Waits for nothing any more; returns whether it did.
    pub(super) fn let_go(&mut self) -> bool {
        match self {
            Self::Nack { is_held, .. } => std::mem::take(is_held),
            Self::Ack | Self::Dead(_) => false,
        }
    }

    /// Where such an end is counted.
    pub(super) fn total<'a>(&self, totals: &'a mut Totals) -> &'a mut u64 {
        match self {
            Self::Ack => &mut totals.acked,
            Self::Nack {
                is_release: true, ..
            } => &mut totals.released,
            Self::Nack { .. } => &mut totals.nacked,
            Self::Dead(_) => &mut totals.dead_lettered,
        }
    }

    pub(super) fn event(self, delivery: DeliveryKey) -> Event {
        match self {
            Self::Ack => Event::Acked(delivery),
            Self::Nack {
                is_release: true, ..
            } => Event::Released(delivery),
            Self::Nack {
                after_nanos,
                counted,
                ..
            } => Event::Nacked {
                delivery,
                after: Duration::from_nanos(after_nanos),
                counted,
            },
            Self::Dead(reason) => Event::DeadLettered {
                delivery,
                reason: reason.0,
            },
        }
    }
}
