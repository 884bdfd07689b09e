//! The lease table.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::ages::Ages;
use super::cohorts::{Cohorts, Place};
use super::deadlines::Deadlines;
use super::extensions::Member;
use super::gathering::Gathering;
use super::index::{IdHash, Index};
use super::slab::{Handle, Slab};
use super::slot::{Lease, Leased, Newer, Stage, Timer, Wait};
use super::spread::Spread;
use crate::metrics::Tally;
use crate::time::earliest;
use crate::{Instant, LeaseToken, MessageId};

/// How leases are kept.
#[derive(Clone, Debug)]
pub(crate) struct LeaseSettings {
    /// How long a lease is extended at a time, at least.
    pub(crate) lease: Duration,
    /// Between which bounds that follows what is seen; `None` when it is always the same.
    pub(crate) adaptive: Option<RangeInclusive<Duration>>,
    /// Of the jitter.
    pub(crate) seed: u64,
    /// How long a lease may last in all.
    pub(crate) lease_max: Duration,
    /// The most extensions in one call; 0 when leases cannot be extended.
    pub(crate) extend_count_max: usize,
}

/// Every lease in hand, each with what its owner keeps beside it.
///
/// A lease is *held* (and extended in time), then *settling* (no longer extended),
/// then *sent* (its settlement is on its way and may yet take effect, so that it cannot be lost).
/// Its deadline counts from the moment at which an extension was sent: a lower bound of the
/// broker's. It is lost when the deadline passes or the broker says so, and stays lost.
#[derive(Debug)]
pub(crate) struct LeaseTable<T> {
    pub(super) settings: LeaseSettings,
    pub(super) leases: Slab<Lease<T>>,
    pub(super) by_id: Index,
    /// Those that are no longer found by their id, until their settlements are answered.
    detached: Index,
    /// By when they would end, or a little before; due when no more than the margin is left. So a
    /// margin that grows concerns those that were armed before as well.
    pub(super) renewals: Cohorts,
    /// A little before they end, of those that cannot be extended any more.
    pub(super) lasts: Cohorts,
    pub(super) expiries: Cohorts,
    /// Due for an extension that could not be sent, earliest deadline first.
    pub(super) waiting: BTreeSet<(Instant, Handle)>,
    pub(super) gathering: Gathering,
    pub(super) deadlines: Deadlines,
    pub(super) spread: Spread,
    ages: Ages,
    pub(super) calls_in_flight: usize,
    pub(super) retry_at: Instant,
}

impl<T: Leased> LeaseTable<T> {
    pub(crate) fn new(settings: LeaseSettings) -> Self {
        // Coarse, because an extension may well be early; fine, because a loss may not be late.
        let fine = EXPIRY_TICK.min(settings.lease / RENEWAL_TICKS_MIN);
        let tick = (settings.lease / RENEWAL_TICKS).max(fine);
        let deadlines = match &settings.adaptive {
            None => Deadlines::fixed(settings.lease),
            Some(range) => Deadlines::adaptive(range.clone()),
        };
        Self {
            deadlines,
            spread: Spread::new(settings.seed),
            leases: Slab::new(),
            by_id: Index::new(),
            detached: Index::new(),
            renewals: Cohorts::new(tick),
            lasts: Cohorts::new(tick),
            expiries: Cohorts::new(EXPIRY_TICK),
            waiting: BTreeSet::new(),
            gathering: Gathering::default(),
            ages: Ages::new(settings.lease_max),
            calls_in_flight: 0,
            retry_at: Instant::ZERO,
            settings,
        }
    }

