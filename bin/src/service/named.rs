//! The broker as the service sees it: every message that comes in is known by its target at once.
//!
//! The engine tells events by message id. An operator wants the target, so this port between engine
//! and broker reads it off each message on its way in; everything else is passed through.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mayhem_core::{Broker, BrokerError, Caps, Extension, Outcome, Pull, Received, Settlement};

use super::events::Announcer;
use crate::request::Request;

/// A broker whose messages are announced with their targets.
#[derive(Debug)]
pub(super) struct Named<B> {
    broker: B,
    announcer: Announcer,
}

impl<B> Named<B> {
    pub(super) fn new(broker: B, announcer: Announcer) -> Self {
        Self { broker, announcer }
    }
}

impl<B: Broker> Broker for Named<B> {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        async move {
            let batch = self.broker.receive(pull).await?;
            for received in &batch {
                let message = &received.message;
                let request = Request::parse(message.id.as_str(), &message.payload);
                if let Ok(request) = request {
                    self.announcer.learn(&message.id, request.target);
                }
            }
            Ok(batch)
        }
        .boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        self.broker.settle(batch)
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        self.broker.extend(batch)
    }

    fn caps(&self) -> Caps {
        self.broker.caps()
    }
}
