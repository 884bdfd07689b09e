//! Handling: what a handler's end and its lease come to.

use std::time::Duration;

use super::answers::Came;
use super::calls::Answer;
use super::delivering::{End, Running, Stage};
use super::engine::Engine;
use crate::handler::Finish;
use crate::lease::{Handle, Member};
use crate::{BrokerCall, Delivery, Event, Failure, Instant, Outcome, Settle, Verdict};

impl Engine<'_> {
    /// A handler has ended with an ack, as nearly all do.
    pub(super) fn finish_acked(&mut self, now: Instant, handle: Handle) {
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        match &lease.owner.stage {
            Stage::Running(running)
                if running.shields.is_none() && !lease.is_lost && now < lease.deadline =>
            {
                self.settle(handle, Settle::Ack, false);
            }
            _ => self.finish(now, handle, Finish::Verdict(Verdict::Ack)),
        }
    }

    /// A handler has ended.
    pub(super) fn finish(&mut self, now: Instant, handle: Handle, finish: Finish) {
        if let Finish::Panicked(message) = &finish {
            let message = message.clone();
            self.panicked(handle, message);
        }
        if matches!(finish, Finish::Refused) {
            self.fail(Failure::ExecutorShutDown);
        }
        let Some(lease) = self.table.get_mut(handle) else {
            return;
        };
        let Stage::Running(running) = &mut lease.owner.stage else {
            return;
        };
        // Its scope is left when its shielded work has ended.
        if let Some(shields) = running.shields.as_mut().filter(|shields| shields.count > 0) {
            shields.finish = Some(finish);
            return;
        }
        self.conclude(now, handle, finish);
    }

    /// Extends leases that are due and finds those that are lost.
    pub(super) fn keep_leases(&mut self, now: Instant) -> bool {
        if !self.table.is_due(now) {
            return false;
        }
        let commands = self.table.poll(now);
        self.work += commands.steps;
        let is_busy = commands.is_more || !commands.lost.is_empty() || commands.batch.is_some();
        for handle in commands.lost {
            self.lost(handle);
        }
        for handle in commands.ending {
            self.hand_back_waiting(handle);
        }
        if let Some(batch) = commands.batch {
            self.call_extend(batch);
        }
        is_busy
    }

    /// Hands back what waits while it can still be told to the broker: lost, it could count as an
    /// attempt.
    fn hand_back_waiting(&mut self, handle: Handle) {
        match self.table.get(handle).map(|lease| &lease.owner.stage) {
            Some(Stage::Buffered) => self.release(handle),
            Some(Stage::Parked(_)) => self.unpark(handle),
            _ => {}
        }
    }

    /// Applies the answer to a batch of extensions.
    pub(super) fn extended(
        &mut self,
        now: Instant,
        members: Vec<Member>,
        sent: Instant,
        answer: Answer<Vec<Outcome>>,
    ) {
        self.table.answered(now, sent);
        let came = match answer {
            Answer::Done(outcomes) => {
                self.extend_failures = 0;
                Came::Extended(sent, outcomes)
            }
            Answer::Retryable(error) => {
                let mut failures = self.extend_failures;
                let retry_at = self.call_failed(now, BrokerCall::Extend, &mut failures, error);
                self.extend_failures = failures;
                self.table.extend_later(retry_at);
                Came::Unextended
            }
            Answer::Permanent(broken) => {
                self.call_broke(now, BrokerCall::Extend, broken);
                Came::Unextended
            }
        };
        self.answered(now, members, came);
    }

    pub(super) fn running_mut(&mut self, handle: Handle) -> Option<&mut Running> {
        match &mut self.table.owner_mut(handle)?.stage {
            Stage::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Settles a delivery whose scope has been left: `finish` is how its handler ended.
    pub(super) fn conclude(&mut self, now: Instant, handle: Handle, finish: Finish) {
        let Some(lease) = self.table.get(handle) else {
            return;
        };
        let Stage::Running(running) = &lease.owner.stage else {
            return;
        };
        if lease.is_lost {
            if matches!(finish, Finish::NotBegun) {
                self.poison.spare(lease.owner.delivery.id());
            }
            return self.end(handle, End::Expired);
        }
        let shields = running.shields.as_ref();
        if shields.is_some_and(|shields| shields.is_abandoned) {
            return self.end(handle, End::Abandoned);
        }
        if now >= lease.deadline {
            self.lose(handle);
            return self.end(handle, End::Expired);
        }
        let settle = self.settlement(handle, finish);
        self.settle_or_park(now, handle, settle, false);
    }

    /// Turns the end of a handler into a settlement.
    fn settlement(&mut self, handle: Handle, finish: Finish) -> Settle {
        let timed_out = self.timed_out_error(handle);
        let running = self.running_mut(handle);
        let shields = running.and_then(|running| running.shields.as_mut());
        let shield_panic = shields.and_then(|shields| shields.panic.take());
        let delivery = self.table.get(handle).map(|lease| &lease.owner.delivery);
        // By the stop; what it comes to then is not held against the message.
        let is_stopped = timed_out.is_none() && delivery.is_some_and(Delivery::is_cancelled);
        let verdict = match finish {
            Finish::Panicked(_) if is_stopped => {
                return Settle::Nack {
                    after: Duration::ZERO,
                    counted: false,
                };
            }
            Finish::Cancelled if timed_out.is_some() => {
                return self.retry(handle, None, timed_out);
            }
            Finish::Cancelled | Finish::Refused | Finish::NotBegun => {
                return Settle::Nack {
                    after: Duration::ZERO,
                    counted: false,
                };
            }
            Finish::Dropped => {
                // Not at once: an executor that drops one task may drop the next.
                let attempt = self.attempt(handle);
                let after = self.settings.backoff.delay(attempt, &mut self.rng);
                return Settle::Nack {
                    after,
                    counted: false,
                };
            }
            Finish::Panicked(message) => {
                let error = format!("the handler panicked: {message}");
                return self.retry(handle, None, Some(error));
            }
            Finish::Verdict(verdict) => verdict,
        };
        match (verdict, shield_panic) {
            (Verdict::Ack, None) => Settle::Ack,
            (Verdict::Ack, Some(message)) => {
                let error = format!("shielded work panicked: {message}");
                self.retry(handle, None, Some(error))
            }
            (Verdict::Retry { after }, _) => {
                let after = after.map(|after| after.max(self.settings.nack_delay_min));
                self.retry(handle, after, None)
            }
            (Verdict::Postpone { after }, _) => {
                let after = after.max(self.settings.nack_delay_min);
                self.stats.totals.postponed += 1;
                self.emit_about(handle, |delivery| Event::Postponed { delivery, after });
                Settle::Nack {
                    after,
                    counted: false,
                }
            }
            (Verdict::Dead(reason), _) => Settle::Dead { reason },
        }
    }

    /// Another attempt, or a dead letter if this was the last one.
    pub(super) fn retry(
        &mut self,
        handle: Handle,
        after: Option<Duration>,
        error: Option<String>,
    ) -> Settle {
        let attempt = self.attempt(handle);
        if attempt >= self.settings.max_deliveries {
            let reason = error
                .or_else(|| self.table.get(handle)?.owner.delivery.take_last_error())
                .unwrap_or_else(|| format!("no success in {attempt} deliveries"));
            return Settle::Dead { reason };
        }
        let after = after.unwrap_or_else(|| self.settings.backoff.delay(attempt, &mut self.rng));
        self.stats.totals.retried += 1;
        self.emit_about(handle, |delivery| Event::Retried { delivery, after });
        Settle::Nack {
            after,
            counted: true,
        }
    }

    fn attempt(&self, handle: Handle) -> u32 {
        let lease = self.table.get(handle);
        lease.map_or(1, |lease| lease.owner.delivery.attempt())
    }

    fn panicked(&mut self, handle: Handle, message: String) {
        if self.running_mut(handle).is_some() {
            self.stats.totals.panicked += 1;
            self.emit_about(handle, |delivery| Event::HandlerPanicked {
                delivery,
                message,
            });
        }
    }

    /// The lease of a delivery now lasts longer.
    pub(super) fn prolonged(&mut self, member: Member) {
        let Some(lease) = self.table.get(member.handle) else {
            return;
        };
        // An answer that came after the loss, or about an older token, prolonged nothing of ours.
        if lease.is_lost || !self.table.is_current(member) {
            return;
        }
        self.stats.totals.extended += 1;
        self.show_lease(member.handle);
        self.emit_about(member.handle, Event::Extended);
    }

    /// Sends a nack that waited for the answer to an extension.
    ///
    /// Not if it came under an older lease: the newer one may be about to be extended as well.
    pub(super) fn release_held(&mut self, handle: Handle) {
        if self
            .table
            .get(handle)
            .is_some_and(|lease| lease.is_extending)
        {
            return;
        }
        let Some(delivering) = self.table.owner_mut(handle) else {
            return;
        };
        if let Stage::Settling(settling) = &mut delivering.stage
            && settling.let_go()
        {
            self.settlements.push(handle);
        }
    }
}
