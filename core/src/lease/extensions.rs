//! Extensions: which leases are extended together, and what the answers mean.

use super::slab::Handle;
use super::slot::{Leased, Stage, Timer};
use super::table::LeaseTable;
use crate::{Extension, Instant, Outcome};

/// Extensions for one call of the broker.
#[derive(Debug)]
pub(crate) struct ExtendBatch {
    /// Whose they are, in the order of `extensions`.
    pub(crate) members: Vec<Member>,
    /// What the broker is told.
    pub(crate) extensions: Vec<Extension>,
    /// When the batch was made: extensions count from here.
    pub(crate) sent: Instant,
    /// When an answer is of no use any more: every lease of the batch is over.
    pub(crate) useless: Instant,
    /// When the first lease of the batch ends unless the call succeeds.
    pub(crate) earliest: Instant,
}

/// A lease in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) handle: Handle,
    /// Which of the lease's tokens was sent.
    pub(crate) epoch: u32,
    /// When the lease ends if the call succeeds.
    pub(crate) deadline: Instant,
}

impl<T: Leased> LeaseTable<T> {
    /// Stops extending anything: the broker is gone.
    pub(crate) fn stop_extending(&mut self) {
        self.settings.extend_count_max = 0;
    }

    /// Applies the answer to a batch; returns the leases that are lost by it.
    pub(crate) fn extended(
        &mut self,
        batch: &[Member],
        sent: Instant,
        outcomes: &[Outcome],
    ) -> Vec<Handle> {
        self.calls_in_flight -= 1;
        let mut lost = Vec::new();
        for (member, outcome) in batch.iter().zip(outcomes) {
            // Another token has taken its place: the answer is about a lease that is no more.
            if !self.is_current(*member) {
                continue;
            }
            let handle = member.handle;
            let Some(lease) = self.leases.get_mut(handle) else {
                continue;
            };
            lease.is_extending = false;
            if lease.is_lost || lease.stage == Stage::Sent {
                continue;
            }
            match outcome {
                Outcome::Done => {
                    self.disarm(handle);
                    self.prolong(handle, member.deadline);
                    self.rearm(sent, handle);
                }
                Outcome::Gone => {
                    if self.lose(handle) {
                        lost.push(handle);
                    }
                }
            }
        }
        lost
    }

    /// Puts a failed batch back; nothing is sent before `retry_at`.
    pub(crate) fn extend_failed(&mut self, batch: &[Member], retry_at: Instant) {
        self.calls_in_flight -= 1;
        self.retry_at = retry_at;
        for member in batch
            .iter()
            .filter(|member| self.is_current(**member))
            .collect::<Vec<_>>()
        {
            if let Some(lease) = self.leases.get_mut(member.handle) {
                lease.is_extending = false;
            }
            self.queue(member.handle);
        }
    }

    /// Moves a deadline, of a lease in no queue, later.
    fn prolong(&mut self, handle: Handle, deadline: Instant) {
        if let Some(lease) = self.leases.get_mut(handle) {
            lease.deadline = lease.deadline.max(deadline);
        }
    }

    /// Cuts one batch: as many as fit, earliest deadline first, nearly due ones included.
    pub(super) fn cut(&mut self, now: Instant) -> Option<ExtendBatch> {
        let count_max = self.settings.extend_count_max;
        let is_blocked = self.calls_in_flight >= EXTEND_CALLS_MAX || now < self.retry_at;
        if is_blocked || count_max == 0 || self.waiting.is_empty() {
            return None;
        }
        let room = count_max.saturating_sub(self.waiting.len());
        self.take_renewals(now + self.settings.lease / 16, room);

        let count = count_max.min(self.waiting.len());
        let mut batch = ExtendBatch {
            members: Vec::with_capacity(count),
            extensions: Vec::with_capacity(count),
            sent: now,
            useless: now + self.settings.lease,
            earliest: Instant::from_nanos(u64::MAX),
        };
        while batch.members.len() < count_max {
            let Some((_, handle)) = self.waiting.pop_first() else {
                break;
            };
            let Some(lease) = self.leases.get_mut(handle) else {
                continue;
            };
            lease.is_waiting = false;
            let duration = self
                .settings
                .lease
                .min(lease.received + self.settings.lease_max - now);
            // At the end of the longest lease an extension would change nothing: let it run out.
            if now + duration <= lease.deadline || now >= lease.deadline {
                continue;
            }
            lease.is_extending = true;
            let deadline = now + duration;
            batch.useless = batch.useless.max(lease.deadline);
            batch.earliest = batch.earliest.min(lease.deadline);
            batch.members.push(Member {
                handle,
                epoch: lease.epoch,
                deadline,
            });
            let (id, token) = (lease.owner.id().clone(), lease.token().clone());
            batch.extensions.push(Extension {
                id,
                lease: token,
                duration,
            });
        }
        if batch.members.is_empty() {
            return None;
        }
        self.calls_in_flight += 1;
        Some(batch)
    }

    /// Moves leases whose renewal is due by `until` to the waiting ones.
    pub(super) fn take_renewals(&mut self, until: Instant, count_max: usize) {
        for _ in 0..count_max {
            let Some(handle) = self.renewals.first_due(until, &self.leases) else {
                break;
            };
            self.stop_timer(handle);
            self.queue(handle);
        }
    }

    /// Has a held lease wait for an extension, and run out if it gets none.
    fn queue(&mut self, handle: Handle) {
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        if lease.is_lost || lease.stage == Stage::Sent {
            return;
        }
        if lease.stage == Stage::Held {
            lease.is_waiting = true;
            self.waiting.insert((lease.deadline, handle));
        }
        if matches!(lease.timer, Timer::Off) {
            self.arm_expiry(handle);
        }
    }
}

/// How many calls of `extend` may be on their way: more would only grow the broker's queue.
pub(super) const EXTEND_CALLS_MAX: usize = 4;
