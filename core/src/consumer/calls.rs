//! Calls of the broker: panics are contained, and none is waited for longer than it is useful.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{self, BoxFuture, Either};
use futures::{FutureExt, StreamExt};

use super::engine::Engine;
use crate::fan_out::describe;
use crate::isolate::{Isolated, Unwatched, isolate};
use crate::lease::{ExtendBatch, Member};
use crate::{
    Backoff, BrokerCall, BrokerError, Event, Failure, Instant, Jitter, Outcome, Settlement,
};

/// What a call came to.
pub(super) enum Answer<T> {
    Done(T),
    Retryable(String),
    Permanent(Failure),
}

/// A call of `settle` or `extend` that has ended.
pub(super) enum CallEnded {
    Settled {
        members: Vec<Member>,
        answer: Answer<Vec<Outcome>>,
    },
    Extended {
        members: Vec<Member>,
        sent: Instant,
        earliest: Instant,
        answer: Answer<Vec<Outcome>>,
    },
}

/// Runs a call, with its panic turned into a failure.
///
/// # Cancel safety
///
/// As cancel safe as the call.
pub(super) async fn call<T>(call: impl AsyncFnOnce() -> Result<T, BrokerError>) -> Answer<T> {
    match isolate(&Unwatched, async { call().await }).await {
        Isolated::Done(Ok(output)) => Answer::Done(output),
        Isolated::Done(Err(error @ BrokerError::Retryable(_))) => {
            Answer::Retryable(describe(&error))
        }
        Isolated::Done(Err(error)) => Answer::Permanent(Failure::Broker(error)),
        Isolated::Panicked(message) => Answer::Permanent(Failure::BrokerPanicked(message)),
        Isolated::Cancelled => Answer::Retryable("cancelled".to_owned()),
    }
}

impl Engine<'_> {
    pub(super) fn call_settle(
        &mut self,
        members: Vec<Member>,
        batch: Vec<Settlement>,
        useless: Instant,
    ) {
        let broker = self.broker;
        let shared = Arc::clone(&self.shared);
        let ended = async move {
            let expected = batch.len();
            let settle = call(async || broker.settle(batch).await);
            let answer = bounded(settle, || shared.clock.sleep_until(useless), expected).await;
            CallEnded::Settled { members, answer }
        };
        self.calls.push(ended.boxed());
    }

    pub(super) fn call_extend(&mut self, batch: ExtendBatch) {
        let ExtendBatch {
            members,
            extensions,
            sent,
            useless,
            earliest,
        } = batch;
        let broker = self.broker;
        let shared = Arc::clone(&self.shared);
        let ended = async move {
            let expected = extensions.len();
            let extend = call(async || broker.extend(extensions).await);
            let answer = bounded(extend, || shared.clock.sleep_until(useless), expected).await;
            CallEnded::Extended {
                members,
                sent,
                earliest,
                answer,
            }
        };
        self.calls.push(ended.boxed());
    }

    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        // An empty set would take the waker all the same.
        if self.calls.is_empty() {
            return false;
        }
        let mut is_busy = false;
        // Bounded: there are never more than a few calls.
        while let Poll::Ready(Some(ended)) = self.calls.poll_next_unpin(cx) {
            is_busy = true;
            match ended {
                CallEnded::Settled { members, answer } => self.settled(now, members, answer),
                CallEnded::Extended {
                    members,
                    sent,
                    earliest,
                    answer,
                } => {
                    if matches!(answer, Answer::Done(_)) {
                        self.observe_extension(sent, earliest);
                    }
                    self.extended(now, members, sent, answer);
                }
            }
        }
        is_busy
    }

    /// Reports a call that is tried again; returns when.
    pub(super) fn call_failed(
        &mut self,
        now: Instant,
        call: BrokerCall,
        failures: &mut u32,
        error: String,
    ) -> Instant {
        *failures = failures.saturating_add(1);
        self.emit(|| Event::BrokerFailed {
            call,
            error,
            permanent: false,
        });
        // No longer than an eighth of a lease, so that several tries fit into what is left of one.
        let delay = CALL_BACKOFF.delay(*failures, &mut self.rng);
        now + delay.min((self.settings.lease / 8).max(CALL_BACKOFF.base / 2))
    }

    /// Reports a call that failed for good, which stops the consumer.
    pub(super) fn call_broke(&mut self, now: Instant, call: BrokerCall, failure: Failure) {
        let error = describe(&failure);
        self.emit(|| Event::BrokerFailed {
            call,
            error,
            permanent: true,
        });
        self.table.stop_extending();
        self.intake.close_for_good();
        self.fail(failure);
        self.hasten(now);
    }
}

/// Waits for an answer of the right length, until it would be of no use.
///
/// A call that is answered at once needs no timer, and gets none.
async fn bounded(
    call: impl Future<Output = Answer<Vec<Outcome>>>,
    give_up: impl FnOnce() -> BoxFuture<'static, ()>,
    expected: usize,
) -> Answer<Vec<Outcome>> {
    let mut call = pin!(call);
    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    let answer = match first {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => match future::select(call, give_up()).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(((), _)) => None,
        },
    };
    match answer {
        Some(Answer::Done(outcomes)) if outcomes.len() != expected => {
            Answer::Retryable(format!("answered {} items of {expected}", outcomes.len()))
        }
        Some(answer) => answer,
        None => Answer::Retryable("no answer within the lease".to_owned()),
    }
}

/// How failed calls are spaced.
const CALL_BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(10),
    factor: 2,
    jitter: Jitter::Equal,
};
