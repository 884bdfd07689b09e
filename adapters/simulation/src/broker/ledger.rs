//! The ground truth: every message, its lease, and all that happened to it. A pure state machine.
//!
//! Callers pass the instant of each step and pass them in order; nothing here knows a clock, draws
//! a number or waits.

use std::collections::BTreeSet;
use std::time::Duration;

use mayhem_core::{
    Extension, Instant, LeaseToken, Message, MessageId, Outcome, Received, Settle, Settlement,
};

use super::facts::{Fact, FactKind, Fate, Truth};
use crate::fingerprint::Map;

pub(super) struct Ledger {
    entries: Vec<Entry>,
    by_id: Map<MessageId, usize>,
    /// Live leases only.
    by_lease: Map<LeaseToken, usize>,
    /// Ready messages by the instant they may be delivered.
    ready: BTreeSet<(Instant, usize)>,
    /// Live leases by their true deadline.
    deadlines: BTreeSet<(Instant, usize)>,
    open_count: usize,
    facts: Vec<Fact>,
    /// Grows with what somebody may wait for: a message that becomes ready, or its end.
    changes: u64,
    /// Kept for its memory.
    text: String,
}

struct Entry {
    id: MessageId,
    payload: Vec<u8>,
    truth: Truth,
    /// The lease that was nacked last.
    nacked: Option<LeaseToken>,
}

