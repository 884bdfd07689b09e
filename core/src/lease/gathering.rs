//! Gathering: a batch of extensions is made a part at a time, and sealed when it is sent.
//!
//! A batch may be as large as the broker allows, of leases that nobody has looked at for half a
//! minute: a poll may not take as long as that. What is gathered is not yet on its way: a lease
//! that is settled, lost or renamed meanwhile leaves the batch, and all times count from the seal.

use std::time::Duration;

use super::extensions::{CALLS_MAX, ExtendBatch, Member};
use super::slab::Handle;
use super::slot::{Leased, Stage, Timer, Wait};
use super::table::LeaseTable;
use crate::{Extension, Instant};

/// A batch that has not been sent.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Some of them may have left.
    members: Vec<Member>,
    /// One for each member; how long it is for is not known yet.
    extensions: Vec<Extension>,
    /// How many members are still there.
    count: usize,
    /// How many leases were looked at for it, and when the last of them were.
    looked: usize,
    pub(super) looked_at: Instant,
    /// Whether nothing is to be added.
    is_complete: bool,
}

impl Gathering {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member is not to be extended after all.
    pub(super) fn leave(&mut self) {
        self.count -= 1;
    }
}

impl<T: Leased> LeaseTable<T> {
    /// Adds to the batch, earliest deadline first, nearly due ones included; returns how many
    /// leases were looked at.
    pub(super) fn gather(&mut self, now: Instant) -> usize {
        if !self.may_gather(now) {
            return 0;
        }
        let count_max = self.settings.extend_count_max;
        let nearly_due = now + self.deadlines.margin() + self.deadlines.lease() / NEARLY;
        if self.gathering.is_empty() {
            let capacity = count_max.min(self.leases.len());
            self.gathering.members.reserve_exact(capacity);
            self.gathering.extensions.reserve_exact(capacity);
        }
        let mut looked = 0;
        // Bounded: those that turn out not to need it are looked at as well. As many as one poll
        // may look at are, however small a batch is: what is due goes into one call.
        let looks_max = (2 * count_max.min(self.leases.len())).max(GATHER_COUNT_MAX);
        let looks = GATHER_COUNT_MAX.min(looks_max.saturating_sub(self.gathering.looked));
        while self.gathering.count < count_max && looked < looks {
            let handle = match self.waiting.pop_first() {
                Some((_, handle)) => handle,
                None => match self.renewals.first_due(nearly_due, &self.leases) {
                    Some(handle) => handle,
                    None => break,
                },
            };
            self.take(now, handle);
            looked += 1;
        }
        let gathering = &mut self.gathering;
        gathering.looked += looked;
        gathering.looked_at = now;
        gathering.is_complete = looked < GATHER_COUNT_MAX || gathering.count >= count_max;
        looked
    }

    /// Makes a batch of what was gathered, if that is complete and may be sent.
    pub(super) fn seal(&mut self, now: Instant) -> Option<ExtendBatch> {
        let may_send = self.settings.extend_count_max > 0 && now >= self.retry_at;
        if !self.gathering.is_complete || !may_send {
            return None;
        }
        let Gathering {
            mut members,
            mut extensions,
            ..
        } = std::mem::take(&mut self.gathering);
        let mut useless = now + self.deadlines.lease();
        let mut earliest = Instant::from_nanos(u64::MAX);
        let mut kept = 0;
        for index in 0..members.len() {
            let Some((ends, deadline)) = self.seal_one(now, members[index]) else {
                continue;
            };
            useless = useless.max(ends);
            earliest = earliest.min(ends);
            if kept < index {
                members.swap(kept, index);
                extensions.swap(kept, index);
            }
            members[kept].deadline = deadline;
            extensions[kept].duration = deadline - now;
            kept += 1;
        }
        members.truncate(kept);
        extensions.truncate(kept);
        if members.is_empty() {
            return None;
        }
        self.calls_in_flight += 1;
        self.deadlines.sent(now);
        Some(ExtendBatch {
            members,
            extensions,
            sent: now,
            useless,
            earliest,
        })
    }

    /// Whether a batch may be sent, or none has to wait as long as few calls are on their way.
    fn may_gather(&self, now: Instant) -> bool {
        let is_allowed = match self.next_send() {
            Some(at) => at <= now,
            None => {
                let has_room = self.calls_in_flight < CALLS_MAX && self.retry_at <= now;
                let due = now + self.deadlines.margin();
                has_room && self.waiting.is_empty() && self.renewals.is_due(due)
            }
        };
        is_allowed && self.settings.extend_count_max > 0
    }

    /// Takes a lease that waits or is due into the batch, if it is to be extended.
    fn take(&mut self, now: Instant, handle: Handle) {
        if matches!(self.leases.get(handle), Some(lease) if lease.timer == Timer::Renew) {
            self.stop_timer(handle);
        }
        let wanted = now + self.deadlines.lease();
        let lease_max = self.settings.lease_max;
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        lease.wait = Wait::No;
        if lease.is_lost || lease.stage == Stage::Sent {
            return;
        }
        let deadline = wanted.min(lease.received + lease_max);
        let is_held = lease.stage == Stage::Held && now < lease.deadline;
        if is_held && deadline > lease.deadline {
            lease.wait = Wait::Gathered;
            self.gathering.count += 1;
            self.gathering.members.push(Member {
                handle,
                epoch: lease.epoch,
                deadline,
            });
            self.gathering.extensions.push(Extension {
                id: lease.owner.id().clone(),
                lease: lease.token().clone(),
                duration: Duration::ZERO,
            });
        } else if is_held && deadline == wanted {
            return self.keep(now, handle);
        } else if is_held {
            // At the end of the longest lease an extension would change nothing: let it run out.
            self.stop_timer(handle);
            return self.arm_last(handle);
        }
        if matches!(lease.timer, Timer::Off) {
            self.arm_expiry(handle);
        }
    }

    /// Leaves a lease be that lasts longer than is wanted by now: an extension would make it
    /// shorter. Later it would not; but if it is due even so, the end of time is near.
    fn keep(&mut self, now: Instant, handle: Handle) {
        let margin = self.deadlines.margin();
        let Some(lease) = self.leases.get(handle) else {
            return;
        };
        if lease.deadline - now > margin {
            self.stop_timer(handle);
            self.arm(now, handle, false);
        } else if matches!(lease.timer, Timer::Off) {
            self.arm_expiry(handle);
        }
    }

    /// Notes that a member's extension is sent now, if it has not left the batch; returns when the
    /// lease ends if the call fails, and if it succeeds.
    fn seal_one(&mut self, now: Instant, member: Member) -> Option<(Instant, Instant)> {
        let wanted = now + self.deadlines.lease();
        let lease_max = self.settings.lease_max;
        let lease = self.leases.get_mut(member.handle)?;
        // It may have left and come again under another token, or twice under the same.
        if lease.wait != Wait::Gathered || lease.epoch != member.epoch {
            return None;
        }
        lease.wait = Wait::No;
        // Over, and about to be lost.
        if now >= lease.deadline {
            return None;
        }
        let deadline = wanted.min(lease.received + lease_max);
        if deadline <= lease.deadline {
            // Less is wanted than when it was gathered.
            self.keep(now, member.handle);
            return None;
        }
        lease.is_extending = true;
        Some((lease.deadline, deadline))
    }
}

/// How many leases one poll looks at for a batch: their names are in no cache.
pub(super) const GATHER_COUNT_MAX: usize = 64;

/// Leases that are due within this share of a lease fill up a batch.
const NEARLY: u32 = 16;

#[cfg(test)]
mod tests;
