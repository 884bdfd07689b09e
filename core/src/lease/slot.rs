//! One lease of the table.

use super::cohorts::Place;
use super::index::IdHash;
use super::slab::Handle;
use crate::{Instant, LeaseToken, MessageId};

/// What is under a lease.
pub(crate) trait Leased {
    /// The message.
    fn id(&self) -> &MessageId;
    /// The token it came with.
    fn token(&self) -> &LeaseToken;
}

/// One lease.
#[derive(Debug)]
pub(crate) struct Lease<T> {
    pub(crate) deadline: Instant,
    pub(crate) is_lost: bool,
    /// Whether an extension is on its way.
    pub(crate) is_extending: bool,
    pub(crate) owner: T,
    /// The token, where it is no longer the one that the owner came with.
    pub(super) newer: Option<Box<Newer>>,
    /// Counts the tokens this lease has had.
    pub(super) epoch: u32,
    /// When it was received: it may last so long from there, in all.
    pub(crate) received: Instant,
    pub(super) hash: IdHash,
    pub(super) stage: Stage,
    /// Whether it is among those that wait for an extension.
    pub(super) is_waiting: bool,
    pub(super) timer: Timer,
}

impl<T: Leased> Lease<T> {
    /// The name of the lease as it is now.
    pub(crate) fn token(&self) -> &LeaseToken {
        match &self.newer {
            Some(newer) => &newer.token,
            None => self.owner.token(),
        }
    }

    /// The attempt that it came with under its present name, if that is not its first.
    pub(crate) fn newer_attempt(&self) -> Option<u32> {
        self.newer.as_ref().map(|newer| newer.attempt)
    }
}

/// The name of a lease that took the place of its first, and the attempt that came with it.
#[derive(Debug)]
pub(super) struct Newer {
    pub(super) token: LeaseToken,
    pub(super) attempt: u32,
}

impl<T> Lease<T> {
    /// Notes that it is in no queue; returns in which it was.
    pub(super) fn leave_queues(&mut self, handle: Handle) -> Queues {
        let is_waiting = std::mem::take(&mut self.is_waiting);
        Queues {
            timer: std::mem::replace(&mut self.timer, Timer::Off),
            waiting: is_waiting.then_some((self.deadline, handle)),
        }
    }
}

/// The queues that a lease is in.
pub(super) struct Queues {
    pub(super) timer: Timer,
    pub(super) waiting: Option<(Instant, Handle)>,
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
