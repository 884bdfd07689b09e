//! Builds a consumer; a missing port is a type error.

mod flow;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::task::Spawn;

use super::hooks::Hook;
use super::ordering::KeyOf;
use crate::control::Shared;
use crate::handler::Execution;
use crate::{
    Backoff, Broker, Clock, Consumer, Control, Delivery, Event, Handler, Inline, NackedHead, Plan,
    Rate, Spawned, Timeout, Verdict,
};

/// No broker was given yet.
#[derive(Clone, Copy, Debug)]
pub struct NoBroker;

/// No clock was given yet.
#[derive(Clone, Copy, Debug)]
pub struct NoClock;

/// No handler was given yet.
#[derive(Clone, Copy, Debug)]
pub struct NoHandler;

/// Collects a consumer's ports and settings; every setting has a default.
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<B, C, H> {
    broker: B,
    clock: C,
    execution: H,
    pub(super) settings: Settings,
}

impl Builder<NoBroker, NoClock, NoHandler> {
    pub(super) fn new() -> Self {
        Self {
            broker: NoBroker,
            clock: NoClock,
            execution: NoHandler,
            settings: Settings::default(),
        }
    }
}

impl<C, H> Builder<NoBroker, C, H> {
    /// Where messages come from.
    pub fn broker(self, broker: impl Broker + 'static) -> Builder<Arc<dyn Broker>, C, H> {
        let Self {
            clock,
            execution,
            settings,
            ..
        } = self;
        Builder {
            broker: Arc::new(broker),
            clock,
            execution,
            settings,
        }
    }
}

impl<B, H> Builder<B, NoClock, H> {
    /// What tells the time.
    pub fn clock(self, clock: impl Clock + 'static) -> Builder<B, Arc<dyn Clock>, H> {
        let Self {
            broker,
            execution,
            settings,
            ..
        } = self;
        Builder {
            broker,
            clock: Arc::new(clock),
            execution,
            settings,
        }
    }
}

impl<B, C> Builder<B, C, NoHandler> {
    /// What to do with a message, inside the consumer's own future. May be `!Send`.
    pub fn handler<H: Handler>(self, handler: H) -> Builder<B, C, Inline<H>> {
        self.execution(|_| Inline(handler))
    }

    /// What to do with a message, as a task of an executor: handlers use all of its threads.
    ///
    /// If the executor drops a task the delivery is nacked, not as an attempt. If it takes no more
    /// tasks the consumer stops.
    pub fn spawned_handler<S, F>(self, spawn: S, handler: F) -> Builder<B, C, Spawned<S, F>>
    where
        S: Spawn,
        F: for<'a> Fn(&'a Delivery) -> BoxFuture<'a, Verdict> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        self.execution(|_| Spawned { spawn, handler })
    }
}

impl<B, C, H> Builder<B, C, H> {
    pub(crate) fn execution<E>(self, execution: impl FnOnce(H) -> E) -> Builder<B, C, E> {
        let Self {
            broker,
            clock,
            execution: present,
            settings,
        } = self;
        Builder {
            broker,
            clock,
            execution: execution(present),
            settings,
        }
    }
}

impl<B, C, H> Builder<B, C, H> {
    /// How many handlers may run at a time, at least 1. Default: 64.
    ///
    /// No more than [`prefetch`](Self::prefetch) run in any case. Can be changed while the consumer
    /// runs: see [`Control::set_concurrency`].
    pub fn concurrency(mut self, count_max: usize) -> Self {
        self.settings.concurrency = count_max.max(1);
        self
    }

