//! The engine: one bounded pass over everything that may have happened.
//!
//! Handlers stand in slots, and everything else that is asynchronous is polled with the waker of
//! `run()` in every pass or stands in a `FuturesUnordered`, so that a wake costs as much as what
//! woke. What is deliberately absent: locks held while anything of the user's runs.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_channel::Receiver;
use fastrand::Rng;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::stream::futures_unordered::IntoIter;

use super::answers::Answers;
use super::builder::Settings;
use super::calls::{Calls, NO_CAPS, ask_caps};
use super::delivering::{Delivering, Stage};
use super::intake::Intake;
use super::observing::Observing;
use super::ordering::{Leaving, Order};
use super::parking::Parking;
use super::poison::Poison;
use super::settlements::Settlements;
use super::shielding::Shielding;
use super::shutdown::{Cancelling, Shutdown};
use super::timeouts::Timeouts;
use crate::clock::Stopwatch;
use crate::control::{Notice, Shared};
use crate::flow::Flow;
use crate::handler::Finish;
use crate::isolate::panic_message;
use crate::lease::{Handle, LeaseSettings, LeaseTable};
use crate::rate::Bucket;
use crate::slots::Slots;
use crate::time::earliest;
use crate::{
    Broker, Caps, Delivery, DeliveryKey, Event, Failure, Instant, Phase, Plan, Report, Stats,
    Totals,
};

