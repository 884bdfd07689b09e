//! Settlements: from the end of a handler to the broker's confirmation.
//!
//! They leave at once when none is on its way, and gather while one is. They never queue behind
//! extensions; only a nack waits for the extension of its own lease, which could override it.

use std::collections::VecDeque;
use std::time::Duration;

use super::answers::Came;
use super::calls::Answer;
use super::delivering::{Delivering, End, Running, Settling, Stage};
use super::engine::Engine;
use crate::lease::{Handle, Lease, Member};
use crate::{BrokerCall, Event, Instant, Outcome, Settle, Settlement};

/// Settlements that have not been sent, and the state of the calls.
#[derive(Default)]
pub(super) struct Settlements {
    queue: VecDeque<Handle>,
    calls_in_flight: usize,
    retry_at: Instant,
    failures: u32,
}

impl Settlements {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        // With a call on its way, its end is what is waited for.
        (self.calls_in_flight == 0 && !self.queue.is_empty()).then_some(self.retry_at)
    }

    pub(super) fn push(&mut self, handle: Handle) {
        self.queue.push_back(handle);
    }
}

impl Engine<'_> {
    /// Has the broker told how a delivery ends. Its scope has been left and its lease not been
    /// lost; whether it is over is looked at when it is sent.
    pub(super) fn settle(&mut self, handle: Handle, settle: Settle, is_release: bool) {
        let Some(lease) = self.table.settle(handle) else {
            return;
        };
        let away = match settle {
            Settle::Ack | Settle::Dead { .. } => None,
            Settle::Nack { after, .. } => Some(after),
        };
        let is_held = lease.is_extending && away.is_some();
        let settling = Stage::Settling(Settling::new(settle, is_release, is_held));
        match std::mem::replace(&mut lease.owner.stage, settling) {
            Stage::Running(running) => self.leave_scope(&running),
            stage => self.leave(&stage),
        }
        self.stats.settling += 1;
        if !is_held {
            self.settlements.push(handle);
        }
        if self.order.is_some()
            && let Some(lease) = self.table.get(handle)
        {
            let delivery = lease.owner.delivery.key();
            self.leave_lane(handle, &delivery, away);
        }
    }

    /// Sends what may be sent; returns whether something was.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        if self.shutdown.is_giving_up() {
            return false;
        }
        let count_max = self.caps.settle_count_max.max(1);
        let mut is_busy = false;
        // A stop hands back a part at a time: sent as they come, the parts would each be a call.
        let is_gathering = self.is_handing_back();
        loop {
            let Settlements {
                queue,
                calls_in_flight,
                retry_at,
                ..
            } = &self.settlements;
            let is_full = queue.len() >= count_max && *calls_in_flight < SETTLE_CALLS_MAX;
            let may_send = is_full || *calls_in_flight == 0 && !is_gathering;
            if queue.is_empty() || !may_send || now < *retry_at {
                return is_busy;
            }
            is_busy |= self.send_batch(now, count_max);
        }
    }

    /// Applies the answer to a batch of settlements.
    pub(super) fn settled(
        &mut self,
        now: Instant,
        members: Vec<Member>,
        answer: Answer<Vec<Outcome>>,
    ) {
        self.settlements.calls_in_flight -= 1;
        let came = match answer {
            Answer::Done(outcomes) => {
                self.settlements.failures = 0;
                Came::Settled(outcomes)
            }
            Answer::Retryable(error) => {
                let mut failures = self.settlements.failures;
                let retry_at = self.call_failed(now, BrokerCall::Settle, &mut failures, error);
                self.settlements.failures = failures;
                self.settlements.retry_at = retry_at;
                Came::Unsettled
            }
            Answer::Permanent(broken) => {
                self.call_broke(now, BrokerCall::Settle, broken);
                Came::Unsettleable
            }
        };
        self.answered(now, members, came);
    }

    /// A lease is over: nothing is told to the broker, which may have leased it to somebody else.
    pub(super) fn lose(&mut self, handle: Handle) {
        if self.table.lose(handle) {
            self.lost(handle);
        }
    }

    /// Tells of a lost lease, and ends the delivery unless its handler is still running.
    pub(super) fn lost(&mut self, handle: Handle) {
        self.emit_about(handle, Event::LeaseLost);
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        if matches!(lease.owner.stage, Stage::Running(_)) {
            lease.owner.delivery.set_lease_lost();
            self.stats.lost += 1;
        } else {
            self.end(handle, End::Expired);
        }
    }

    /// Ends a delivery, once and for all.
    pub(super) fn end(&mut self, handle: Handle, end: End) {
        let Some(lease) = self.table.get_mut(handle) else {
            return;
        };
        let is_lost = lease.is_lost;
        let stage = std::mem::replace(&mut lease.owner.stage, Stage::Buffered);
        let totals = &mut self.stats.totals;
        match end {
            End::Expired => totals.expired += 1,
            End::Abandoned => totals.abandoned += 1,
            End::Settled => match &stage {
                Stage::Settling(settling) => *settling.total(totals) += 1,
                // Not reached: only a settlement is confirmed.
                Stage::Buffered | Stage::Running(_) | Stage::Parked(_) => totals.abandoned += 1,
            },
        }
        self.stats.outstanding -= 1;
        self.stats.bytes -= lease.owner.delivery.payload().len();
        match &stage {
            Stage::Running(_) => self.stats.lost -= usize::from(is_lost),
            _ if matches!(end, End::Expired) => self.poison.spare(lease.owner.delivery.id()),
            _ => {}
        }
        self.leave(&stage);
        if self.order.is_some() || self.settings.observer.is_some() {
            self.tell_end(handle, end, stage);
        }
        self.table.remove(handle);
    }

    /// Tells the observer and the lane of a delivery of its end.
    fn tell_end(&mut self, handle: Handle, end: End, stage: Stage) {
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        let key = lease.owner.delivery.key();
        self.emit(|| match (end, stage) {
            (End::Settled, Stage::Settling(settling)) => settling.event(key.clone()),
            (End::Expired, _) => Event::Expired(key.clone()),
            (End::Abandoned | End::Settled, _) => Event::Abandoned(key.clone()),
        });
        if self.order.is_some() {
            // Away, and back as soon as somebody has it: it was not done, or is not known to be.
            self.leave_lane(handle, &key, Some(Duration::ZERO));
        }
    }

    /// A handler has ended, or is given up.
    fn leave_scope(&mut self, running: &Running) {
        self.stats.running -= 1;
        self.stats.stuck -= usize::from(running.is_stuck);
        self.observe_end(running);
    }

    /// A delivery is no longer at a stage.
    pub(super) fn leave(&mut self, stage: &Stage) {
        match stage {
            Stage::Buffered => self.stats.buffered -= 1,
            Stage::Running(running) => self.leave_scope(running),
            Stage::Parked(parked) => {
                self.stats.parked -= 1;
                self.parking.bytes -= parked.bytes;
            }
            Stage::Settling(_) => self.stats.settling -= 1,
        }
    }

    fn send_batch(&mut self, now: Instant, count_max: usize) -> bool {
        let count = count_max.min(self.settlements.queue.len());
        let mut members = self.calls.members(count);
        let mut batch = Vec::with_capacity(count);
        let mut useless = now + self.settings.lease;
        while batch.len() < count_max {
            let Some(handle) = self.settlements.queue.pop_front() else {
                break;
            };
            let Some(lease) = self.table.get(handle) else {
                continue;
            };
            let Stage::Settling(settling) = &lease.owner.stage else {
                continue;
            };
            if now >= lease.deadline {
                self.lose(handle);
                continue;
            }
            useless = useless.max(lease.deadline);
            members.push(lease.member(handle));
            // What nearly all are is written in place; another is made from what is kept.
            match settling {
                Settling::Ack => batch.push(Settlement {
                    id: lease.owner.delivery.id().clone(),
                    lease: lease.token().clone(),
                    settle: Settle::Ack,
                }),
                settling => batch.push(settlement(lease, settling.settle())),
            }
            self.table.send(handle);
        }
        if batch.is_empty() {
            self.calls.keep(members);
            return true;
        }
        self.settlements.calls_in_flight += 1;
        self.call_settle(members, batch, useless);
        true
    }

    /// The broker knows no such lease.
    pub(super) fn refused(&mut self, now: Instant, member: Member) {
        if self.table.is_current(member) {
            self.lose(member.handle);
        } else {
            // The message came again meanwhile: it is settled under the newer lease.
            self.send_again(now, member.handle);
        }
    }

    pub(super) fn send_again(&mut self, now: Instant, handle: Handle) {
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        if now >= lease.deadline {
            return self.lose(handle);
        }
        self.table.unsend(handle);
        self.settlements.push(handle);
    }
}

/// What the broker is told of a delivery.
#[cold]
fn settlement(lease: &Lease<Delivering>, settle: Settle) -> Settlement {
    Settlement {
        id: lease.owner.delivery.id().clone(),
        lease: lease.token().clone(),
        settle,
    }
}

/// How many calls of `settle` may be on their way; all but the first are full batches.
const SETTLE_CALLS_MAX: usize = 4;
