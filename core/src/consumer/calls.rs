//! Calls of the broker: panics are contained, and none is waited for longer than it is useful.
//!
//! What is deliberately absent: a waker for each call. There are never more than a few, and each is
//! polled in every pass.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::engine::{Engine, drop_quietly};
use crate::fan_out::describe;
use crate::isolate::{Isolated, panic_message, poll_isolated};
use crate::lease::{ExtendBatch, Member};
use crate::{
    Backoff, Broker, BrokerCall, BrokerError, Caps, Event, Failure, Instant, Jitter, Outcome,
    Settlement,
};

/// What a call came to.
pub(super) enum Answer<T> {
    Done(T),
    Retryable(String),
    Permanent(Broken),
}

/// Why nothing can be had of the broker any more.
pub(super) struct Broken {
    failure: Failure,
    /// For a person.
    error: String,
}

/// A call of the broker that has not ended.
pub(super) type Calling<'a, T> = BoxFuture<'a, Result<T, BrokerError>>;

/// The calls of `settle` and `extend` that are on their way.
#[derive(Default)]
pub(super) struct Calls<'a> {
    on_their_way: Vec<Call<'a>>,
    /// What calls that have ended kept their members in.
    spare: Vec<Vec<Member>>,
}

/// A call for a batch.
struct Call<'a> {
    calling: Option<Calling<'a, Vec<Outcome>>>,
    members: Vec<Member>,
    /// When an answer is of no use any more.
    useless: Instant,
    /// Of extensions, when they were sent and when the first of the leases would have ended.
    extends: Option<(Instant, Instant)>,
}

/// What the broker can do, or the message of its panic.
pub(super) fn ask_caps(broker: &dyn Broker) -> Result<Caps, String> {
    // Unwind safe: nothing of ours is left half done.
    catch_unwind(AssertUnwindSafe(|| broker.caps())).map_err(panic_message)
}

/// Makes a call; if that panics, so does the first poll.
pub(super) fn begin<'a, T: 'a>(call: impl FnOnce() -> Calling<'a, T>) -> Calling<'a, T> {
    // Unwind safe: nothing of ours is left half done.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(calling) => calling,
        Err(payload) => future::lazy(|_| resume_unwind(payload)).boxed(),
    }
}

/// Polls a call, with its panic turned into a failure, and drops it when it has ended.
pub(super) fn poll_call<T>(
    calling: &mut Option<Calling<'_, T>>,
    cx: &mut Context<'_>,
) -> Poll<Answer<T>> {
    // Errors are described where their panics are contained.
    let answer = |answered| match answered {
        Ok(output) => Answer::Done(output),
        Err(error @ BrokerError::Retryable(_)) => Answer::Retryable(describe(&error)),
        Err(error) => Answer::Permanent(Failure::Broker(error).into()),
    };
    poll_isolated(Pin::new(calling), cx, answer).map(|isolated| match isolated {
        Isolated::Done(answer) => answer,
        Isolated::Panicked(message) => Answer::Permanent(Failure::BrokerPanicked(message).into()),
        // Not reached: nobody polls a call that has ended.
        Isolated::Cancelled => Answer::Retryable("cancelled".to_owned()),
    })
}

impl Calls<'_> {
    /// When a call is to be given up.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.on_their_way.iter().map(|call| call.useless).min()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.on_their_way.is_empty()
    }

    /// Room for so many members of a call.
    pub(super) fn members(&mut self, count: usize) -> Vec<Member> {
        let mut members = self.spare.pop().unwrap_or_default();
        members.reserve(count);
        members
    }

    /// Keeps the room of members whose answer was applied to all of them.
    pub(super) fn keep(&mut self, mut members: Vec<Member>) {
        if self.spare.len() < SPARE_MAX && members.capacity() <= SPARE_MEMBERS_MAX {
            members.clear();
            self.spare.push(members);
        }
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
        self.calls.on_their_way.push(Call {
            calling: Some(begin(|| broker.settle(batch))),
            members,
            useless,
            extends: None,
        });
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
        self.calls.on_their_way.push(Call {
            calling: Some(begin(|| broker.extend(extensions))),
            members,
            useless,
            extends: Some((sent, earliest)),
        });
    }

    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = false;
        let mut index = 0;
        // Bounded: there are never more than a few calls.
        while let Some(call) = self.calls.on_their_way.get_mut(index) {
            let answer = match poll_call(&mut call.calling, cx) {
                Poll::Ready(Answer::Done(outcomes)) if outcomes.len() != call.members.len() => {
                    let (count, expected) = (outcomes.len(), call.members.len());
                    Answer::Retryable(format!("answered {count} items of {expected}"))
                }
                Poll::Ready(answer) => answer,
                Poll::Pending if now >= call.useless => {
                    drop_quietly(call.calling.take());
                    Answer::Retryable("no answer within the lease".to_owned())
                }
                Poll::Pending => {
                    index += 1;
                    continue;
                }
            };
            is_busy = true;
            let Call {
                members, extends, ..
            } = self.calls.on_their_way.remove(index);
            let Some((sent, earliest)) = extends else {
                self.settled(now, members, answer);
                continue;
            };
            if matches!(answer, Answer::Done(_)) {
                self.observe_extension(sent, earliest);
            }
            self.extended(now, members, sent, answer);
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
    pub(super) fn call_broke(&mut self, now: Instant, call: BrokerCall, broken: Broken) {
        let Broken { failure, error } = broken;
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

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        let error = describe(&failure);
        Self { failure, error }
    }
}

/// Of a broker that cannot say what it can do, and is not asked for anything.
pub(super) const NO_CAPS: Caps = Caps {
    settle_count_max: 0,
    extend_count_max: 0,
    nack_delay: false,
    confirmed_ack: false,
};

/// How failed calls are spaced.
const CALL_BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(10),
    factor: 2,
    jitter: Jitter::Equal,
};

/// For how many calls members' room is kept.
const SPARE_MAX: usize = 4;

/// How much room is kept, in members.
const SPARE_MEMBERS_MAX: usize = 4096;
