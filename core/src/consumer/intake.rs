//! Intake: takes messages off the broker at once, so that their leases are kept while they wait.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::batch::Batch;
use super::calls::{Answer, Calling, begin, poll_call};
use super::delivering::{Delivering, Running, Stage};
use super::engine::{Engine, drop_quietly};
use super::merging::key;
use crate::flow::{Flow, Load};
use crate::lease::{Handle, IdHash};
use crate::{BrokerCall, Delivery, Event, Instant, Phase, Pull, Received};

/// The call of `receive` and what is to follow it.
pub(super) struct Intake<'a> {
    source: Source,
    batch: Batch,
    call: Option<Calling<'a, Vec<Received>>>,
    retry_at: Instant,
    failures: u32,
    flow: Flow,
}

/// What is expected from the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// Messages.
    #[default]
    Open,
    /// What it has leased already.
    Closing,
    /// Nothing.
    Closed,
}

impl Intake<'_> {
    /// Takes in as much as `flow` allows.
    pub(super) fn new(flow: Flow) -> Self {
        Self {
            source: Source::default(),
            batch: Batch::default(),
            call: None,
            retry_at: Instant::ZERO,
            failures: 0,
            flow,
        }
    }

    /// Has the source closed; a call that is waiting for messages is dropped.
    pub(super) fn close(&mut self) {
        if self.source == Source::Open {
            self.source = Source::Closing;
            drop_quietly(self.call.take());
            self.retry_at = Instant::ZERO;
        }
    }

    /// Expects nothing any more.
    pub(super) fn close_for_good(&mut self) {
        self.source = Source::Closed;
        drop_quietly(self.call.take());
    }

    /// Expects nothing any more, and takes up nothing of what has come.
    pub(super) fn forget(&mut self) {
        self.close_for_good();
        self.batch.replace(Vec::new());
    }

    /// Drops a call that waits for messages: the next one may be for something else.
    pub(super) fn ask_anew(&mut self) {
        if self.source == Source::Open {
            drop_quietly(self.call.take());
        }
    }

    /// Whether nothing will come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.source == Source::Closed && self.next().is_none()
    }

    /// The next message to take in.
    pub(super) fn next(&self) -> Option<&Received> {
        self.batch.next()
    }

    /// Whether messages come, as far as the broker says.
    pub(super) fn is_up(&self) -> bool {
        self.source == Source::Open && self.failures == 0
    }
}

