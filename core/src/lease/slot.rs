//! One lease of the table.

use crate::{Instant, LeaseToken, MessageId};

/// One lease.
#[derive(Debug)]
pub(crate) struct Lease<T> {
    pub(crate) id: MessageId,
    pub(crate) token: LeaseToken,
    pub(crate) deadline: Instant,
    pub(crate) is_lost: bool,
    /// Whether an extension is on its way.
    pub(crate) is_extending: bool,
    pub(crate) owner: T,
    /// Counts the tokens this lease has had.
    pub(super) epoch: u32,
    /// When it has lasted as long as it may.
    pub(super) ends: Instant,
    pub(super) stage: Stage,
    pub(super) timer: Timer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Held,
    Settling,
    Sent,
}

/// Which cohort a lease is in; at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Off,
    Renew(Instant),
    Expire(Instant),
}

impl Timer {
    /// Disarms the timer if it is `armed`, and returns whether it was.
    pub(super) fn claim(&mut self, armed: Timer) -> bool {
        let is_armed = *self == armed;
        if is_armed {
            *self = Self::Off;
        }
        is_armed
    }
}
