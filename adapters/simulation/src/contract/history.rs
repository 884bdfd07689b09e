//! Everything at once: a long random history, beside a model of what the port promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mayhem_core::{Broker, MessageId, Outcome, Received, Settle};

use super::World;
use super::talk::{LONG, ROOM, close, extend, hand_back, nack, next, run_in_lease, settle};

/// Publishing, receiving, settling of every kind, stale tokens, extensions and new connections, in
/// any order: each answer is what a model says, and in the end every message has its end.
pub fn a_random_history_agrees_with_the_model<W: World>() {
    for seed in 0..3 {
        let world = W::open(LONG);
        run_in_lease(&world, async |world| {
            let mut history = History {
                world,
                broker: world.connect(),
                rng: Rng::with_seed(seed),
                waiting: BTreeMap::new(),
                held: Vec::new(),
                stale: Vec::new(),
                dead: Vec::new(),
            };
            for _ in 0..STEPS {
                history.step().await;
            }
            history.finish().await;
        });
    }
}

struct History<'a, W> {
    world: &'a W,
    broker: Arc<dyn Broker>,
    rng: Rng,
    /// Can be received, with the attempt that the next delivery is.
    waiting: BTreeMap<MessageId, u32>,
    held: Vec<Received>,
    /// Settled: its token counts no more.
    stale: Vec<Received>,
    dead: Vec<MessageId>,
}

impl<W: World> History<'_, W> {
    async fn step(&mut self) {
        match self.rng.u32(0..20) {
            0..=4 if self.waiting.len() + self.held.len() < ROOM => {
                let id = self.world.publish(&self.rng.u64(..).to_le_bytes());
                self.waiting.insert(id, 1);
            }
            5..=9 if !self.waiting.is_empty() => self.receive().await,
            10..=15 if !self.held.is_empty() => {
                let place = self.rng.usize(..self.held.len());
                let received = self.held.swap_remove(place);
                self.end(received).await;
            }
            16 if !self.held.is_empty() && self.broker.caps().extend_count_max > 0 => {
                let received = &self.held[self.rng.usize(..self.held.len())];
                let extended = extend(&self.broker, received, LONG).await;
                assert_eq!(extended, Outcome::Done, "{received:?}");
            }
            17 | 18 if !self.stale.is_empty() => {
                let received = &self.stale[self.rng.usize(..self.stale.len())];
                let outcome = settle(&self.broker, received, Settle::Ack).await;
                assert_eq!(outcome, Outcome::Gone, "{received:?}");
            }
            19 => self.reconnect().await,
            _ => {}
        }
    }

    async fn receive(&mut self) {
        let count_max = self.rng.usize(1..=4);
        let batch = next(&self.broker, count_max).await;
        assert!((1..=count_max).contains(&batch.len()), "{}", batch.len());
        for received in batch {
            self.take(received);
        }
    }

    fn take(&mut self, received: Received) {
        let attempt = self.waiting.remove(&received.message.id);
        assert_eq!(attempt, Some(received.message.attempt), "{received:?}");
        self.held.push(received);
    }

    async fn end(&mut self, received: Received) {
        let message = &received.message;
        let (id, attempt) = (message.id.clone(), message.attempt);
        let end = match self.rng.u32(0..8) {
            0 => Settle::Dead {
                reason: format!("dead at {attempt}"),
            },
            1 | 2 => nack(Duration::ZERO, true),
            3 => hand_back(),
            _ => Settle::Ack,
        };
        let outcome = settle(&self.broker, &received, end.clone()).await;
        assert_eq!(outcome, Outcome::Done, "{end:?} of {received:?}");
        match end {
            Settle::Ack => {}
            Settle::Nack { counted, .. } => {
                self.waiting.insert(id, attempt + u32::from(counted));
            }
            Settle::Dead { reason } => {
                assert_eq!(self.world.dead_reason(&id), Some(reason));
                self.dead.push(id);
            }
        }
        self.stale.push(received);
    }

    /// Closes, hands back all that is held, and connects anew.
    async fn reconnect(&mut self) {
        for received in close(&self.broker).await {
            self.take(received);
        }
        for received in std::mem::take(&mut self.held) {
            let outcome = settle(&self.broker, &received, hand_back()).await;
            assert_eq!(outcome, Outcome::Done, "{received:?}");
            let message = &received.message;
            self.waiting.insert(message.id.clone(), message.attempt);
            self.stale.push(received);
        }
        self.broker = self.world.connect();
    }

    /// Ends everything, and sees that nothing else comes.
    async fn finish(mut self) {
        while !self.waiting.is_empty() {
            self.receive().await;
        }
        for received in &self.held {
            let outcome = settle(&self.broker, received, Settle::Ack).await;
            assert_eq!(outcome, Outcome::Done, "{received:?}");
        }
        let last = self.world.publish(b"last");
        let batch = next(&self.broker, 10).await;
        let ids: Vec<_> = batch.iter().map(|it| &it.message.id).collect();
        assert_eq!(ids, [&last], "and no other comes");
        for id in &self.dead {
            assert!(self.world.dead_reason(id).is_some());
        }
    }
}

const STEPS: usize = 200;