impl Engine<'_> {
    pub(super) fn poll_intake(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = self.intake.batch.drop_some();
        for _ in 0..CALLS_PER_PASS {
            if self.intake.next().is_some() {
                break;
            }
            if self.intake.call.is_none() {
                let Some(pull) = self.next_pull() else { break };
                if now < self.intake.retry_at {
                    break;
                }
                let broker = self.broker;
                self.intake.call = Some(begin(|| broker.receive(pull)));
            }
            let Poll::Ready(answer) = poll_call(&mut self.intake.call, cx) else {
                break;
            };
            is_busy = true;
            self.receive(now, answer);
        }
        is_busy
    }

    /// When a failed `receive` is tried again.
    pub(super) fn next_receive(&self) -> Option<Instant> {
        let waits = self.intake.call.is_none() && self.intake.failures > 0;
        let is_resting = match self.intake.source {
            Source::Open => self.intake.flow.is_full() && !self.stats.is_paused,
            Source::Closing => false,
            Source::Closed => true,
        };
        (waits && !is_resting).then_some(self.intake.retry_at)
    }

    /// The next delivery to start, if there is a permit for it.
    pub(super) fn next_start(&mut self, now: Instant) -> Option<(Handle, Delivery)> {
        while self.may_start() {
            if let Some(bucket) = &mut self.bucket
                && !bucket.is_ready(now)
            {
                break;
            }
            let handle = self.waiting.pop_front()?;
            let Some(lease) = self.table.get_mut(handle) else {
                continue;
            };
            if now >= lease.deadline {
                // Another consumer may have it by now: it must not be started.
                self.lose(handle);
                continue;
            }
            let (deadline, received) = (lease.deadline, lease.received);
            let attempt = lease.newer_attempt();
            let delivering = &mut lease.owner;
            if !matches!(delivering.stage, Stage::Buffered) {
                continue;
            }
            let attempt = attempt.unwrap_or(delivering.delivery.attempt());
            if attempt > self.poison.attempt_max && self.is_buried(handle, attempt) {
                continue;
            }
            let Some(delivering) = self.table.owner_mut(handle) else {
                continue;
            };
            delivering.stage = Stage::Running(Running {
                started: now,
                ..Running::default()
            });
            let delivery = delivering.delivery.clone();
            delivery.set_lease_deadline(deadline);
            self.stats.buffered -= 1;
            self.stats.running += 1;
            self.observe_start(received);
            if let Some(bucket) = &mut self.bucket {
                bucket.take();
            }
            return Some((handle, delivery));
        }
        None
    }

    /// Whether a message that waits may be started, as far as it depends on others.
    pub(super) fn may_start(&self) -> bool {
        let is_running = self.stats.phase == Phase::Running && !self.stats.is_paused;
        is_running && self.failure.is_none() && self.stats.running < self.stats.concurrency
    }

    /// What to ask the broker for, if for anything.
    fn next_pull(&mut self) -> Option<Pull> {
        match self.intake.source {
            Source::Closed => None,
            Source::Closing => Some(Pull::Close),
            // Even if there is no room: what is under lease already has to be kept.
            Source::Open if self.stats.is_paused => Some(Pull::Hold),
            Source::Open => {
                let load = self.load();
                let count_max = self.intake.flow.room(load);
                (count_max > 0).then_some(Pull::Next { count_max })
            }
        }
    }

    pub(super) fn receive(&mut self, now: Instant, answer: Answer<Vec<Received>>) {
        match answer {
            Answer::Done(batch) => {
                self.intake.failures = 0;
                if batch.is_empty() {
                    self.intake.close_for_good();
                }
                self.compact_waiting();
                self.intake.flow.begin_batch();
                self.intake.batch.replace(batch);
            }
            Answer::Retryable(error) => {
                let mut failures = self.intake.failures;
                let retry_at = self.call_failed(now, BrokerCall::Receive, &mut failures, error);
                self.intake.failures = failures;
                self.intake.retry_at = retry_at;
            }
            Answer::Permanent(broken) => self.call_broke(now, BrokerCall::Receive, broken),
        }
    }

    /// Takes in the next message, if there is one; what comes after the stop is released.
    pub(super) fn accept(&mut self, now: Instant) -> bool {
        // Looked at where it lies: it is moved once, to where it stays.
        let Some(Received { message, .. }) = self.intake.next() else {
            return false;
        };
        let hash = self.table.hash(&message.id);
        let is_in_hand = self.table.find_hashed(hash, &message.id).is_some();
        let is_new = !is_in_hand && !self.table.is_detached(hash, &message.lease);
        self.stats.totals.received += 1;
        self.stats.totals.redelivered += u64::from(message.attempt > 1);
        if self.settings.observer.is_some() {
            let key = key(message);
            self.emit(|| Event::Received(key));
        }
        if is_new || !self.merge(now, hash) {
            self.take_up(now, hash);
        } else {
            self.intake.batch.advance();
        }
        true
    }

    /// Takes up the next message, which is not in hand and whose id has this hash.
    fn take_up(&mut self, now: Instant, hash: IdHash) {
        let is_running = self.stats.phase == Phase::Running;
        let load = self.load();
        let Some(Received { message, deadline }) = self.intake.batch.next_mut() else {
            return;
        };
        let bytes = message.payload.len();
        let is_too_much = is_running && self.intake.flow.is_too_much(load, bytes);
        let mut shed = is_too_much.then_some(Duration::ZERO);
        let mut key = Ok(None);
        if let Some(order) = self.order.as_mut().filter(|_| is_running) {
            key = order.key_of(message);
            if let Ok(Some(key)) = key {
                shed = order.shed.look(now, key, &message.id, is_too_much);
            }
        }
        let (deadline, shared) = (*deadline, &self.shared);
        // Moved once, from where it lies to where it stays.
        let delivering = |handle, retired: Option<&mut Delivering>| {
            if let Some(retired) = retired
                && let Some(scope) = retired.delivery.reuse()
            {
                scope.fill(handle, message, deadline);
                return None;
            }
            let delivery = Delivery::new(handle, message, deadline, Arc::clone(shared));
            Some(Delivering {
                delivery,
                stage: Stage::Buffered,
            })
        };
        let handle = self.table.insert(now, hash, deadline, delivering);
        self.intake.batch.advance();
        self.stats.outstanding += 1;
        self.stats.bytes += bytes;
        self.stats.buffered += 1;
        match shed {
            Some(wait) => {
                if let Err(message) = key {
                    self.tell_key_panic(handle, message);
                }
                self.shed(now, handle, wait);
            }
            None if is_running => self.line_up(handle, key),
            None => self.release(handle),
        }
    }

    /// What is in hand.
    fn load(&self) -> Load {
        Load {
            count: self.table.len(),
            bytes: self.stats.bytes,
        }
    }

    /// Forgets deliveries that were lost while they waited, before they outnumber the others.
    fn compact_waiting(&mut self) {
        if self.waiting.len() > 2 * self.stats.buffered + COMPACT_MIN {
            let table = &self.table;
            self.waiting.retain(|handle| table.get(*handle).is_some());
        }
    }
}

/// How many batches are received in one pass.
const CALLS_PER_PASS: usize = 4;

/// Below this many the waiting deliveries are not worth compacting.
const COMPACT_MIN: usize = 64;
