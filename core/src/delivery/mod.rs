//! One delivery, as its handler sees it.

mod overdue;
mod shield;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;

pub use overdue::Overdue;
pub use shield::{ShieldError, Shielded};

use crate::control::{Notice, Shared, lock};
use crate::isolate::Watch;
use crate::lease::Handle;
use crate::signal::{Signal, Wait};
use crate::{DeliveryKey, Event, Instant, LeaseToken, Message, MessageId};

/// A message in the hands of its handler, under a lease that the consumer keeps.
///
/// A clone is another view of the same delivery: the delivery ends when its handler does, however
/// many views there are, and dropping one does nothing.
#[derive(Clone)]
pub struct Delivery {
    scope: Arc<Scope>,
}

impl Delivery {
    /// The message's id.
    pub fn id(&self) -> &MessageId {
        &self.scope.id
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.scope.attempt
    }

    /// What was published.
    pub fn payload(&self) -> &[u8] {
        &self.scope.payload
    }

    /// The lease's name at the start of the handler: a fencing token for what the handler writes.
    pub fn lease_token(&self) -> &LeaseToken {
        &self.scope.token
    }

    /// How long the lease is certain to last unless it is extended again; zero once it is lost.
    pub fn lease_remaining(&self) -> Duration {
        if self.is_lease_lost() {
            return Duration::ZERO;
        }
        // Relaxed: a bound that may be read a moment late.
        let deadline = Instant::from_nanos(self.scope.deadline.load(Ordering::Relaxed));
        deadline - self.scope.shared.clock.now()
    }

    /// Whether the lease was lost: another consumer may have the message now.
    pub fn is_lease_lost(&self) -> bool {
        let aside = self.scope.aside.get();
        aside.is_some_and(|aside| aside.lost.is_set())
    }

    /// Resolves when the lease is lost, and never if it is not.
    pub fn lease_lost(&self) -> LeaseLost {
        LeaseLost {
            wait: Wait::new(self.clone()),
        }
    }

    /// Whether the handler was cancelled: shielded work may want to hurry.
    pub fn is_cancelled(&self) -> bool {
        self.scope.cancelled.load(Ordering::Acquire)
    }

    /// The delivery's name in events.
    pub fn key(&self) -> DeliveryKey {
        DeliveryKey {
            id: self.id().clone(),
            attempt: self.attempt(),
        }
    }

    /// What it shares with its consumer.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.scope.shared
    }

    /// The delivery of `message`, which is left without what is moved.
    pub(crate) fn new(
        handle: Handle,
        message: &mut Message,
        deadline: Instant,
        shared: Arc<Shared>,
    ) -> Self {
        let mut scope = Scope {
            handle,
            id: "".into(),
            token: "".into(),
            payload: Vec::new(),
            attempt: 0,
            shared,
            deadline: AtomicU64::default(),
            cancelled: AtomicBool::default(),
            aside: OnceLock::new(),
        };
        scope.fill(handle, message, deadline);
        Self {
            scope: Arc::new(scope),
        }
    }

    /// Takes leave of the message; returns whether the memory may be used for another one, if
    /// there is no other view by then.
    pub(crate) fn retire(&mut self) -> bool {
        let is_small = self.scope.payload.capacity() <= RETIRED_BYTES_MAX;
        if is_small && self.scope.aside.get().is_none() {
            // What is left in it gives way to the next message.
            return true;
        }
        let Some(scope) = Arc::get_mut(&mut self.scope) else {
            return false;
        };
        scope.payload = Vec::new();
        drop(scope.aside.take());
        true
    }

    /// The memory of a retired delivery, to be filled; `None` if there is another view of it.
    pub(crate) fn reuse(&mut self) -> Option<&mut Scope> {
        Arc::get_mut(&mut self.scope)
    }

    /// Names the lease of a delivery whose handler has not started.
    pub(crate) fn set_lease_token(&mut self, token: LeaseToken) {
        // Always there: nobody else has a view before the handler starts.
        if let Some(scope) = Arc::get_mut(&mut self.scope) {
            scope.token = token;
        }
    }

    pub(crate) fn set_lease_deadline(&self, deadline: Instant) {
        // Relaxed: see `lease_remaining`.
        self.scope
            .deadline
            .store(deadline.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn set_lease_lost(&self) {
        self.scope.aside().lost.set();
    }

    /// Has the handler dropped at its next poll, which this brings about if it is a task.
    pub(crate) fn cancel(&self) {
        // Release, then wake: pairs with the order register, then load in `Watch::before`.
        self.scope.cancelled.store(true, Ordering::Release);
        // A spawned handler's; inline ones are polled by the engine, which has cancelled them.
        self.scope.aside().waker.wake();
    }

    /// Reports a failed branch and remembers it as the reason of a dead letter.
    pub(crate) fn branch_failed(&self, branch: &'static str, error: String, required: bool) {
        if required {
            *lock(&self.scope.aside().last_error) = Some(format!("{branch}: {error}"));
        }
        let delivery = self.key();
        self.notify(Notice::Event(Event::BranchFailed {
            delivery,
            branch,
            error,
            required,
        }));
    }

    pub(crate) fn take_last_error(&self) -> Option<String> {
        lock(&self.scope.aside.get()?.last_error).take()
    }

    fn notify(&self, notice: Notice) {
        self.scope.shared.notify(notice);
    }

    /// Reports a poll that took longer than the threshold.
    pub(crate) fn check_poll(&self, took: Duration) {
        if took > self.scope.shared.slow_poll {
            self.notify(Notice::Event(Event::SlowPoll {
                delivery: self.key(),
                took,
            }));
        }
    }

    fn before_poll(&self, cx: &mut Context<'_>) -> bool {
        // Registered before the load: a cancel between the two wakes.
        self.scope.aside().waker.register(cx.waker());
        self.is_cancelled()
    }
}

impl AsRef<Signal> for Delivery {
    fn as_ref(&self) -> &Signal {
        &self.scope.aside().lost
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", self.id())
            .field("attempt", &self.attempt())
            .field("lease_token", self.lease_token())
            .field("lease_lost", &self.is_lease_lost())
            .finish_non_exhaustive()
    }
}

/// Resolves when a delivery's lease is lost: see [`Delivery::lease_lost`].
///
/// # Cancel safety
///
/// Cancel safe: dropping it only stops the waiting.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LeaseLost {
    wait: Wait<Delivery>,
}

