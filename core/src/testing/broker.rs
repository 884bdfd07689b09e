//! A broker in memory: it keeps the truth about leases, writes down what it is told, and fails on
//! request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending, poll_fn};

use super::ManualClock;
use crate::control::lock;
use crate::{
    Broker, BrokerError, Caps, Clock, Extension, Instant, LeaseToken, Message, MessageId, Outcome,
    Pull, Received, Settle, Settlement,
};

/// What the next call does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Retryable,
    Permanent,
    Panic,
    /// Takes effect, and never answers.
    Hang,
    /// Takes effect, and answers too few items.
    Short,
    /// Takes effect, and answers that it failed.
    Lost,
}

#[derive(Clone)]
pub(crate) struct TestBroker {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) lease: Duration,
    pub(crate) caps: Caps,
    /// How long `settle` and `extend` take to answer, after they took effect.
    pub(crate) settle_latency: Duration,
    pub(crate) extend_latency: Duration,
    /// How long `extend` takes until it takes effect.
    pub(crate) extend_delay: Duration,
    /// How often an extension made a lease shorter.
    pub(crate) shortened: usize,
    /// How many times as many messages it delivers as it was asked for.
    pub(crate) overshoot: usize,
    /// Whether the source ends when nothing is left.
    pub(crate) ends: bool,
    /// Leased to the consumer, and only to be had with `Pull::Close`.
    pub(crate) at_close: Vec<(String, u32)>,
    /// Leased to the consumer, and only to be had with `Pull::Hold`.
    pub(crate) at_hold: Vec<(String, u32)>,
    /// Delivered once more, whatever they have come to.
    pub(crate) stray: Vec<Received>,
    pub(crate) receive_faults: VecDeque<Fault>,
    pub(crate) settle_faults: VecDeque<Fault>,
    pub(crate) extend_faults: VecDeque<Fault>,
    /// Panics when it is asked for its caps.
    pub(crate) caps_panic: bool,
    /// Never answers `Pull::Close`.
    pub(crate) close_hangs: bool,
    pub(crate) settled: Vec<(String, Settle, Outcome)>,
    /// The sizes of the batches, in the order of the calls.
    pub(crate) settle_batches: Vec<usize>,
    pub(crate) extend_batches: Vec<Vec<String>>,
    pub(crate) receives: usize,
    pub(crate) closes: usize,
    pub(crate) holds: usize,
    ready: VecDeque<(Instant, String, u32)>,
    leases: HashMap<String, (String, Instant, u32)>,
    last_token: u64,
    waker: Option<Waker>,
}

impl TestBroker {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        let state = State {
            lease: Duration::from_secs(10),
            caps: Caps {
                settle_count_max: 100,
                extend_count_max: 100,
                nack_delay: true,
                confirmed_ack: true,
            },
            settle_latency: Duration::ZERO,
            extend_latency: Duration::ZERO,
            extend_delay: Duration::ZERO,
            shortened: 0,
            overshoot: 1,
            ends: true,
            at_close: Vec::new(),
            at_hold: Vec::new(),
            stray: Vec::new(),
            receive_faults: VecDeque::new(),
            settle_faults: VecDeque::new(),
            extend_faults: VecDeque::new(),
            caps_panic: false,
            close_hangs: false,
            settled: Vec::new(),
            settle_batches: Vec::new(),
            extend_batches: Vec::new(),
            receives: 0,
            closes: 0,
            holds: 0,
            ready: VecDeque::new(),
            leases: HashMap::new(),
            last_token: 0,
            waker: None,
        };
        Self {
            clock: clock.clone(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut lock(&self.state))
    }

    pub(crate) fn publish(&self, ids: impl IntoIterator<Item = impl Into<String>>) {
        let now = self.clock.now();
        let ready = ids.into_iter().map(|id| (now, id.into(), 1));
        self.with(|state| state.ready.extend(ready));
        self.wake();
    }

