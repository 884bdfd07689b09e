//! A call as its caller sees it: asked for, and answered, failed or given up.

use std::sync::Arc;

use mayhem_core::{BrokerCall, BrokerError, Outcome, Received};

use super::facts::{Answer, CallStage, FactKind};
use super::shared::Shared;
use super::wire::Batch;

/// A call that somebody waits for; dropped without an answer it was given up.
pub(super) struct Asked<'a> {
    shared: &'a Shared,
    call: BrokerCall,
    /// `None` of a receive.
    batch: Option<Arc<Batch>>,
    is_over: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn receive(shared: &'a Shared) -> Self {
        Self::begin(shared, BrokerCall::Receive, None)
    }

    pub(super) fn new(shared: &'a Shared, batch: &Arc<Batch>) -> Self {
        let call = match **batch {
            Batch::Settle(_) => BrokerCall::Settle,
            Batch::Extend(_) => BrokerCall::Extend,
        };
        Self::begin(shared, call, Some(Arc::clone(batch)))
    }

    fn begin(shared: &'a Shared, call: BrokerCall, batch: Option<Arc<Batch>>) -> Self {
        shared.visit(|wire, _| wire.call_stages.push((call, CallStage::Began)));
        Self {
            shared,
            call,
            batch,
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
            match self.batch.as_deref() {
                None => {}
                Some(Batch::Settle(batch)) => {
                    for (index, item) in batch.iter().enumerate() {
                        let kind = FactKind::SettleAnswered(answer(index));
                        wire.ledger.note_lease(now, &item.id, &item.lease, kind);
                    }
                }
                Some(Batch::Extend(batch)) => {
                    for (index, item) in batch.iter().enumerate() {
                        let kind = FactKind::ExtendAnswered(answer(index));
                        wire.ledger.note_lease(now, &item.id, &item.lease, kind);
                    }
                }
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
