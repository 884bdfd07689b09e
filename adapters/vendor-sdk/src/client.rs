//! The handle on a queue file.

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::{
    Browsed, DeadLetter, Error, Leased, Options, Outcome, Outgoing, Settle, Stats,
    SubscribeOptions, Subscription, Token,
};

/// A handle on one queue file; clones share it.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Opens the file at `path`, creating it when there is none.
    pub fn open(_path: &Path, _options: Options) -> Result<Self, Error> {
        todo!()
    }

    /// Stores messages; they are durable on return.
    pub fn publish(&self, _topic: &str, _messages: Vec<Outgoing>) -> Result<Vec<Uuid>, Error> {
        todo!()
    }

    /// Starts to pull a topic; `callback` runs on the subscription's own threads.
    pub fn subscribe(
        &self,
        _subscription: &str,
        _options: SubscribeOptions,
        _callback: impl Fn(Leased) + Send + Sync + 'static,
    ) -> Result<Subscription, Error> {
        todo!()
    }

    /// Ends deliveries; the outcomes are durable on return.
    pub fn settle(&self, _batch: Vec<(Token, Settle)>) -> Result<Vec<Outcome>, Error> {
        todo!()
    }

    /// Makes leases end the given time from now.
    pub fn extend(&self, _batch: Vec<(Token, Duration)>) -> Result<Vec<Outcome>, Error> {
        todo!()
    }

    /// Counts a topic's messages.
    pub fn stats(&self, _topic: &str) -> Result<Stats, Error> {
        todo!()
    }

    /// Lists a topic's messages that are neither acked nor dead, oldest first.
    pub fn browse(&self, _topic: &str) -> Result<Vec<Browsed>, Error> {
        todo!()
    }

    /// Lists a topic's dead letters, oldest first.
    pub fn dead_letters(&self, _topic: &str) -> Result<Vec<DeadLetter>, Error> {
        todo!()
    }

    /// Ends the subscriptions, finishes the calls under way and closes the file.
    pub fn close(&self) -> Result<(), Error> {
        todo!()
    }
}