    /// Has a call that waits look again.
    pub(crate) fn wake(&self) {
        let waker = self.with(|state| state.waker.take());
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ids, settlements and outcomes, as the broker saw them.
    pub(crate) fn settled(&self) -> Vec<(String, Settle, Outcome)> {
        self.with(|state| state.settled.clone())
    }

    /// How many messages are neither acked nor dead.
    pub(crate) fn left(&self) -> usize {
        self.with(|state| state.ready.len() + state.leases.len())
    }

    fn take(&self, count_max: usize) -> Option<Vec<Received>> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.expire(now);
        let count_max = count_max * state.overshoot;
        let mut batch = std::mem::take(&mut state.stray);
        let mut later = VecDeque::new();
        while let Some((at, id, attempt)) = state.ready.pop_front() {
            if at <= now && batch.len() < count_max {
                batch.push(state.lease_out(now, id, attempt));
            } else {
                later.push_back((at, id, attempt));
            }
        }
        state.ready = later;
        let is_over = state.ends && state.ready.is_empty() && state.leases.is_empty();
        (!batch.is_empty() || is_over).then_some(batch)
    }

    /// What was leased before a pause.
    fn held(&self) -> Option<Vec<Received>> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.expire(now);
        let held = std::mem::take(&mut state.at_hold);
        let held: Vec<Received> = held
            .into_iter()
            .map(|(id, attempt)| state.lease_out(now, id, attempt))
            .collect();
        let is_over = state.ends && state.ready.is_empty() && state.leases.is_empty();
        (!held.is_empty() || is_over).then_some(held)
    }

    /// When something becomes ready by itself.
    fn next(&self) -> Option<Instant> {
        let state = lock(&self.state);
        let ready = state.ready.iter().map(|(at, ..)| *at);
        ready
            .chain(state.leases.values().map(|(_, deadline, _)| *deadline))
            .min()
    }

    async fn answer(
        &self,
        fault: Option<Fault>,
        latency: Duration,
        work: impl FnOnce() -> Vec<Outcome>,
    ) -> Result<Vec<Outcome>, BrokerError> {
        match fault {
            Some(Fault::Retryable) => return Err(BrokerError::Retryable("busy".into())),
            Some(Fault::Permanent) => return Err(BrokerError::Permanent("gone".into())),
            Some(Fault::Panic) => panic!("a planned panic"),
            _ => {}
        }
        let mut outcomes = work();
        match fault {
            Some(Fault::Hang) => pending().await,
            Some(Fault::Short) => drop(outcomes.pop()),
            Some(Fault::Lost) => return Err(BrokerError::Retryable("reply lost".into())),
            _ => {}
        }
        self.clock.sleep(latency).await;
        Ok(outcomes)
    }
}

impl Broker for TestBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        async move {
            let fault = self.with(|state| {
                state.receives += 1;
                state.closes += usize::from(pull == Pull::Close);
                state.holds += usize::from(pull == Pull::Hold);
                state.receive_faults.pop_front()
            });
            match fault {
                Some(Fault::Permanent) => return Err(BrokerError::Permanent("gone".into())),
                Some(Fault::Panic) => panic!("a planned panic"),
                Some(Fault::Hang) => pending().await,
                Some(_) => return Err(BrokerError::Retryable("busy".into())),
                None => {}
            }
            if pull == Pull::Close {
                if self.with(|state| state.close_hangs) {
                    pending::<()>().await;
                }
                let now = self.clock.now();
                return Ok(self.with(|state| {
                    let late = std::mem::take(&mut state.at_close);
                    late.into_iter()
                        .map(|(id, n)| state.lease_out(now, id, n))
                        .collect()
                }));
            }
            let mut sleep: Option<BoxFuture<'static, ()>> = None;
            poll_fn(|cx| {
                loop {
                    let batch = match pull {
                        Pull::Next { count_max } => self.take(count_max),
                        Pull::Hold | Pull::Close => self.held(),
                    };
                    if let Some(batch) = batch {
                        return Poll::Ready(Ok(batch));
                    }
                    self.with(|state| state.waker = Some(cx.waker().clone()));
                    // What becomes ready by itself is none of a hold's.
                    let Some(next) = self.next().filter(|_| pull != Pull::Hold) else {
                        return Poll::Pending;
                    };
                    let timer = sleep.insert(self.clock.sleep_until(next));
                    if timer.poll_unpin(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            })
            .await
        }
        .boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        async move {
            let (fault, latency) = self.with(|state| {
                state.settle_batches.push(batch.len());
                (state.settle_faults.pop_front(), state.settle_latency)
            });
            let now = self.clock.now();
            let work =
                || self.with(|state| batch.iter().map(|one| state.settle(now, one)).collect());
            let outcomes = self.answer(fault, latency, work).await;
            // A nack makes a message ready, and the last settlement may be the end of the source.
            self.wake();
            outcomes
        }
        .boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        async move {
            let (fault, latency, delay) = self.with(|state| {
                let ids = batch.iter().map(|one| one.id.to_string()).collect();
                state.extend_batches.push(ids);
                let fault = state.extend_faults.pop_front();
                (fault, state.extend_latency, state.extend_delay)
            });
            self.clock.sleep(delay).await;
            let now = self.clock.now();
            let work =
                || self.with(|state| batch.iter().map(|one| state.extend(now, one)).collect());
            self.answer(fault, latency, work).await
        }
        .boxed()
    }

