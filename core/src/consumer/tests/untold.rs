//! Errors of a broker that panic when they are to be told.

use std::fmt;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use super::testing::{Rig, ack};
use crate::control::lock;
use crate::{
    Broker, BrokerError, Caps, Cause, Consumer, Extension, Failure, Outcome, Pull, Received,
    Settlement,
};

/// Fails once, in a way that cannot be told.
struct Failing<B> {
    broker: B,
    fails: Mutex<Option<Fails>>,
}

type Fails = fn(Cause) -> BrokerError;

#[derive(Debug)]
struct Untold;

impl fmt::Display for Untold {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a planned panic in an error")
    }
}

impl std::error::Error for Untold {}

type Answer<'a, T> = BoxFuture<'a, Result<Vec<T>, BrokerError>>;

impl<B: Broker> Broker for Failing<B> {
    fn receive(&self, pull: Pull) -> Answer<'_, Received> {
        self.broker.receive(pull)
    }

    fn settle(&self, batch: Vec<Settlement>) -> Answer<'_, Outcome> {
        match lock(&self.fails).take() {
            Some(fails) => ready(Err(fails(Box::new(Untold)))).boxed(),
            None => self.broker.settle(batch),
        }
    }

    fn extend(&self, batch: Vec<Extension>) -> Answer<'_, Outcome> {
        self.broker.extend(batch)
    }

    fn caps(&self) -> Caps {
        self.broker.caps()
    }
}

#[test]
fn an_error_that_panics_when_it_is_told_is_a_panic_of_the_broker() {
    for fails in [BrokerError::Retryable, BrokerError::Permanent] {
        let mut rig = Rig::new();
        rig.broker.publish(["a"]);
        let broker = Failing {
            broker: rig.broker.clone(),
            fails: Mutex::new(Some(fails)),
        };
        let builder = Consumer::builder().broker(broker).clock(rig.clock.clone());

        let report = rig.run(builder.handler(ack).build().run());

        let told = |message: &str| message.contains("a planned panic");
        assert!(matches!(&report.error, Some(Failure::BrokerPanicked(it)) if told(it)));
        assert_eq!((report.totals.received, report.totals.abandoned), (1, 1));
    }
}
