//! When leases are due: for an extension, or as lost.

use super::extensions::ExtendBatch;
use super::slab::Handle;
use super::slot::{Leased, Stage, Timer, Wait};
use super::table::LeaseTable;
use crate::Instant;
use crate::time::earliest;

/// What [`LeaseTable::poll`] wants done.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Leases that have just been lost.
    pub(crate) lost: Vec<Handle>,
    /// Leases that are about to end and cannot be extended.
    pub(crate) ending: Vec<Handle>,
    /// Extensions to send now.
    pub(crate) batch: Option<ExtendBatch>,
    /// Whether there is more to do at once: a poll is bounded.
    pub(crate) is_more: bool,
    /// How much was done, in steps of the consumer's.
    pub(crate) steps: usize,
}

impl<T: Leased> LeaseTable<T> {
    /// When [`poll`](Self::poll) has something to do by itself.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let renewal = self.renewals.first();
        let due = renewal.map(|end| end - self.deadlines.margin());
        let (last, expiry) = (self.lasts.first(), self.expiries.first());
        earliest(&[due, last, expiry, self.next_send()])
    }

    /// Whether [`poll`](Self::poll) has something to do, which most passes ask in vain.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        self.deadlines.look(now);
        self.next_wake().is_some_and(|next| next <= now)
    }

    /// Finds what is due. Bounded: at most [`POLL_COUNT_MAX`] leases of each kind, and a part
    /// of one batch.
    pub(crate) fn poll(&mut self, now: Instant) -> Commands {
        let mut commands = Commands::default();
        self.deadlines.look(now);
        for _ in 0..POLL_COUNT_MAX {
            let Some(handle) = self.lasts.first_due(now, &self.leases) else {
                break;
            };
            commands.steps += 1;
            self.stop_timer(handle);
            self.arm_expiry(handle);
            if self.is_ending(now, handle) {
                commands.ending.push(handle);
            }
        }
        for _ in 0..POLL_COUNT_MAX {
            let Some(handle) = self.expiries.first_due(now, &self.leases) else {
                break;
            };
            commands.steps += 1;
            self.stop_timer(handle);
            // Sooner than its tick never, but a lease may have been extended meanwhile.
            let is_over = self
                .leases
                .get(handle)
                .is_some_and(|lease| now >= lease.deadline);
            if !is_over {
                self.arm_expiry(handle);
            } else if self.lose(handle) {
                commands.lost.push(handle);
            }
        }
        let looked = self.gather(now);
        commands.steps += looked * GATHER_STEPS;
        commands.batch = self.seal(now);
        if let Some(batch) = &commands.batch {
            commands.steps += batch.members.len() / SEALED_A_STEP;
        } else if looked == 0 || self.gathering.is_empty() {
            commands.steps += self.take_renewals(now, POLL_COUNT_MAX);
        }
        commands.is_more = self.next_wake().is_some_and(|next| next <= now);
        commands
    }

    /// Whether a lease is neither settled nor over.
    fn is_ending(&self, now: Instant, handle: Handle) -> bool {
        let lease = self.leases.get(handle);
        lease.is_some_and(|lease| lease.stage == Stage::Held && now < lease.deadline)
    }

    /// Arms the timer of a lease, in no queue, after its deadline has moved.
    pub(super) fn rearm(&mut self, since: Instant, handle: Handle, is_first: bool) {
        match self
            .leases
            .get(handle)
            .map(|lease| (lease.stage, lease.is_extending))
        {
            Some((Stage::Held, false)) => self.arm(since, handle, is_first),
            Some((Stage::Held, true) | (Stage::Settling, _)) => self.arm_expiry(handle),
            Some((Stage::Sent, _)) | None => {}
        }
    }

    /// Arms the renewal of a lease that has run since `since`; `is_first` says that this was not
    /// by an extension.
    pub(super) fn arm(&mut self, since: Instant, handle: Handle, is_first: bool) {
        if let Some(lease) = self.leases.get(handle) {
            self.arm_until((since, lease.deadline), handle, is_first);
        }
    }

    /// What `arm` does, given since when and until when the lease runs.
    pub(super) fn arm_until(&mut self, run: (Instant, Instant), handle: Handle, is_first: bool) {
        let count_max = self.settings.extend_count_max;
        if count_max == 0 {
            return self.arm_last(handle);
        }
        let tick = match self.spread.latest(run) {
            Some(tick) => tick,
            None => {
                let live = self.leases.len();
                let (deadlines, renewals) = (&self.deadlines, &self.renewals);
                self.spread
                    .choose(run, is_first, deadlines, renewals, (live, count_max))
            }
        };
        let lease = self.renewals.add(tick, handle.index(), &mut self.leases);
        lease.timer = Timer::Renew;
    }

    /// Arms the last timer but one of a lease that will not be extended any more.
    pub(super) fn arm_last(&mut self, handle: Handle) {
        let Some(lease) = self.leases.get(handle) else {
            return;
        };
        let span = (lease.deadline - lease.received).min(self.settings.lease);
        let tick = self.lasts.floor(lease.deadline - span / ENDING);
        let lease = self.lasts.add(tick, handle.index(), &mut self.leases);
        lease.timer = Timer::Last;
    }

    pub(super) fn arm_expiry(&mut self, handle: Handle) {
        let Some(lease) = self.leases.get(handle) else {
            return;
        };
        let tick = self.expiries.ceil(lease.deadline);
        let lease = self.expiries.add(tick, handle.index(), &mut self.leases);
        lease.timer = Timer::Expire;
    }

    /// Takes a lease out of every queue it is in.
    pub(super) fn disarm(&mut self, handle: Handle) {
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        match std::mem::take(&mut lease.wait) {
            Wait::No => {}
            Wait::Queued => {
                self.waiting.remove(&(lease.deadline, handle));
            }
            Wait::Gathered => self.gathering.leave(),
        }
        self.stop_timer(handle);
    }

    pub(super) fn stop_timer(&mut self, handle: Handle) {
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        let place = lease.place;
        let cohorts = match std::mem::replace(&mut lease.timer, Timer::Off) {
            Timer::Off => return,
            Timer::Renew => &mut self.renewals,
            Timer::Last => &mut self.lasts,
            Timer::Expire => &mut self.expiries,
        };
        cohorts.remove(place, &mut self.leases);
    }
}

/// How many leases one poll looks at, of each kind.
pub(super) const POLL_COUNT_MAX: usize = 128;

/// The part of a lease that is left when it is about to end: what is to be done under it takes
/// time.
const ENDING: u32 = 8;

/// A lease that is gathered is in no cache, nor are its names: it takes several steps' time.
const GATHER_STEPS: usize = 2;

/// How many leases of a batch are sealed in a step's time.
const SEALED_A_STEP: usize = 8;
