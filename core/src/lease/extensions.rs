//! Extensions: which leases are extended together, and what the answers mean.

use super::slab::Handle;
use super::slot::{Leased, Stage, Timer, Wait};
use super::table::LeaseTable;
use crate::{Extension, Instant, Outcome};

/// Extensions for one call of the broker.
#[derive(Debug)]
pub(crate) struct ExtendBatch {
    /// Whose they are, in the order of `extensions`.
    pub(crate) members: Vec<Member>,
    /// What the broker is told.
    pub(crate) extensions: Vec<Extension>,
    /// When the batch was sealed, to be sent at once: extensions count from here.
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
    /// Stops extending anything, what has been gathered included: the broker is gone.
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

    /// Sends nothing before `retry_at`: a call has failed.
    pub(crate) fn extend_later(&mut self, retry_at: Instant) {
        self.retry_at = retry_at;
    }

    /// Puts members of a failed batch back.
    pub(crate) fn extend_failed(&mut self, batch: &[Member]) {
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
        if self.settings.extend_count_max == 0 {
            return None;
        }
        // It was begun because it might be sent, and calls have become no more since then.
        if !self.gathering.is_empty() {
            return Some(self.retry_at.max(self.gathering.looked_at));
        }
        let (earliest, _) = self.waiting.first()?;
        let room_at = match self.calls_in_flight {
            0..CALLS_MAX => Instant::ZERO,
            CALLS_MAX..URGENT_CALLS_MAX => *earliest - self.deadlines.margin() / 2,
            _ => return None,
        };
        Some(self.retry_at.max(room_at))
    }

    /// Moves leases that are due, and cannot be extended now, to the waiting ones; returns how
    /// many.
    pub(super) fn take_renewals(&mut self, now: Instant, count_max: usize) -> usize {
        let due = now + self.deadlines.margin();
        for count in 0..count_max {
            let Some(handle) = self.renewals.first_due(due, &self.leases) else {
                return count;
            };
            self.stop_timer(handle);
            self.queue(handle);
        }
        count_max
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
            lease.wait = Wait::Queued;
            self.waiting.insert((lease.deadline, handle));
        }
        if matches!(lease.timer, Timer::Off) {
            self.arm_expiry(handle);
        }
    }
}

/// How many calls of `extend` are on their way at a time: more would only grow the broker's queue.
pub(super) const CALLS_MAX: usize = 4;

/// How many are when leases wait of which less than half of the margin is left: calls are slow, and
/// leases must not be lost for that.
const URGENT_CALLS_MAX: usize = 32;
