//! One lease of the table.

use super::cohorts::Place;
use super::index::IdHash;
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
    pub(super) hash: IdHash,
    pub(super) stage: Stage,
    /// Whether it is among those that wait for an extension.
    pub(super) is_waiting: bool,
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
    Renew(Place),
    Expire(Place),
}

impl Timer {
    pub(super) fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            Self::Off => None,
            Self::Renew(place) | Self::Expire(place) => Some(place),
        }
    }
}