    fn caps(&self) -> Caps {
        assert!(!self.with(|state| state.caps_panic), "a planned panic");
        self.with(|state| state.caps)
    }
}

impl State {
    /// Leases a message to somebody else, or to the consumer once more, at once.
    pub(crate) fn redeliver(&mut self, now: Instant, id: &str) {
        let (_, _, attempt) = self.leases.remove(id).expect("a lease");
        self.ready.push_back((now, id.to_owned(), attempt + 1));
    }

    /// What is leased, in no particular order but always the same.
    pub(crate) fn leased(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.leases.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Gives a message that is ready to somebody else, for good.
    pub(crate) fn steal(&mut self, id: &str) {
        self.ready.retain(|(_, other, _)| other != id);
    }

    fn lease_out(&mut self, now: Instant, id: String, attempt: u32) -> Received {
        self.last_token += 1;
        let token = format!("token-{}", self.last_token);
        let deadline = now + self.lease;
        self.leases
            .insert(id.clone(), (token.clone(), deadline, attempt));
        let (id, lease) = (MessageId::from(id), LeaseToken::from(token));
        let payload = id.as_str().as_bytes().to_vec();
        Received {
            message: Message {
                id,
                lease,
                attempt,
                payload,
            },
            deadline,
        }
    }

    fn expire(&mut self, now: Instant) {
        let over = self
            .leases
            .iter()
            .filter(|(_, (_, deadline, _))| *deadline <= now);
        let mut over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        over.sort();
        for id in over {
            let (_, _, attempt) = self.leases.remove(&id).expect("a lease");
            self.ready.push_back((now, id, attempt + 1));
        }
    }

    fn settle(&mut self, now: Instant, one: &Settlement) -> Outcome {
        self.expire(now);
        let id = one.id.to_string();
        let current = self
            .leases
            .get(&id)
            .filter(|(token, ..)| token == one.lease.as_str());
        let Some((_, _, attempt)) = current.cloned() else {
            self.settled.push((id, one.settle.clone(), Outcome::Gone));
            return Outcome::Gone;
        };
        self.leases.remove(&id);
        if let Settle::Nack { after, counted } = one.settle {
            let after = if self.caps.nack_delay {
                after
            } else {
                Duration::ZERO
            };
            self.ready
                .push_back((now + after, id.clone(), attempt + u32::from(counted)));
        }
        self.settled.push((id, one.settle.clone(), Outcome::Done));
        Outcome::Done
    }

    fn extend(&mut self, now: Instant, one: &Extension) -> Outcome {
        self.expire(now);
        match self.leases.get_mut(one.id.as_str()) {
            Some((token, deadline, _)) if token == one.lease.as_str() => {
                self.shortened += usize::from(now + one.duration < *deadline);
                *deadline = now + one.duration;
                Outcome::Done
            }
            _ => Outcome::Gone,
        }
    }
}
