//! Handlers that share one call with those of other messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, join_all};
use mayhem_core::{Batched, Delivery, LeaseToken, Verdict};
use mayhem_sim::Dice;

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
    pub(crate) fn new(play: Play) -> Self {
        let mut handlers = Self {
            play,
            batched: None,
            verdicts: Arc::default(),
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
        let verdict = handling.await;
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
        let decided = deliveries.iter().map(|it| self.play.decide(it));
        let decided = join_all(decided).await;
        self.with(|verdicts| {
            let tokens = deliveries.iter().map(|it| it.lease_token().clone());
            verdicts.extend(tokens.zip(decided.iter().cloned()));
        });
        decided
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<LeaseToken, Verdict>) -> T) -> T {
        look(&mut self.verdicts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
