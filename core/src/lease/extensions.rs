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
    pub(crate) epoch: u16,
    /// When the lease ends if the call succeeds.
    pub(crate) deadline: Instant,
}

impl<T: Leased> LeaseTable<T> {
    /// Stops extending anything: the broker is gone.
    pub(crate) fn stop_extending(&mut self) {
        self.settings.extend_count_max = 0;
    }

    /// Applies the answer to members of a batch; returns the leases that are lost by it.
    pub(crate) fn extended(
        &mut self,
        batch: &[Member],
        sent: Instant,
        outcomes: &[Outcome],
    ) -> Vec<Handle> {
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
                    self.rearm(sent, handle, false);
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

    /// A call has ended, whatever way.
    pub(crate) fn answered(&mut self, now: Instant, sent: Instant) {
        self.calls_in_flight -= 1;
        self.deadlines.answered(now, sent);
    }

    /// When the next call may be made for leases that wait for one.
    pub(super) fn next_send(&self) -> Option<Instant> {
        let (earliest, _) = self.waiting.first()?;
        let room_at = match self.calls_in_flight {
            _ if self.settings.extend_count_max == 0 => return None,
            0..CALLS_MAX => Instant::ZERO,
            CALLS_MAX..URGENT_CALLS_MAX => *earliest - self.deadlines.margin() / 2,
            _ => return None,
        };
        Some(self.retry_at.max(room_at))
    }

    /// Cuts one batch: as many as fit, earliest deadline first, nearly due ones included.
    pub(super) fn cut(&mut self, now: Instant) -> Option<ExtendBatch> {
        let count_max = self.settings.extend_count_max;
        let due = now + self.deadlines.margin();
        let is_allowed = match self.next_send() {
            Some(at) => at <= now,
            // None waits, and none has to as long as few calls are on their way.
            None => {
                let has_room = self.calls_in_flight < CALLS_MAX && self.retry_at <= now;
                has_room && self.waiting.is_empty() && self.renewals.is_due(due)
            }
        };
        if !is_allowed || count_max == 0 {
            return None;
        }
        let nearly_due = due + self.deadlines.lease() / NEARLY;
        let mut batch = ExtendBatch {
            members: Vec::with_capacity(count_max.min(self.leases.len())),
            extensions: Vec::with_capacity(count_max.min(self.leases.len())),
            sent: now,
            useless: now + self.deadlines.lease(),
            earliest: Instant::from_nanos(u64::MAX),
        };
        // Bounded: those that turn out not to need it are looked at as well.
        for _ in 0..2 * count_max.min(self.leases.len()) {
            if batch.members.len() == count_max {
                break;
            }
            let handle = match self.waiting.pop_first() {
                Some((_, handle)) => handle,
                None => match self.renewals.first_due(nearly_due, &self.leases) {
                    Some(handle) => handle,
                    None => break,
                },
            };
            self.take(now, handle, &mut batch);
        }
        if batch.members.is_empty() {
            return None;
        }
        self.calls_in_flight += 1;
        self.deadlines.sent(now);
        Some(batch)
    }

    /// Takes a lease that waits or is due into a batch, if it is to be extended.
    fn take(&mut self, now: Instant, handle: Handle, batch: &mut ExtendBatch) {
        if matches!(self.leases.get(handle), Some(lease) if lease.timer == Timer::Renew) {
            self.stop_timer(handle);
        }
        let wanted = now + self.deadlines.lease();
        let lease_max = self.settings.lease_max;
        let Some(lease) = self.leases.get_mut(handle) else {
            return;
        };
        lease.is_waiting = false;
        if lease.is_lost || lease.stage == Stage::Sent {
            return;
        }
        let deadline = wanted.min(lease.received + lease_max);
        let is_held = lease.stage == Stage::Held && now < lease.deadline;
        if is_held && deadline > lease.deadline {
            lease.is_extending = true;
            batch.useless = batch.useless.max(lease.deadline);
            batch.earliest = batch.earliest.min(lease.deadline);
            batch.members.push(Member {
                handle,
                epoch: lease.epoch,
                deadline,
            });
            batch.extensions.push(Extension {
                id: lease.owner.id().clone(),
                lease: lease.token().clone(),
                duration: deadline - now,
            });
        } else if is_held && deadline == wanted {
            // It lasts longer than is wanted by now: an extension would make it shorter. Later it
            // would not; but if it is due even so, the end of time is near.
            let is_due = lease.deadline - now <= self.deadlines.margin();
            if !is_due {
                self.stop_timer(handle);
                return self.arm(now, handle, false);
            }
        }
        // At the end of the longest lease an extension would change nothing: let it run out.
        if matches!(lease.timer, Timer::Off) {
            self.arm_expiry(handle);
        }
    }

    /// Moves leases that are due, and cannot be extended now, to the waiting ones.
    pub(super) fn take_renewals(&mut self, now: Instant, count_max: usize) {
        let due = now + self.deadlines.margin();
        for _ in 0..count_max {
            let Some(handle) = self.renewals.first_due(due, &self.leases) else {
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

/// How many calls of `extend` are on their way at a time: more would only grow the broker's queue.
const CALLS_MAX: usize = 4;

/// How many are when leases wait of which less than half of the margin is left: calls are slow, and
/// leases must not be lost for that.
const URGENT_CALLS_MAX: usize = 32;

/// Leases that are due within this share of a lease fill up a batch.
const NEARLY: u32 = 16;