    /// Takes up the lease of a message that is not in hand, whose id has this hash.
    ///
    /// `owner` makes a new owner, unless it is given a retired one and makes that the new one.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        hash: IdHash,
        deadline: Instant,
        owner: impl FnOnce(Handle, Option<&mut T>) -> Option<T>,
    ) -> Handle {
        let received = self.ages.add(now);
        let (handle, place) = self.leases.take();
        // In place: to make a lease and then to move it costs more than all else here.
        match place {
            Some(lease) => {
                if let Some(owner) = owner(handle, Some(&mut lease.owner)) {
                    lease.owner = owner;
                }
                lease.newer = None;
                lease.epoch = 0;
                lease.deadline = deadline;
                lease.received = received;
                lease.hash = hash;
                lease.stage = Stage::Held;
                lease.wait = Wait::No;
                lease.is_lost = false;
                lease.is_extending = false;
                lease.timer = Timer::Off;
            }
            None => {
                *place = owner(handle, None).map(|owner| Lease {
                    newer: None,
                    epoch: 0,
                    deadline,
                    received,
                    hash,
                    stage: Stage::Held,
                    wait: Wait::No,
                    is_lost: false,
                    is_extending: false,
                    timer: Timer::Off,
                    place: Place::default(),
                    owner,
                });
            }
        }
        self.by_id.insert(hash, handle.index());
        self.arm_until((now, deadline), handle, true);
        handle
    }

    pub(crate) fn hash(&self, id: &MessageId) -> IdHash {
        self.by_id.hash(id.as_str())
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.leases.handles().collect()
    }

    /// Some of the handles, from a place in the table on, and where to go on.
    pub(crate) fn handles_from(&self, first: u32, count: usize) -> (Vec<Handle>, Option<u32>) {
        self.leases.handles_from(first, count)
    }

    #[cfg(test)]
    pub(crate) fn find(&self, id: &MessageId) -> Option<Handle> {
        self.find_hashed(self.hash(id), id)
    }

    /// What `find` does, given the hash of the id.
    pub(crate) fn find_hashed(&self, hash: IdHash, id: &MessageId) -> Option<Handle> {
        let is_it = |index| {
            let lease = self.leases.get(self.leases.handle_at(index));
            lease.is_some_and(|lease| lease.owner.id() == id)
        };
        let index = self.by_id.find(hash, is_it)?;
        Some(self.leases.handle_at(index))
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Lease<T>> {
        self.leases.get(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Lease<T>> {
        self.leases.get_mut(handle)
    }

    pub(crate) fn owner_mut(&mut self, handle: Handle) -> Option<&mut T> {
        self.leases.get_mut(handle).map(|lease| &mut lease.owner)
    }

    /// Forgets a lease; returns whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, handle: Handle) -> bool {
        let Some(lease) = self.leases.get_mut(handle) else {
            return false;
        };
        let (hash, received) = (lease.hash, lease.received);
        // Most have left their queues before.
        if lease.is_queued() {
            self.disarm(handle);
        }
        // Not there if it was detached; a successor under its id has another slot.
        self.by_id.remove(hash, handle.index());
        if !self.detached.is_empty() {
            self.detached.remove(hash, handle.index());
        }
        self.ages.remove(received);
        self.leases.remove(handle, |lease| lease.owner.retire())
    }

    /// Lets a newer lease of the same message be taken up beside this one, whose settlement is on
    /// its way, if it is another lease.
    pub(crate) fn detach(&mut self, handle: Handle, newer: &LeaseToken) {
        let Some(lease) = self.leases.get(handle) else {
            return;
        };
        if lease.stage == Stage::Sent && lease.token() != newer {
            self.by_id.remove(lease.hash, handle.index());
            self.detached.insert(lease.hash, handle.index());
        }
    }

    /// Whether a lease of a message, whose id has this hash, is one that was detached.
    pub(crate) fn is_detached(&self, hash: IdHash, token: &LeaseToken) -> bool {
        let is_it = |index| {
            let lease = self.leases.get(self.leases.handle_at(index));
            lease.is_some_and(|lease| lease.token() == token)
        };
        !self.detached.is_empty() && self.detached.find(hash, is_it).is_some()
    }

    /// Marks a lease as lost; returns whether it was not so before.
    pub(crate) fn lose(&mut self, handle: Handle) -> bool {
        self.disarm(handle);
        self.leases
            .get_mut(handle)
            .is_some_and(|lease| !std::mem::replace(&mut lease.is_lost, true))
    }

    /// Stops extending a lease: its settlement is decided.
    pub(crate) fn settle(&mut self, handle: Handle) -> Option<&mut Lease<T>> {
        let lease = self.leases.get_mut(handle)?;
        lease.stage = Stage::Settling;
        match std::mem::take(&mut lease.wait) {
            Wait::No => {}
            Wait::Queued => {
                self.waiting.remove(&(lease.deadline, handle));
            }
            Wait::Gathered => self.gathering.leave(),
        }
        // A renewal stays: most settlements are sent before it is due, and if not it becomes an
        // expiry then.
        if lease.timer == Timer::Off {
            self.arm_expiry(handle);
        }
        self.leases.get_mut(handle)
    }

    /// Notes that a settlement is on its way, under the present token.
    pub(crate) fn send(&mut self, handle: Handle) {
        if let Some(lease) = self.leases.get_mut(handle) {
            lease.stage = Stage::Sent;
            self.disarm(handle);
        }
    }

    /// Notes that a settlement has to be sent again.
    pub(crate) fn unsend(&mut self, handle: Handle) {
        self.settle(handle);
    }

    /// Whether a member of a batch has still the token that was sent.
    pub(crate) fn is_current(&self, member: Member) -> bool {
        self.leases
            .get(member.handle)
            .is_some_and(|lease| lease.epoch == member.epoch)
    }

    /// How long a lease is extended at a time, at present.
    pub(crate) fn lease(&self) -> Duration {
        self.deadlines.lease()
    }

    /// So many handlers took so long.
    pub(crate) fn handled(&mut self, now: Instant, tally: Tally) {
        self.deadlines.handled(now, tally);
    }

    /// A timer was so late.
    pub(crate) fn woken(&mut self, now: Instant, lag: Duration) {
        self.deadlines.woken(now, lag);
    }

    /// When the oldest lease was received, or a little before that.
    pub(crate) fn first_received(&mut self) -> Option<Instant> {
        self.ages.first()
    }

    /// When the first lease ends that is not lost: of those whose extension is due next, of those
    /// that cannot be extended any more, and of those that wait for one or are settled.
    pub(crate) fn first_deadline(&self) -> Option<Instant> {
        let deadline = |handle| self.leases.get(handle).map(|lease| lease.deadline);
        let first = |cohorts: &Cohorts| cohorts.first_handle(&self.leases).and_then(deadline);
        let waiting = self.waiting.first().map(|(deadline, _)| *deadline);
        let [renewals, lasts, expiries] = [&self.renewals, &self.lasts, &self.expiries].map(first);
        earliest(&[renewals, lasts, expiries, waiting])
    }

    /// Lets an older delivery go on under a newer lease of the same message.
    ///
    /// Not when it was told that its lease is lost: then somebody may have acted on that.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        handle: Handle,
        (token, attempt): (&LeaseToken, u32),
        deadline: Instant,
    ) {
        if self.leases.get(handle).is_none_or(|lease| lease.is_lost) {
            return;
        }
        self.disarm(handle);
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        if lease.token() == token {
            lease.deadline = lease.deadline.max(deadline);
        } else {
            let token = token.clone();
            lease.newer = Some(Box::new(Newer { token, attempt }));
            lease.epoch = lease.epoch.wrapping_add(1);
            lease.deadline = deadline;
            lease.is_extending = false;
        }
        self.rearm(now, handle, true);
    }
}

/// To what a loss is rounded, up.
const EXPIRY_TICK: Duration = Duration::from_millis(1);

/// Into how many ticks a lease is divided for its renewal, at most: a renewal is rounded down.
const RENEWAL_TICKS: u32 = 512;

/// And at least: rounded down by more, the renewal of a short lease would be due at once.
const RENEWAL_TICKS_MIN: u32 = 64;

#[cfg(test)]
mod tests;