    /// How long a lease is extended at a time, at least 1 ms. Default: 60 s.
    ///
    /// A lease is extended when half of it is left, or a little earlier; where so many came
    /// together that they need several calls, some of them are extended earlier the first time, so
    /// that the calls do not come in bursts.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(LEASE_MIN);
        self.settings.lease_range = None;
        self
    }

    /// Has leases extended for as long as is needed, within `range`, instead of the same each time:
    /// for what 99 of 100 handlers took lately, and what calls of
    /// [`Broker::extend`](crate::Broker::extend) and late timers cost on top of it.
    ///
    /// A lease is extended when a fifth of it is left, or three times what such a call takes, if
    /// that is more; the first time also no later than when half of it is left. When calls become
    /// slow, leases grow and are extended earlier, also those that are in hand already. What was
    /// seen counts half after 5 min. An extension never makes a lease shorter.
    ///
    /// The shortest lease is what a message waits for after a crash; the longest is what a broker
    /// may be slow without a message being delivered twice.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::Consumer;
    /// # use std::time::Duration;
    /// let builder = Consumer::builder()
    ///     .lease_adaptive(Duration::from_secs(30)..=Duration::from_secs(600));
    /// ```
    pub fn lease_adaptive(mut self, range: RangeInclusive<Duration>) -> Self {
        let shortest = (*range.start()).max(LEASE_MIN);
        self.settings.lease = shortest;
        self.settings.lease_range = Some(shortest..=shortest.max(*range.end()));
        self
    }

    /// How long a delivery may be under lease in all, from its receipt. Default: 30 min.
    ///
    /// After that its lease is lost: the handler is told, keeps its permit until it ends, and
    /// another consumer may get the message. What has not been started by then is handed back
    /// before, not as an attempt, while an eighth of a lease is left; so it is where the broker
    /// cannot extend leases.
    pub fn lease_max(mut self, lease_max: Duration) -> Self {
        self.settings.lease_max = lease_max;
        self
    }

    /// At which attempt a retry becomes a dead letter, at least 1. Default: 5.
    pub fn max_deliveries(mut self, attempt_max: u32) -> Self {
        self.settings.max_deliveries = attempt_max.max(1);
        self
    }

    /// How long a retry waits unless its verdict says so.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// From which length on one poll of a handler is reported. Default: 100 ms.
    ///
    /// Measured to a tenth of the threshold at worst, by the cheapest of the clock's readings that
    /// is as precise as that.
    pub fn slow_poll(mut self, threshold: Duration) -> Self {
        self.settings.slow_poll = threshold;
        self
    }

    /// How the consumer stops when it stops by itself, because its broker failed.
    ///
    /// Default: `drain` 0, `grace` 5 s, `flush` 5 s. Leases can no longer be kept then, so that
    /// handlers are best cancelled at once.
    pub fn failure_plan(mut self, plan: Plan) -> Self {
        self.settings.failure_plan = plan;
        self
    }

    /// Where the randomness of the jitter comes from; the same seed gives the same delays.
    /// Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Who is told what happens. Called by `run()` itself, with no lock held; must not block.
    ///
    /// If it panics the consumer stops and reports
    /// [`Failure::ObserverPanicked`](crate::Failure::ObserverPanicked).
    pub fn on_event(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Self {
        self.settings.observer = Some(Box::new(observer));
        self
    }
}

impl<E: Execution> Builder<Arc<dyn Broker>, Arc<dyn Clock>, E> {
    /// Builds the consumer, which does nothing until it is run.
    pub fn build(self) -> Consumer<E> {
        let Self {
            broker,
            clock,
            execution,
            settings,
        } = self;
        let shared = Shared::new(clock, settings.slow_poll, settings.lease_max);
        let (control, stops) = Control::new(Arc::clone(&shared));
        Consumer {
            broker,
            execution,
            settings,
            shared,
            control,
            stops,
        }
    }
}

impl<B, C, H> fmt::Debug for Builder<B, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Told of every event.
pub(super) type Observer = Box<dyn FnMut(&Event) + Send>;

pub(super) struct Settings {
    pub(super) concurrency: usize,
    pub(super) prefetch: usize,
    pub(super) prefetch_bytes: usize,
    pub(super) lease: Duration,
    pub(super) lease_range: Option<RangeInclusive<Duration>>,
    pub(super) lease_max: Duration,
    pub(super) max_deliveries: u32,
    pub(super) poison_after: u32,
    pub(super) backoff: Backoff,
    pub(super) nack_delay_min: Duration,
    pub(super) slow_poll: Duration,
    pub(super) timeout: Option<Timeout>,
    pub(super) rate: Option<Rate>,
    pub(super) key_of: Option<KeyOf>,
    pub(super) nacked_head: NackedHead,
    pub(super) failure_plan: Plan,
    pub(super) seed: u64,
    pub(super) observer: Option<Observer>,
    pub(super) hooks: Vec<Hook>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            prefetch: 1000,
            prefetch_bytes: 100 << 20,
            lease: Duration::from_secs(60),
            lease_range: None,
            lease_max: Duration::from_secs(30 * 60),
            max_deliveries: 5,
            poison_after: 0,
            backoff: Backoff::default(),
            nack_delay_min: Duration::from_millis(100),
            slow_poll: Duration::from_millis(100),
            timeout: None,
            rate: None,
            key_of: None,
            nacked_head: NackedHead::default(),
            failure_plan: Plan {
                drain: Duration::ZERO,
                grace: Duration::from_secs(5),
                flush: Duration::from_secs(5),
            },
            seed: 0,
            observer: None,
            hooks: Vec::new(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("concurrency", &self.concurrency)
            .field("prefetch", &self.prefetch)
            .field("lease", &self.lease)
            .field("lease_max", &self.lease_max)
            .field("max_deliveries", &self.max_deliveries)
            .finish_non_exhaustive()
    }
}

/// Shorter leases would be lost between two looks at them.
const LEASE_MIN: Duration = Duration::from_millis(1);