impl Future for LeaseLost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.wait).poll(cx)
    }
}

/// Watches a handler that is a task of its own: nothing is known about the time between its polls.
pub(crate) struct SpawnedWatch<'a> {
    delivery: &'a Delivery,
    started: AtomicU64,
}

impl<'a> SpawnedWatch<'a> {
    pub(crate) fn new(delivery: &'a Delivery) -> Self {
        Self {
            delivery,
            started: AtomicU64::new(0),
        }
    }
}

impl Watch for SpawnedWatch<'_> {
    fn before(&self, cx: &mut Context<'_>) -> bool {
        let now = self.delivery.scope.shared.clock.now();
        // Relaxed: written and read by the one task that polls.
        self.started.store(now.as_nanos(), Ordering::Relaxed);
        self.delivery.before_poll(cx)
    }

    fn after(&self) {
        let started = Instant::from_nanos(self.started.load(Ordering::Relaxed));
        let shared = &self.delivery.scope.shared;
        let took = shared.clock.now() - started;
        shared.recorder.spawned_poll(took);
        self.delivery.check_poll(took);
    }
}

/// The message is kept in parts: together with what else is kept they leave less room unused.
pub(crate) struct Scope {
    handle: Handle,
    id: MessageId,
    token: LeaseToken,
    payload: Vec<u8>,
    attempt: u32,
    shared: Arc<Shared>,
    deadline: AtomicU64,
    cancelled: AtomicBool,
    /// Made when it is first needed, by whoever needs it: few deliveries do.
    aside: OnceLock<Box<Aside>>,
}

/// What few deliveries need.
#[derive(Default)]
struct Aside {
    /// The spawned handler's, for cancellation.
    waker: AtomicWaker,
    lost: Signal,
    overdue: Signal,
    last_error: Mutex<Option<String>>,
}

impl Scope {
    /// Changes places with what an older message has left here.
    // Swapped, not moved: moved through the stack, names of 16 bytes are waited for.
    #[inline]
    pub(crate) fn fill(&mut self, handle: Handle, message: &mut Message, deadline: Instant) {
        self.handle = handle;
        std::mem::swap(&mut self.id, &mut message.id);
        std::mem::swap(&mut self.token, &mut message.lease);
        std::mem::swap(&mut self.payload, &mut message.payload);
        self.attempt = message.attempt;
        self.deadline = AtomicU64::new(deadline.as_nanos());
        self.cancelled = AtomicBool::new(false);
        // There is one if a view was kept beyond the end.
        drop(self.aside.take());
    }

    fn aside(&self) -> &Aside {
        self.aside.get_or_init(Box::default)
    }
}

/// A larger payload is given back at once, a smaller one with the batch of the next message.
const RETIRED_BYTES_MAX: usize = 4096;
