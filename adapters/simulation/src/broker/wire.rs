//! What is under way between the consumer and the truth, with its latencies, losses and refusals.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mayhem_core::{
    BrokerCall, BrokerError, Extension, Instant, LeaseToken, Message, Outcome, Received, Settle,
    Settlement,
};

use super::awaited::Awaited;
use super::facts::{CallStage, Fact, FactKind};
use super::ledger::{Lease, Ledger};
use super::settings::{Faults, SimSettings};
use crate::Dice;

pub(super) struct Wire {
    pub(super) ledger: Ledger,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) listener: Option<Listener>,
    pub(super) call_listener: Option<CallListener>,
    /// What calls have come to that nobody was told of yet.
    pub(super) call_stages: Vec<(BrokerCall, CallStage)>,
    /// Calls on their way to their effect, and under which name somebody may wait for them.
    pub(super) calls: BTreeMap<(Instant, u64), (Arc<Batch>, Option<u64>)>,
    pub(super) awaited: Awaited,
    /// Deliveries on their way to the consumer.
    pub(super) arrivals: BTreeMap<(Instant, u64), Received>,
    serial: u64,
    pub(super) is_finished: bool,
    pub(super) is_closed: bool,
    /// Grows with every change that somebody may wait for.
    pub(super) changes: u64,
    pub(super) waiting: Vec<Waker>,
    /// Kept for its memory; empty.
    pub(super) spare: Vec<Waker>,
    /// Counts how often those who waited were woken.
    pub(super) wakes: u64,
}

/// Told of every fact, with those of the same moment together.
pub(super) type Listener = Box<dyn FnMut(&[Fact]) + Send>;

/// Told of every call.
pub(super) type CallListener = Box<dyn FnMut(BrokerCall, CallStage) + Send>;

pub(super) enum Batch {
    Settle(Vec<Settlement>),
    Extend(Vec<Extension>),
}

impl Wire {
    pub(super) fn new(dice: Dice, faults: Faults) -> Self {
        Self {
            ledger: Ledger::new(),
            dice,
            faults,
            listener: None,
            call_listener: None,
            call_stages: Vec::new(),
            calls: BTreeMap::new(),
            awaited: Awaited::default(),
            arrivals: BTreeMap::new(),
            serial: 0,
            is_finished: false,
            is_closed: false,
            changes: 0,
            waiting: Vec::new(),
            spare: Vec::new(),
            wakes: 0,
        }
    }

    /// The beginning of a `receive`, which may find the connection lost.
    pub(super) fn connect(&mut self, now: Instant) -> Result<(), BrokerError> {
        self.check_refused()?;
        if self.dice.chance("stream reset", self.faults.stream_reset) {
            self.ledger.reset(now);
            return Err(BrokerError::Retryable("simulated: stream reset".into()));
        }
        Ok(())
    }

    pub(super) fn check_refused(&self) -> Result<(), BrokerError> {
        if self.dice.chance("call refused", self.faults.refused) {
            return Err(BrokerError::Retryable("simulated: refused".into()));
        }
        Ok(())
    }

    pub(super) fn check_usable(&self, now: Instant) -> Result<(), BrokerError> {
        match self.faults.permanent_from {
            Some(from) if from <= now => Err(BrokerError::Permanent("simulated: broken".into())),
            _ => Ok(()),
        }
    }

    /// Brings every effect and every expiry up to `now` about, in the order of their instants.
    pub(super) fn catch_up(&mut self, now: Instant) {
        loop {
            let deadline = self
                .ledger
                .next_deadline()
                .filter(|deadline| *deadline <= now);
            let call = self.calls.first_key_value().map(|(key, _)| key.0);
            let call = call.filter(|at| *at <= now);
            match (call, deadline) {
                (None, None) => return,
                // At the same instant the call comes first: it was there in time.
                (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    let (_, (batch, call)) = self.calls.pop_first().expect("looked at above");
                    let outcomes = self.take_effect(at, &batch);
                    if let Some(call) = call {
                        self.awaited.answer(call, outcomes);
                    }
                }
                _ => {
                    self.ledger.expire_one(now);
                }
            }
        }
    }

