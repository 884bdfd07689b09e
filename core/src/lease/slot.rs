//! One lease of the table.

use super::cohorts::Place;
use super::extensions::Member;
use super::index::IdHash;
use super::slab::Handle;
use crate::{Instant, LeaseToken, MessageId};

/// What is under a lease.
pub(crate) trait Leased {
    /// The message.
    fn id(&self) -> &MessageId;
    /// The token it came with.
    fn token(&self) -> &LeaseToken;
    /// Takes leave of the message; returns whether what is left may be used for another one.
    fn retire(&mut self) -> bool {
        false
    }
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
    /// Counts the tokens this lease has had; wraps after more than come while a call is answered.
    pub(super) epoch: u16,
    /// When it was received: it may last so long from there, in all.
    pub(crate) received: Instant,
    pub(super) hash: IdHash,
    pub(super) stage: Stage,
    pub(super) wait: Wait,
    pub(super) timer: Timer,
    /// Where, if its timer is not off. Beside the timer, not in it, because the two need less room.
    pub(super) place: Place,
}

impl<T: Leased> Lease<T> {
    /// The name of the lease as it is now.
    pub(crate) fn token(&self) -> &LeaseToken {
        match &self.newer {
            Some(newer) => &newer.token,
            None => self.owner.token(),
        }
    }

    /// What it is in a batch that is sent now.
    pub(crate) fn member(&self, handle: Handle) -> Member {
        Member {
            handle,
            epoch: self.epoch,
            deadline: self.deadline,
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
    /// Whether it is in any queue.
    pub(super) fn is_queued(&self) -> bool {
        self.timer != Timer::Off || self.wait != Wait::No
    }
}

/// How far a lease has come that is to be extended, until its extension is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wait {
    #[default]
    No,
    /// It is among those that wait for a call.
    Queued,
    /// It is in the batch that is being gathered.
    Gathered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Held,
    Settling,
    Sent,
}

/// Among whose cohorts a lease is; at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Off,
    Renew,
    /// It cannot be extended any more, and is about to end.
    Last,
    Expire,
}
