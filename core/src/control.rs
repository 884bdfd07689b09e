//! The handle to a running consumer, and what its parts tell the engine.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures::future::BoxFuture;
use futures::task::AtomicWaker;

use crate::changes::{Changes, Wanted};
use crate::lease::Handle;
use crate::metrics::Recorder;
use crate::signal::Signal;
use crate::{Clock, Event, Health, Metrics, Rate, Stats};

/// How long each phase of a stop may take.
///
/// Default: `drain` 20 s, `grace` 3 s, `flush` 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long handlers may go on, with their leases extended, before they are cancelled.
    pub drain: Duration,
    /// How long shielded work may go on after that.
    pub grace: Duration,
    /// How long the last settlements may take after that.
    pub flush: Duration,
}

/// Stops and pauses a consumer and shows what it does; any thread may hold one.
#[derive(Clone)]
pub struct Control {
    stops: Sender<Plan>,
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, Receiver<Plan>) {
        let (stops, requests) = async_channel::bounded(STOPS_MAX);
        (Self { stops, shared }, requests)
    }

    /// Asks the consumer to stop. Never waits; works before, during and after
    /// [`run`](crate::Consumer::run).
    ///
    /// The first call stops in order: the source is closed and what has not started is released,
    /// handlers drain, are cancelled at the end of [`Plan::drain`], shielded work goes on for
    /// [`Plan::grace`], settlements are flushed for [`Plan::flush`]. A phase with nothing to wait
    /// for takes no time.
    ///
    /// Where the consumer is stopping by itself already, because of a failure, the first call makes
    /// it stop no later than either plan allows, the present phase counted from the call.
    ///
    /// The second call cancels at once: handlers are dropped, shielded work is abandoned, and
    /// only the settlements are waited for, within *its* plan's `flush`. The third gives up: what
    /// is left ends as abandoned and `run` returns. Further calls do nothing.
    pub fn stop(&self, plan: Plan) {
        // Ignored: full means that the consumer already gives up, closed that it has ended.
        let _ = self.stops.try_send(plan);
    }

    /// Has the consumer rest: nothing more is started and nothing more is asked of the broker,
    /// until [`resume`](Self::resume). Never waits; the latest of the two counts.
    ///
    /// Handlers that are running go on, and what is in hand stays under lease; it is handed back
    /// before it has been so for `lease_max`. A stop works as ever, and a failure of the broker
    /// stops a consumer that is paused as well. [`Stats::is_paused`] shows it, [`Event::Paused`]
    /// tells of it.
    pub fn pause(&self) {
        self.ask(|wanted| wanted.is_paused = Some(true));
    }

    /// Ends a pause. Never waits; does nothing where there is no pause.
    pub fn resume(&self) {
        self.ask(|wanted| wanted.is_paused = Some(false));
    }

    /// Changes how many handlers may run at a time, at least 1. Never waits; the latest call
    /// counts.
    ///
    /// Lowered, it interrupts nobody: nothing starts until enough handlers have ended. Raised above
    /// [`prefetch`](crate::Builder::prefetch), it has no further effect. [`Stats::concurrency`]
    /// shows it, [`Event::ConcurrencySet`] tells of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::{Control, Rate};
    /// /// The service behind the handlers is in trouble, or out of it.
    /// fn adapt(control: &Control, in_trouble: bool) {
    ///     control.set_concurrency(if in_trouble { 2 } else { 64 });
    ///     control.set_rate(in_trouble.then(|| Rate::per_second(10)));
    /// }
    /// ```
    pub fn set_concurrency(&self, count_max: usize) {
        self.ask(|wanted| wanted.concurrency = Some(count_max.max(1)));
    }

    /// Changes how many handlers may start in a time; `None` lifts the limit. Never waits; the
    /// latest call counts.
    ///
    /// What the old limit had not used up is there under the new one, up to its burst.
    /// [`Event::RateSet`] tells of it.
    pub fn set_rate(&self, rate: Option<Rate>) {
        self.ask(|wanted| wanted.rate = Some(rate));
    }

    /// What the consumer was doing at the end of its last poll.
    pub fn stats(&self) -> Stats {
        *lock(&self.shared.stats)
    }

    /// What the consumer has measured so far. Copies some kilobytes: ask as often as a person or a
    /// monitoring system wants to look, not for every message.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::{Control, Histogram};
    /// # use std::time::Duration;
    /// /// Handlers are slow, or wait long: which is it?
    /// fn tell(control: &Control) -> String {
    ///     let metrics = control.metrics();
    ///     let p99 = |histogram: &Histogram| histogram.quantile(0.99);
    ///     format!("waits {:?}, takes {:?}", p99(&metrics.queue_wait), p99(&metrics.handle))
    /// }
    /// ```
    pub fn metrics(&self) -> Metrics {
        let stats = self.stats();
        self.shared.recorder.metrics(self.shared.clock.now(), stats)
    }

    /// Whether the consumer does its work: what a health check answers. Cheap.
    ///
    /// Reads the clock: a consumer that is not polled any more cannot say so itself.
    pub fn health(&self) -> Health {
        let (now, stats) = (self.shared.clock.now(), self.stats());
        self.shared
            .recorder
            .health(now, &stats, self.shared.patience)
    }

    fn ask(&self, change: impl FnOnce(&mut Wanted)) {
        self.shared.changes.ask(change);
        // After the change: the engine registers its waker before it looks.
        self.shared.waker.wake();
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(20),
            grace: Duration::from_secs(3),
            flush: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What the engine shares with its handlers, on whichever thread they run.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    /// Polls longer than this are reported.
    pub(crate) slow_poll: Duration,
    pub(crate) recorder: Recorder,
    /// How long deliveries may be in hand without one of them being settled.
    patience: Duration,
    pub(crate) changes: Changes,
    /// Set when a stop begins: nothing is started any more.
    pub(crate) draining: Arc<Signal>,
    stats: Mutex<Stats>,
    /// Whether there may be notices.
    is_notified: AtomicBool,
    inbox: Mutex<Inbox>,
    waker: AtomicWaker,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, slow_poll: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            slow_poll,
            recorder: Recorder::new(),
            patience,
            changes: Changes::default(),
            draining: Arc::default(),
            stats: Mutex::default(),
            is_notified: AtomicBool::new(false),
            inbox: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// Tells the engine something; after the engine has gone, the notice is dropped.
    pub(crate) fn notify(&self, notice: Notice) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            drop(inbox);
            return;
        }
        inbox.notices.push(notice);
        drop(inbox);
        // Release, after the push: who sees it sees the notice.
        self.is_notified.store(true, Ordering::Release);
        // After the push: the engine registers its waker before it looks.
        self.waker.wake();
    }

    /// Takes what was notified since the last call.
    pub(crate) fn drain_notices(&self) -> Vec<Notice> {
        // A plain look first: it is asked in every pass.
        if !self.is_notified.load(Ordering::Acquire) {
            return Vec::new();
        }
        // Before the notices are taken: one that comes in between is seen the next time.
        self.is_notified.store(false, Ordering::Relaxed);
        std::mem::take(&mut lock(&self.inbox).notices)
    }

    /// Refuses further notices and takes those that are left.
    pub(crate) fn close(&self) -> Vec<Notice> {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        std::mem::take(&mut inbox.notices)
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// How many handlers may run at a time.
    pub(crate) fn concurrency(&self) -> usize {
        lock(&self.stats).concurrency
    }

    pub(crate) fn publish(&self, stats: Stats) {
        *lock(&self.stats) = stats;
    }
}

/// What a delivery tells the engine between its start and its end.
pub(crate) enum Notice {
    /// For the observer.
    Event(Event),
    /// Work that outlives the cancellation of its handler.
    Shield {
        delivery: Handle,
        work: BoxFuture<'static, Option<String>>,
    },
}

#[derive(Default)]
struct Inbox {
    notices: Vec<Notice>,
    closed: bool,
}

/// Locks a mutex whose data is valid at every step, so that poisoning says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drain, cancel, give up: a fourth request would have nothing to add.
const STOPS_MAX: usize = 3;