    fn take_effect(&mut self, at: Instant, batch: &Batch) -> Vec<Outcome> {
        let (gone, refused) = (self.faults.gone, self.faults.item_refused);
        let count = match batch {
            Batch::Settle(batch) => batch.len(),
            Batch::Extend(batch) => batch.len(),
        };
        let mut outcomes = Vec::with_capacity(count);
        let decide = |wire: &mut Self, lease: &LeaseToken| {
            if wire.dice.chance("lease forgotten", gone) {
                wire.ledger.forget(at, lease);
            }
            wire.dice.chance("item refused", refused)
        };
        match batch {
            Batch::Settle(batch) => {
                for item in batch {
                    let is_refused = decide(self, &item.lease);
                    outcomes.push(if is_refused {
                        Outcome::Gone
                    } else {
                        self.settle(at, item)
                    });
                }
            }
            Batch::Extend(batch) => {
                for item in batch {
                    let is_refused = decide(self, &item.lease);
                    outcomes.push(if is_refused {
                        Outcome::Gone
                    } else {
                        self.extend(at, item)
                    });
                }
            }
        }
        outcomes
    }

    fn settle(&mut self, at: Instant, item: &Settlement) -> Outcome {
        let outcome = self.ledger.settle(at, item);
        let is_acked = outcome == Outcome::Done && item.settle == Settle::Ack;
        if is_acked && self.dice.chance("ack forgotten", self.faults.ack_forgotten) {
            self.ledger.forget_ack(at, &item.id);
        }
        outcome
    }

    fn extend(&mut self, at: Instant, item: &Extension) -> Outcome {
        let late_extend = self.faults.late_extend;
        if self.ledger.is_nacked(item) && self.dice.chance("extension after nack", late_extend) {
            self.ledger.postpone(at, item);
        }
        self.ledger.extend(at, item)
    }

    /// Sends a call off; says when its answer comes, or its timeout.
    pub(super) fn send_call(
        &mut self,
        now: Instant,
        batch: Arc<Batch>,
        call: u64,
        latency: &RangeInclusive<Duration>,
    ) -> Result<Instant, Instant> {
        if let Batch::Settle(batch) = &*batch {
            self.note_overtaking(now, batch);
        }
        let Faults {
            request_lost,
            reply_lost,
            timeout,
            request_delayed,
            reply_delayed,
            request_duplicated,
            delay_max,
            ..
        } = self.faults;
        let is_request_lost =
            self.faults.is_black_hole(now) || self.dice.chance("request lost", request_lost);
        let is_reply_lost = self.dice.chance("reply lost", reply_lost);
        let slow = self.faults.slowness(now);
        let delay = |wire: &Self, label, rate| {
            let is_delayed = wire.dice.chance(label, rate);
            let extra = if is_delayed {
                delay_max
            } else {
                Duration::ZERO
            };
            wire.draw_latency(latency) + slow + wire.dice.duration("delay", extra)
        };
        let effect_at = now + delay(self, "request delayed", request_delayed);
        let reply_at = effect_at + delay(self, "reply delayed", reply_delayed);
        if !is_request_lost {
            if self.dice.chance("request duplicated", request_duplicated) {
                let again_at = effect_at + self.dice.duration("second request", delay_max);
                let key = (again_at, self.next_serial());
                self.calls.insert(key, (Arc::clone(&batch), None));
            }
            let key = (effect_at, self.next_serial());
            self.calls.insert(key, (batch, Some(call)));
            // Whoever waits for the first of them has to wake up earlier now.
            let is_first = self.calls.first_key_value().map(|first| *first.0) == Some(key);
            self.changes += u64::from(is_first);
        }
        if is_request_lost || is_reply_lost {
            Err(now + timeout)
        } else {
            Ok(reply_at)
        }
    }

    /// Writes down each nack in a batch whose lease has an extension on its way that somebody
    /// waits for.
    fn note_overtaking(&mut self, now: Instant, batch: &[Settlement]) {
        for item in batch {
            let is_awaited = |call: u64| self.awaited.is_awaited(call);
            let is_extending = |(batch, call): &(Arc<Batch>, Option<u64>)| match &**batch {
                Batch::Extend(extensions) if call.is_some_and(is_awaited) => extensions
                    .iter()
                    .any(|extension| extension.lease == item.lease),
                _ => false,
            };
            let is_nack = matches!(item.settle, Settle::Nack { .. });
            if is_nack && self.calls.values().any(is_extending) {
                let kind = FactKind::ExtensionOvertaken;
                self.ledger.note_lease(now, &item.id, &item.lease, kind);
            }
        }
    }

