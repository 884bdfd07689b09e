//! What is under way between the consumer and the truth, with its latencies, losses and refusals.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::task::Waker;
use std::time::Duration;

use fastrand::Rng;
use futures::channel::oneshot;
use mayhem_core::{Extension, Instant, LeaseToken, Outcome, Received, Settlement};

use super::facts::FactKind;
use super::ledger::{Lease, Ledger};
use super::settings::{Faults, SimSettings};

pub(super) struct Wire {
    pub(super) ledger: Ledger,
    dice: Rng,
    /// Calls on their way to their effect.
    pub(super) calls: BTreeMap<(Instant, u64), (Batch, Reply)>,
    /// Deliveries on their way to the consumer.
    pub(super) arrivals: BTreeMap<(Instant, u64), Received>,
    serial: u64,
    pub(super) is_finished: bool,
    pub(super) is_closed: bool,
    /// Grows with every change that somebody may wait for.
    pub(super) changes: u64,
    pub(super) waiting: Vec<Waker>,
}

pub(super) enum Batch {
    Settle(Vec<Settlement>),
    Extend(Vec<Extension>),
}

type Reply = oneshot::Sender<Vec<Outcome>>;

impl Wire {
    pub(super) fn new(dice: Rng) -> Self {
        Self {
            ledger: Ledger::default(),
            dice,
            calls: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            serial: 0,
            is_finished: false,
            is_closed: false,
            changes: 0,
            waiting: Vec::new(),
        }
    }

    /// Brings every effect and every expiry up to `now` about, in the order of their instants.
    pub(super) fn catch_up(&mut self, now: Instant, faults: &Faults) {
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
                    let (_, (batch, reply)) = self.calls.pop_first().expect("looked at above");
                    let outcomes = self.take_effect(at, &batch, faults);
                    // Ignored: the caller has given up, which changes nothing of the effect.
                    let _ = reply.send(outcomes);
                }
                _ => {
                    self.ledger.expire_one(now);
                }
            }
        }
    }

    fn take_effect(&mut self, at: Instant, batch: &Batch, faults: &Faults) -> Vec<Outcome> {
        let leases: Vec<&LeaseToken> = match batch {
            Batch::Settle(batch) => batch.iter().map(|item| &item.lease).collect(),
            Batch::Extend(batch) => batch.iter().map(|item| &item.lease).collect(),
        };
        for lease in leases {
            if self.draw(faults.gone) {
                self.ledger.forget(at, lease);
            }
        }
        match batch {
            Batch::Settle(batch) => {
                let settle = |settlement| self.ledger.settle(at, settlement);
                batch.iter().map(settle).collect()
            }
            Batch::Extend(batch) => {
                let extend = |extension| self.ledger.extend(at, extension);
                batch.iter().map(extend).collect()
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
        self.send(now, count_max, settings);
        let mut arrived = Vec::new();
        while arrived.len() < count_max
            && let Some(first) = self.arrivals.first_entry()
            && first.key().0 <= now
        {
            arrived.push(first.remove());
        }
        let is_source_over =
            self.is_finished && self.ledger.open_count() == 0 && self.arrivals.is_empty();
        (is_source_over || !arrived.is_empty()).then_some(arrived)
    }

    /// Leases what is ready, up to `count_max` on the way, and sends it off.
    fn send(&mut self, now: Instant, count_max: usize, settings: &SimSettings) {
        while self.arrivals.len() < count_max && self.ledger.has_ready(now) {
            let nth = if settings.is_shuffled {
                self.dice.usize(..self.ledger.ready_count(now))
            } else {
                0
            };
            let mut lease = Lease {
                told: settings.lease,
                real: settings.lease,
            };
            if self.draw(settings.faults.early_expiry) {
                lease.real = self.draw_latency(&(Duration::ZERO..=settings.lease));
            }
            let received = self.ledger.deliver(now, nth, &lease);
            let latency = self.draw_latency(&settings.receive_latency);
            if self.draw(settings.faults.duplicate) {
                let delay = self.draw_latency(&(Duration::ZERO..=settings.lease));
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
    pub(super) fn next_event(&self, now: Instant, faults: &Faults) -> Option<Instant> {
        let call = self.calls.first_key_value().map(|(key, _)| key.0);
        let arrival = self.arrivals.first_key_value().map(|(key, _)| key.0);
        let permanent = faults.permanent_from.filter(|from| *from > now);
        let deadline = self.ledger.next_deadline();
        let ready = self.ledger.next_ready(now);
        [call, arrival, permanent, deadline, ready]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Draws only where something can come of it, so that an honest broker's seed is the test's.
    pub(super) fn draw(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.dice.f64() < probability
    }

    pub(super) fn draw_latency(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (low, high) = (nanos(range.start()), nanos(range.end()));
        Duration::from_nanos(if low < high {
            self.dice.u64(low..=high)
        } else {
            low
        })
    }
}
