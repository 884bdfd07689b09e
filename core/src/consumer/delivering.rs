//! What the engine keeps for each delivery in hand.

use crate::handler::Finish;
use crate::{Delivery, DeliveryKey, Event, Message, MessageId, Settle};

/// A delivery in hand: received, and without its end.
#[derive(Debug)]
pub(super) struct Delivering {
    pub(super) attempt: u32,
    pub(super) stage: Stage,
}

/// How far a delivery has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for a permit.
    Buffered(Message),
    /// Its handler, or work shielded by it, is running.
    Running(Running),
    /// The broker is being told.
    Settling(Settling),
}

/// A delivery whose scope is open.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) delivery: Delivery,
    /// Shielded work that has not ended.
    pub(super) shields: usize,
    /// How the handler ended, if it has.
    pub(super) finish: Option<Finish>,
    /// The panic of shielded work.
    pub(super) shield_panic: Option<String>,
    /// Whether shielded work was dropped unfinished.
    pub(super) is_abandoned: bool,
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
#[derive(Debug)]
pub(super) enum End {
    Settled(Settling),
    Expired,
    Abandoned,
    Merged,
}

impl Delivering {
    pub(super) fn key(&self, id: &MessageId) -> DeliveryKey {
        DeliveryKey {
            id: id.clone(),
            attempt: self.attempt,
        }
    }

    /// Whether the broker is being told to deliver the message again.
    pub(super) fn is_nacked(&self) -> bool {
        let Stage::Settling(settling) = &self.stage else {
            return false;
        };
        matches!(settling.settle, Settle::Nack { .. })
    }
}

impl Running {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            shields: 0,
            finish: None,
            shield_panic: None,
            is_abandoned: false,
        }
    }
}

impl End {
    pub(super) fn event(self, delivery: DeliveryKey) -> Event {
        match self {
            Self::Expired => Event::Expired(delivery),
            Self::Abandoned => Event::Abandoned(delivery),
            Self::Merged => Event::Merged(delivery),
            Self::Settled(Settling {
                is_release: true, ..
            }) => Event::Released(delivery),
            Self::Settled(Settling { settle, .. }) => match settle {
                Settle::Ack => Event::Acked(delivery),
                Settle::Nack { after, counted } => Event::Nacked {
                    delivery,
                    after,
                    counted,
                },
                Settle::Dead { reason } => Event::DeadLettered { delivery, reason },
            },
        }
    }
}