/// How a delivery's lease is to be.
pub(super) struct Lease {
    pub(super) told: Duration,
    pub(super) real: Duration,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            by_id: Map::default(),
            by_lease: Map::default(),
            ready: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            open_count: 0,
            facts: Vec::with_capacity(FACTS),
            changes: 0,
            text: String::new(),
        }
    }

    pub(super) fn publish(&mut self, at: Instant, id: MessageId, payload: Vec<u8>) {
        let index = self.entries.len();
        let replaced = self.by_id.insert(id.clone(), index);
        assert!(replaced.is_none(), "message {id} is published twice");
        self.entries.push(Entry {
            id,
            payload,
            truth: Truth {
                fate: Fate::Ready { from: at },
                deliveries: 0,
                attempts: 0,
            },
            nacked: None,
        });
        self.ready.insert((at, index));
        self.open_count += 1;
        self.changes += 1;
        self.note(at, index, None, FactKind::Published);
    }

    /// Whether a message could be delivered at `at`.
    pub(super) fn has_ready(&self, at: Instant) -> bool {
        self.ready.first().is_some_and(|first| first.0 <= at)
    }

    /// How many messages could be delivered at `at`.
    pub(super) fn ready_count(&self, at: Instant) -> usize {
        self.ready.range(..=(at, usize::MAX)).count()
    }

    /// Leases the `nth` of the messages that are ready, which must exist.
    pub(super) fn deliver(&mut self, at: Instant, nth: usize, lease: &Lease) -> Received {
        let key = self
            .ready
            .iter()
            .nth(nth)
            .copied()
            .expect("counted by the caller");
        self.ready.remove(&key);
        let (_, index) = key;

        let entry = &mut self.entries[index];
        entry.truth.deliveries += 1;
        self.text.clear();
        self.text.push_str(entry.id.as_str());
        self.text.push('/');
        push_number(&mut self.text, entry.truth.deliveries);
        let token = LeaseToken::from(self.text.as_str());
        let (deadline, until) = (at + lease.told, at + lease.real);
        entry.truth.fate = Fate::Leased {
            lease: token.clone(),
            until,
        };
        let message = Message {
            id: entry.id.clone(),
            lease: token.clone(),
            attempt: entry.truth.attempts + 1,
            payload: entry.payload.clone(),
        };
        let attempt = message.attempt;
        self.by_lease.insert(token.clone(), index);
        self.deadlines.insert((until, index));
        self.note(
            at,
            index,
            Some(token),
            FactKind::Delivered { attempt, deadline },
        );
        Received { message, deadline }
    }

    pub(super) fn settle(&mut self, at: Instant, settlement: &Settlement) -> Outcome {
        let Some(index) = self.release(at, &settlement.id, &settlement.lease) else {
            return Outcome::Gone;
        };
        let kind = FactKind::Settled((&settlement.settle).into());
        self.note(at, index, Some(settlement.lease.clone()), kind);
        match &settlement.settle {
            Settle::Ack => self.finish(index, Fate::Acked),
            Settle::Dead { reason } => {
                let reason = reason.clone();
                self.finish(index, Fate::Dead { reason });
            }
            Settle::Nack { after, counted } => {
                self.entries[index].nacked = Some(settlement.lease.clone());
                self.make_ready(index, at + *after, *counted);
            }
        }
        Outcome::Done
    }

    /// Has an acked message delivered again.
    pub(super) fn forget_ack(&mut self, at: Instant, id: &MessageId) {
        let index = self.by_id[id];
        self.open_count += 1;
        self.make_ready(index, at, false);
        self.note(at, index, None, FactKind::AckForgotten);
    }

    /// Whether the message waits after a nack under the lease that is to be extended.
    pub(super) fn is_nacked(&self, extension: &Extension) -> bool {
        let entry = &self.entries[self.by_id[&extension.id]];
        let is_ready = matches!(entry.truth.fate, Fate::Ready { .. });
        is_ready && entry.nacked.as_ref() == Some(&extension.lease)
    }

    /// Puts the delivery of a message that is ready off, as an extension that came too late does.
    pub(super) fn postpone(&mut self, at: Instant, extension: &Extension) {
        let index = self.by_id[&extension.id];
        let Fate::Ready { from } = self.entries[index].truth.fate else {
            return;
        };
        self.ready.remove(&(from, index));
        let until = from.max(at + extension.duration);
        self.make_ready(index, until, false);
        self.note(at, index, None, FactKind::PutOff { until });
    }

    /// Forgets every live lease.
    pub(super) fn reset(&mut self, at: Instant) {
        let leased: Vec<usize> = self.deadlines.iter().map(|deadline| deadline.1).collect();
        for index in leased {
            if let Fate::Leased { lease, .. } = self.entries[index].truth.fate.clone() {
                self.forget(at, &lease);
            }
        }
    }

    pub(super) fn extend(&mut self, at: Instant, extension: &Extension) -> Outcome {
        let Some(index) = self.release(at, &extension.id, &extension.lease) else {
            return Outcome::Gone;
        };
        let until = at + extension.duration;
        let lease = extension.lease.clone();
        self.note(at, index, Some(lease.clone()), FactKind::Extended { until });
        self.by_lease.insert(lease.clone(), index);
        self.deadlines.insert((until, index));
        self.entries[index].truth.fate = Fate::Leased { lease, until };
        Outcome::Done
    }

    /// Forgets a live lease, as if it had run out at `at`.
    pub(super) fn forget(&mut self, at: Instant, lease: &LeaseToken) {
        let Some(&index) = self.by_lease.get(lease) else {
            return;
        };
        let id = self.entries[index].id.clone();
        if self.release(at, &id, lease).is_some() {
            self.note(at, index, Some(lease.clone()), FactKind::Expired);
            self.make_ready(index, at, true);
        }
    }

    /// Ends the eldest lease whose deadline is at or before `at`; says whether there was one.
    pub(super) fn expire_one(&mut self, at: Instant) -> bool {
        let Some((until, index)) = self
            .deadlines
            .first()
            .copied()
            .filter(|first| first.0 <= at)
        else {
            return false;
        };
        if let Fate::Leased { lease, .. } = self.entries[index].truth.fate.clone() {
            self.forget(until, &lease);
        }
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|first| first.0)
    }

    /// When the next message becomes ready after `at`.
    pub(super) fn next_ready(&self, at: Instant) -> Option<Instant> {
        let later = (at, usize::MAX);
        self.ready.range(later..).next().map(|first| first.0)
    }

    /// How many messages were published.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// How many messages are neither acked nor dead.
    pub(super) fn open_count(&self) -> usize {
        self.open_count
    }

    pub(super) fn truth(&self, id: &MessageId) -> Option<&Truth> {
        self.by_id.get(id).map(|index| &self.entries[*index].truth)
    }

    pub(super) fn ids(&self) -> Vec<MessageId> {
        self.entries.iter().map(|entry| entry.id.clone()).collect()
    }

    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Writes down what was asked under a lease, live or not.
    pub(super) fn note_lease(
        &mut self,
        at: Instant,
        id: &MessageId,
        lease: &LeaseToken,
        kind: FactKind,
    ) {
        let index = *self
            .by_id
            .get(id)
            .expect("the consumer names a message it was given");
        self.note(at, index, Some(lease.clone()), kind);
    }

    /// Takes the lease off its message; `None`, and a fact, when it does not count any more.
    fn release(&mut self, at: Instant, id: &MessageId, lease: &LeaseToken) -> Option<usize> {
        let Some(index) = self.by_lease.remove(lease) else {
            self.note_lease(at, id, lease, FactKind::Refused);
            return None;
        };
        if let Fate::Leased { until, .. } = self.entries[index].truth.fate {
            self.deadlines.remove(&(until, index));
        }
        Some(index)
    }

    fn make_ready(&mut self, index: usize, from: Instant, counted: bool) {
        let truth = &mut self.entries[index].truth;
        truth.attempts += u32::from(counted);
        truth.fate = Fate::Ready { from };
        self.ready.insert((from, index));
        self.changes += 1;
    }

    fn finish(&mut self, index: usize, fate: Fate) {
        self.entries[index].truth.fate = fate;
        self.open_count -= 1;
        self.changes += 1;
    }

    fn note(&mut self, at: Instant, index: usize, lease: Option<LeaseToken>, kind: FactKind) {
        let id = self.entries[index].id.clone();
        self.facts.push(Fact {
            at,
            id,
            lease,
            kind,
        });
    }
}

/// Adds a number to a text: for each delivery, and so without what a format can do beside that.
fn push_number(text: &mut String, number: u32) {
    if number >= 10 {
        push_number(text, number / 10);
    }
    text.extend(char::from_digit(number % 10, 10));
}

/// What most runs write down, so that the list seldom has to be moved.
const FACTS: usize = 4_096;
