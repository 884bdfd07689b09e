//! What the engine keeps for each delivery in hand.

use crate::handler::Finish;
use crate::lease::Leased;
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
}

/// A delivery whose scope has been left.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) settle: Settle,
    pub(super) is_release: bool,
    /// Whether it waits for the answer to an extension, which could override it.
    pub(super) is_held: bool,
}

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
        let Stage::Settling(settling) = &self.stage else {
            return false;
        };
        matches!(settling.settle, Settle::Nack { .. })
    }
}

impl Leased for Delivering {
    fn id(&self) -> &MessageId {
        self.delivery.id()
    }

    fn token(&self) -> &LeaseToken {
        self.delivery.lease_token()
    }
}

impl Settling {
    /// Where such an end is counted.
    pub(super) fn total<'a>(&self, totals: &'a mut Totals) -> &'a mut u64 {
        match self.settle {
            _ if self.is_release => &mut totals.released,
            Settle::Ack => &mut totals.acked,
            Settle::Nack { .. } => &mut totals.nacked,
            Settle::Dead { .. } => &mut totals.dead_lettered,
        }
    }

    pub(super) fn event(self, delivery: DeliveryKey) -> Event {
        match self.settle {
            _ if self.is_release => Event::Released(delivery),
            Settle::Ack => Event::Acked(delivery),
            Settle::Nack { after, counted } => Event::Nacked {
                delivery,
                after,
                counted,
            },
            Settle::Dead { reason } => Event::DeadLettered { delivery, reason },
        }
    }
}
