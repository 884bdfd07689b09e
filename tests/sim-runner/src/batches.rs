//! Handlers that share one call with those of other messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, join_all};
use mayhem_core::{Batched, Clock, Delivery, Instant, LeaseToken, Verdict};
use mayhem_sim::{Dice, SimClock};

use crate::handler::Play;

/// How many messages share a call, and how long the first of them waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    count_max: usize,
    within: Duration,
}

/// The handlers of one consumer: each by itself, or together with others.
#[derive(Clone)]
pub(crate) struct Handlers {
    play: Play,
    batched: Option<Arc<Batched<Function, Together>>>,
    /// What deliveries have come to in their batches, until their handlers return it.
    verdicts: Arc<Mutex<HashMap<LeaseToken, Verdict>>>,
    /// Since when deliveries wait for their batches.
    waiting: Arc<Mutex<HashMap<LeaseToken, Mark>>>,
    /// When the consumer has told that it drains.
    draining: Arc<OnceLock<Mark>>,
}

/// An instant, and the time that was stolen until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    now: Instant,
    stolen: Duration,
}

/// A message that is with its batch, until its handler ends or is dropped.
struct Seat<'a> {
    handlers: &'a Handlers,
    delivery: &'a Delivery,
}

type Function = Box<dyn Fn(Vec<Delivery>) -> Together + Send + Sync>;

type Together = BoxFuture<'static, Vec<Verdict>>;

impl Batches {
    pub(crate) fn draw(dice: &Dice, lease: Duration) -> Self {
        let twentieths = u32::try_from(dice.choose("swarm: batches within", 4)).unwrap_or(0);
        Self {
            count_max: dice.pick("swarm: batch", &[2, 4, 8, 100]),
            within: lease / 20 * twentieths,
        }
    }
}

impl Handlers {
    pub(crate) fn new(play: Play, draining: Arc<OnceLock<Mark>>) -> Self {
        let mut handlers = Self {
            play,
            batched: None,
            verdicts: Arc::default(),
            waiting: Arc::default(),
            draining,
        };
        if let Some(Batches { count_max, within }) = handlers.play.settings.features.batches {
            let together = handlers.clone();
            let function: Function = Box::new(move |deliveries| {
                let together = together.clone();
                async move { together.decide(&deliveries).await }.boxed()
            });
            handlers.batched = Some(Arc::new(Batched::new(count_max, within, function)));
        }
        handlers
    }

    pub(crate) async fn handle(&self, delivery: &Delivery) -> Verdict {
        let handling = match &self.batched {
            Some(batched) => Either::Left(self.keep(delivery, batched.handle(delivery))),
            None => Either::Right(self.play.decide(delivery)),
        };
        self.play.checker.watch(delivery, handling).await
    }

    /// Holds a batch to it that each message gets its own verdict.
    async fn keep(&self, delivery: &Delivery, handling: impl Future<Output = Verdict>) -> Verdict {
        let joined = Mark::now(&self.play.clock);
        lock(&self.waiting).insert(delivery.lease_token().clone(), joined);
        let seat = Seat {
            handlers: self,
            delivery,
        };
        let verdict = handling.await;
        drop(seat);
        let decided = self.with(|verdicts| verdicts.remove(delivery.lease_token()));
        if decided.as_ref() != Some(&verdict) && !delivery.is_lease_lost() {
            self.play
                .break_promise("own verdict", "a message of a batch gets another's");
        }
        verdict
    }

    async fn decide(&self, deliveries: &[Delivery]) -> Vec<Verdict> {
        if deliveries.iter().any(Delivery::is_lease_lost) {
            self.play
                .break_promise("lost is lost", "one without a lease is in a batch");
        }
        for delivery in deliveries {
            self.stops_waiting(delivery);
        }
        let batches = self.play.settings.features.batches;
        if batches.is_some_and(|it| deliveries.len() > it.count_max) {
            self.play
                .break_promise("batch in time", "a batch is too large");
        }
        let decided = deliveries.iter().map(|it| self.play.decide(it));
        let decided = join_all(decided).await;
        self.with(|verdicts| {
            let tokens = deliveries.iter().map(|it| it.lease_token().clone());
            verdicts.extend(tokens.zip(decided.iter().cloned()));
        });
        decided
    }

    /// A message is handled, or will not be: has it waited for longer than it may?
    fn stops_waiting(&self, delivery: &Delivery) {
        let joined = lock(&self.waiting).remove(delivery.lease_token());
        // Left out because of its lease, it may lead the others all the same.
        let joined = joined.filter(|_| !delivery.is_lease_lost());
        let Some((joined, batches)) = joined.zip(self.play.settings.features.batches) else {
            return;
        };
        let now = Mark::now(&self.play.clock);
        if now.since(joined) > batches.within {
            self.play
                .break_promise("batch in time", "a message waits for too long");
        }
        let draining = self.draining.get().map(|draining| joined.max(*draining));
        if draining.is_some_and(|draining| !now.since(draining).is_zero()) {
            self.play
                .break_promise("batch in time", "a message waits though it drains");
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<LeaseToken, Verdict>) -> T) -> T {
        look(&mut lock(&self.verdicts))
    }
}

impl Mark {
    pub(crate) fn now(clock: &SimClock) -> Self {
        Self {
            now: clock.now(),
            stolen: clock.stolen(),
        }
    }

    /// How much time the program had of its own since then.
    fn since(self, mark: Self) -> Duration {
        (self.now - mark.now).saturating_sub(self.stolen - mark.stolen)
    }

    fn max(self, other: Self) -> Self {
        if self.now >= other.now { self } else { other }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.handlers.stops_waiting(self.delivery);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