/// The state of a running consumer, apart from its handlers.
pub(super) struct Engine<'a> {
    pub(super) broker: &'a dyn Broker,
    pub(super) caps: Caps,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) table: LeaseTable<Delivering>,
    /// Deliveries without a permit, oldest first; some of them may be gone.
    pub(super) waiting: VecDeque<Handle>,
    pub(super) intake: Intake<'a>,
    pub(super) settlements: Settlements,
    pub(super) extend_failures: u32,
    pub(super) calls: Calls<'a>,
    pub(super) shields: FuturesUnordered<Shielding>,
    /// Shielded work that is to be dropped.
    pub(super) abandoned: Option<IntoIter<Shielding>>,
    pub(super) shutdown: Shutdown,
    pub(super) stops: Pin<Box<Receiver<Plan>>>,
    pub(super) stats: Stats,
    pub(super) observing: Observing,
    pub(super) failure: Option<Failure>,
    pub(super) rng: Rng,
    /// How far the handlers have been cancelled, while they are.
    pub(super) cancelling: Option<Cancelling>,
    /// Answers of the broker that are not yet applied to all of their batch.
    pub(super) answers: Answers,
    /// What was done in this poll: each step for one message counts as one.
    pub(super) work: usize,
    /// Deliveries whose handlers have ended in this pass: with an ack, and otherwise.
    pub(super) acked: Vec<Handle>,
    pub(super) finished: Vec<(Handle, Finish)>,
    /// Where handlers may not take as long as they like.
    pub(super) timeouts: Option<Box<Timeouts>>,
    pub(super) poison: Poison,
    /// Where messages of a key are handled one after the other.
    pub(super) order: Option<Box<Order>>,
    /// Those who are to be handed back because of who is before them.
    pub(super) leaving: VecDeque<Leaving>,
    /// Where handlers may not start as fast as they like.
    pub(super) bucket: Option<Bucket>,
    pub(super) parking: Parking,
    sleep: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        broker: &'a dyn Broker,
        mut settings: Settings,
        shared: Arc<Shared>,
        stops: Receiver<Plan>,
    ) -> Self {
        let asked = ask_caps(broker);
        let caps = *asked.as_ref().unwrap_or(&NO_CAPS);
        let leases = LeaseSettings {
            lease: settings.lease,
            adaptive: settings.lease_range.clone(),
            seed: settings.seed,
            lease_max: settings.lease_max,
            extend_count_max: caps.extend_count_max,
        };
        let order = settings.key_of.take();
        let flow = Flow::new(settings.prefetch, settings.prefetch_bytes);
        let mut engine = Self {
            order: order.map(|key_of| Order::new(key_of, settings.nacked_head, settings.lease)),
            broker,
            caps,
            rng: Rng::with_seed(settings.seed),
            leaving: VecDeque::new(),
            timeouts: settings.timeout.map(Timeouts::new),
            bucket: settings.rate.map(Bucket::new),
            parking: Parking::default(),
            poison: Poison::new(settings.poison_after.max(settings.max_deliveries)),
            settings,
            shared,
            table: LeaseTable::new(leases),
            waiting: VecDeque::new(),
            intake: Intake::new(flow),
            settlements: Settlements::default(),
            extend_failures: 0,
            calls: Calls::default(),
            shields: FuturesUnordered::new(),
            abandoned: None,
            shutdown: Shutdown::default(),
            stops: Box::pin(stops),
            stats: Stats::default(),
            observing: Observing::default(),
            failure: None,
            cancelling: None,
            answers: Answers::default(),
            work: 0,
            acked: Vec::new(),
            finished: Vec::new(),
            sleep: None,
        };
        engine.stats.concurrency = engine.handlers_max();
        if let Err(message) = asked {
            engine.intake.close_for_good();
            engine.fail(Failure::BrokerPanicked(message));
        }
        // Before the first handler, which may want to know.
        engine.shared.publish(engine.stats);
        engine
    }

    /// How many handlers may run at a time: permits, and no more than there are messages.
    pub(super) fn handlers_max(&self) -> usize {
        let Settings {
            concurrency,
            prefetch,
            ..
        } = self.settings;
        concurrency.min(prefetch).min(HANDLERS_MAX)
    }

    /// Makes progress until there is none, or for [`PASSES_MAX`] passes or [`WORK_MAX`] steps.
    pub(super) fn poll<F, S>(
        &mut self,
        cx: &mut Context<'_>,
        handlers: &mut Slots<F>,
        start: &S,
        is_inline: bool,
    ) -> Poll<Report>
    where
        F: Future<Output = Finish>,
        S: Fn(Delivery) -> F,
    {
        // Before anything is looked at: what happens after the look wakes.
        self.shared.register(cx.waker());
        handlers.register(cx.waker());
        self.shutdown.is_heard = false;
        self.work = 0;
        let polled = 'passes: {
            for _ in 0..PASSES_MAX {
                let is_busy = self.pass(cx, handlers, start, is_inline);
                self.check();
                if self.stats.phase == Phase::Closed {
                    self.publish(None);
                    break 'passes Poll::Ready(self.report());
                }
                if !is_busy && handlers.sleep() {
                    self.publish(self.sleep.as_ref().map(|(until, _)| *until));
                    break 'passes Poll::Pending;
                }
                if self.work >= WORK_MAX {
                    break;
                }
            }
            self.publish(Some(self.observing.now));
            // There is more to do, after the executor's other tasks have had their turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        };
        handlers.leave();
        polled
    }

    /// Looks at everything once; returns whether another look may find more.
    fn pass<F, S>(
        &mut self,
        cx: &mut Context<'_>,
        handlers: &mut Slots<F>,
        start: &S,
        is_inline: bool,
    ) -> bool
    where
        F: Future<Output = Finish>,
        S: Fn(Delivery) -> F,
    {
        let now = self.shared.clock.now();
        self.observing.now = now;
        let mut is_busy = self.poll_stops(cx, now);
        if self.poll_changes(now) {
            handlers.grow(self.handlers_max(), cx.waker());
            is_busy = true;
        }
        is_busy |= self.poll_shields(cx, now);
        is_busy |= self.release_waiting();
        is_busy |= self.poll_answers(now);
        is_busy |= self.poll_calls(cx, now);
        is_busy |= self.poll_intake(cx, now);
        let mut watch = Stopwatch::start(&*self.shared.clock, self.shared.slow_poll);
        is_busy |= self.start_handlers(now, handlers, start, is_inline, &mut watch);
        self.poll_handlers(handlers, is_inline, &mut watch);
        // Handlers have run since the last look.
        let now = self.shared.clock.now();
        self.observing.now = now;
        is_busy |= self.handle_notices();
        is_busy |= self.handle_finished(now);
        is_busy |= self.keep_leases(now);
        is_busy |= self.poll_timeouts(now, handlers, is_inline);
        is_busy |= self.poll_order(now);
        is_busy |= self.poll_parking(now);
        is_busy |= self.flush(now);
        is_busy |= self.advance(now);
        is_busy || self.poll_sleep(cx)
    }

    fn handle_notices(&mut self) -> bool {
        let notices = self.shared.drain_notices();
        if notices.is_empty() {
            return false;
        }
        for notice in notices {
            match notice {
                Notice::Event(event) => {
                    if matches!(event, Event::SlowPoll { .. }) {
                        self.stats.totals.slow_polls += 1;
                    }
                    self.emit(|| event);
                }
                Notice::Shield { delivery, work } => self.shield(delivery, work),
            }
        }
        true
    }

    /// Wakes `run()` for what is due next; returns whether it is due already.
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> bool {
        let due = [
            self.table.next_wake(),
            self.settlements.next_wake(),
            self.calls.next_wake(),
            self.next_receive(),
            self.shutdown.deadline,
            self.next_unpark(),
            self.timeouts
                .as_ref()
                .and_then(|timeouts| timeouts.next_wake()),
            self.next_token(),
            self.order.as_ref().and_then(|order| order.next_wake()),
        ];
        let Some(next) = earliest(&due) else {
            self.sleep = None;
            return false;
        };
        // A sleep that ends too early is kept: one look too many is cheaper than a timer per pass.
        let is_new = self.sleep.as_ref().is_none_or(|(until, _)| *until > next);
        if is_new {
            self.sleep = Some((next, self.shared.clock.sleep_until(next)));
        }
        let is_due = self
            .sleep
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if is_due
            && let Some((until, _)) = self.sleep.take()
            && !is_new
        {
            self.observe_wake(until);
        }
        is_due
    }

    /// Tells the observer, whose panic stops the consumer.
    pub(super) fn emit(&mut self, event: impl FnOnce() -> Event) {
        let Some(observer) = self.settings.observer.as_mut() else {
            return;
        };
        let event = event();
        // Unwind safe: after a panic the observer is not called again.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| observer(&event))) {
            // Its destructor may panic as well.
            drop_quietly(self.settings.observer.take());
            self.fail(Failure::ObserverPanicked(panic_message(payload)));
        }
    }

    /// Tells the observer of something about a delivery in hand.
    pub(super) fn emit_about(&mut self, handle: Handle, event: impl FnOnce(DeliveryKey) -> Event) {
        if self.settings.observer.is_none() {
            return;
        }
        let key = self
            .table
            .get(handle)
            .map(|lease| lease.owner.delivery.key());
        if let Some(key) = key {
            self.emit(|| event(key));
        }
    }

    /// Asserts that no delivery is lost or counted twice.
    fn check(&self) {
        let Stats {
            totals,
            outstanding,
            buffered,
            running,
            parked,
            settling,
            bytes,
            ..
        } = self.stats;
        debug_assert_eq!(outstanding, self.table.len());
        debug_assert_eq!(outstanding, buffered + running + parked + settling);
        debug_assert_eq!(totals.received, totals.ended() + outstanding as u64);
        debug_assert!(outstanding > 0 || bytes == 0);
    }

    fn report(&mut self) -> Report {
        let totals: Totals = self.stats.totals;
        Report {
            totals,
            hooks: Vec::new(),
            error: self.failure.take(),
        }
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        // Handlers that are tasks of an executor must not outlive the consumer.
        for handle in self.table.handles() {
            if let Some(lease) = self.table.get(handle)
                && matches!(lease.owner.stage, Stage::Running(_))
            {
                lease.owner.delivery.cancel();
            }
        }
        // One by one: each may panic.
        let abandoned = self.abandoned.take().into_iter().flatten();
        for work in abandoned.chain(std::mem::take(&mut self.shields)) {
            drop_quietly(work);
        }
        drop_quietly(self.shared.close());
        drop_quietly(self.settings.observer.take());
        drop_quietly(self.order.take());
        self.publish(None);
    }
}

/// Drops what belongs to the user, whose destructor may panic.
pub(super) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The text is of no use: nobody waits for what was dropped.
        panic_message(payload);
    }
}

/// How many passes one poll of `run()` makes before it lets other tasks run.
const PASSES_MAX: usize = 8;

/// After how many steps for one message or another a poll of `run()` lets other tasks run: a step
/// takes about a tenth of a microsecond besides what the handlers do.
const WORK_MAX: usize = 256;

/// How many handlers may run at a time at most: their bits take 2 MiB.
const HANDLERS_MAX: usize = 1 << 24;