    /// What has arrived by `now`, at most `count_max`; empty at the end of the source, `None` when
    /// there is nothing yet.
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        count_max: usize,
        settings: &SimSettings,
    ) -> Option<Vec<Received>> {
        if self.is_closed {
            return Some(Vec::new());
        }
        let overshoot = self.faults.overshoot;
        let count_max = if self.ledger.has_ready(now) && self.dice.chance("overshoot", overshoot) {
            3 * count_max
        } else {
            count_max
        };
        self.send(now, count_max, settings);
        self.take_arrived(now, count_max)
    }

    /// What has arrived by `now` of what was sent before a pause; else as `arrived`.
    pub(super) fn held(&mut self, now: Instant) -> Option<Vec<Received>> {
        if self.is_closed {
            return Some(Vec::new());
        }
        self.take_arrived(now, usize::MAX)
    }

    fn take_arrived(&mut self, now: Instant, count_max: usize) -> Option<Vec<Received>> {
        let mut arrived = Vec::new();
        while arrived.len() < count_max
            && let Some(first) = self.arrivals.first_entry()
            && first.key().0 <= now
        {
            let received = first.remove();
            self.note_arrived(now, &received.message);
            arrived.push(received);
        }
        let is_source_over =
            self.is_finished && self.ledger.open_count() == 0 && self.arrivals.is_empty();
        (is_source_over || !arrived.is_empty()).then_some(arrived)
    }

    /// All that is on its way, at once.
    pub(super) fn all_arrived(&mut self, now: Instant) -> Vec<Received> {
        let arrived: Vec<Received> = std::mem::take(&mut self.arrivals).into_values().collect();
        for received in &arrived {
            self.note_arrived(now, &received.message);
        }
        arrived
    }

    fn note_arrived(&mut self, now: Instant, message: &Message) {
        let bytes = message.payload.len();
        let kind = FactKind::Arrived { bytes };
        self.ledger
            .note_lease(now, &message.id, &message.lease, kind);
    }

    /// Leases what is ready, up to `count_max` on the way, and sends it off.
    fn send(&mut self, now: Instant, count_max: usize, settings: &SimSettings) {
        while self.arrivals.len() < count_max && self.ledger.has_ready(now) {
            let nth = if settings.is_shuffled {
                let count = self.ledger.ready_count(now) as u64;
                usize::try_from(self.dice.choose("next message", count)).unwrap_or(0)
            } else {
                0
            };
            let mut lease = Lease {
                told: settings.lease,
                real: settings.lease,
            };
            if self.dice.chance("early expiry", self.faults.early_expiry) {
                lease.real = self.dice.duration("real lease", settings.lease);
            }
            let received = self.ledger.deliver(now, nth, &lease);
            let latency = self.draw_latency(&settings.receive_latency);
            if self
                .dice
                .chance("duplicate delivery", self.faults.duplicate)
            {
                let delay = self.dice.duration("second delivery", settings.lease);
                let (id, token) = (&received.message.id, &received.message.lease);
                self.ledger.note_lease(now, id, token, FactKind::Duplicated);
                let key = (now + latency + delay, self.next_serial());
                self.arrivals.insert(key, received.clone());
            }
            let key = (now + latency, self.next_serial());
            self.arrivals.insert(key, received);
        }
    }

    /// When something happens next by itself.
    pub(super) fn next_event(&self, now: Instant) -> Option<Instant> {
        let call = self.calls.first_key_value().map(|(key, _)| key.0);
        let arrival = self.arrivals.first_key_value().map(|(key, _)| key.0);
        let permanent = self.faults.permanent_from.filter(|from| *from > now);
        let deadline = self.ledger.next_deadline();
        let ready = self.ledger.next_ready(now);
        let mut next = None;
        // By hand, as it is asked with every look for messages.
        for event in [call, arrival, permanent, deadline, ready] {
            next = match (next, event) {
                (Some(next), Some(event)) => Some(event.min(next)),
                (next, event) => next.or(event),
            };
        }
        next
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn draw_latency(&self, range: &RangeInclusive<Duration>) -> Duration {
        let spread = range.end().saturating_sub(*range.start());
        *range.start() + self.dice.duration("latency", spread)
    }
}
