//! A call as its caller sees it: asked for, and answered, failed or given up.

use mayhem_core::{BrokerCall, BrokerError, LeaseToken, MessageId, Outcome, Received};

use super::facts::{Answer, CallStage, FactKind};
use super::shared::Shared;
use super::wire::Batch;

/// A call that somebody waits for; dropped without an answer it was given up.
pub(super) struct Asked<'a> {
    shared: &'a Shared,
    call: BrokerCall,
    items: Vec<(MessageId, LeaseToken)>,
    is_over: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn receive(shared: &'a Shared) -> Self {
        Self::begin(shared, BrokerCall::Receive, Vec::new())
    }

    pub(super) fn new(shared: &'a Shared, batch: &Batch) -> Self {
        let (call, items) = match batch {
            Batch::Settle(batch) => {
                let items = batch.iter().map(|it| (it.id.clone(), it.lease.clone()));
                (BrokerCall::Settle, items.collect())
            }
            Batch::Extend(batch) => {
                let items = batch.iter().map(|it| (it.id.clone(), it.lease.clone()));
                (BrokerCall::Extend, items.collect())
            }
        };
        Self::begin(shared, call, items)
    }

    fn begin(shared: &'a Shared, call: BrokerCall, items: Vec<(MessageId, LeaseToken)>) -> Self {
        shared.visit(|wire, _| wire.call_stages.push((call, CallStage::Began)));
        Self {
            shared,
            call,
            items,
            is_over: false,
        }
    }

    pub(super) fn answered(self, answer: &Result<Vec<Outcome>, BrokerError>) {
        match answer {
            Ok(outcomes) => self.end(CallStage::Answered, |index| outcomes[index].into()),
            Err(_) => self.end(CallStage::Failed, |_| Answer::Failed),
        }
    }

    pub(super) fn received(self, answer: &Result<Vec<Received>, BrokerError>) {
        let stage = match answer {
            Ok(_) => CallStage::Answered,
            Err(_) => CallStage::Failed,
        };
        self.end(stage, |_| Answer::Failed);
    }

    fn end(mut self, stage: CallStage, answer: impl Fn(usize) -> Answer) {
        self.is_over = true;
        self.note(stage, answer);
    }

    fn note(&self, stage: CallStage, answer: impl Fn(usize) -> Answer) {
        self.shared.visit(|wire, now| {
            wire.call_stages.push((self.call, stage));
            for (index, (id, lease)) in self.items.iter().enumerate() {
                let kind = match self.call {
                    BrokerCall::Extend => FactKind::ExtendAnswered(answer(index)),
                    _ => FactKind::SettleAnswered(answer(index)),
                };
                wire.ledger.note_lease(now, id, lease, kind);
            }
        });
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.note(CallStage::GivenUp, |_| Answer::Failed);
        }
    }
}
