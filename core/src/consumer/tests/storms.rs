use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use fastrand::Rng;
use futures::FutureExt;
use futures::future::pending;
use futures::task::{FutureObj, Spawn, SpawnError};

use super::testing::{Fault, Rig, millis, seconds};
use crate::control::lock;
use crate::{Clock, Delivery, Outcome, Plan, Settle, Timeout, Verdict};

/// Whatever the moment of the stop and whatever fails, the consumer ends in the time that its plan
/// allows, every delivery has one end, and no message is lost.
#[test]
fn a_stop_at_any_moment_ends_in_time_and_adds_up() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        let count = rng.usize(0..40);
        rig.broker.publish((0..count).map(|n| n.to_string()));
        rig.broker.with(|state| {
            state.ends = false;
            state.settle_latency = millis(rng.u64(0..2_000));
            state.extend_latency = millis(rng.u64(0..8_000));
            state.caps.settle_count_max = rng.usize(1..9);
            state.caps.extend_count_max = rng.usize(0..9);
            state.close_hangs = rng.u8(0..8) == 0;
            let faults = [Fault::Retryable, Fault::Hang, Fault::Short, Fault::Lost];
            let mut draw = |count| {
                (0..count)
                    .map(|_| *rng.choice(&faults).expect("one"))
                    .collect()
            };
            (state.settle_faults, state.extend_faults) = (draw(2), draw(2));
            state.caps.nack_delay = rng.bool();
        });
        let (clock, dice) = (rig.clock.clone(), std::cell::RefCell::new(rng.fork()));
        let handler = async move |delivery: &Delivery| {
            let kind = dice.borrow_mut().u8(0..8);
            let pause = dice.borrow_mut().u64(0..30_000);
            if kind == 0 {
                let clock = clock.clone();
                drop(delivery.shield(async move { clock.sleep(millis(pause)).await }));
            }
            if kind != 1 {
                clock.sleep(millis(pause)).await;
            }
            match kind {
                2 => panic!("a planned panic"),
                3 => Verdict::Retry { after: None },
                4 => Verdict::Postpone {
                    after: millis(pause),
                },
                5 => pending().await,
                _ => Verdict::Ack,
            }
        };
        let builder = rig
            .builder()
            .concurrency(rng.usize(1..9))
            .prefetch(rng.usize(1..30));
        let timeout = Timeout {
            soft: millis(rng.u64(0..20_000)),
            cancel: millis(rng.u64(0..5_000)),
            stuck: millis(rng.u64(0..5_000)),
        };
        let builder = match rng.bool() {
            true => builder.handler_timeout(timeout),
            false => builder,
        };
        let consumer = builder
            .lease_max(seconds(rng.u64(5..60)))
            .handler(handler)
            .build();
        let control = rig.begin(consumer);

        assert!(
            rig.advance(millis(rng.u64(0..40_000))).is_none(),
            "seed {seed}"
        );
        let stops = rng.usize(1..4);
        let stopped = rig.clock.now();
        let mut report = None;
        for _ in 0..stops {
            control.stop(Plan::default());
            report = report.or_else(|| rig.advance(millis(rng.u64(0..5_000))));
        }
        let report = report.unwrap_or_else(|| rig.finish());

        assert!(report.is_balanced(), "seed {seed}");
        assert!(rig.clock.now() - stopped <= seconds(40), "seed {seed}");
        let settled = rig.broker.settled();
        let gone = settled.iter().filter(|(_, settle, outcome)| {
            *outcome == Outcome::Done && !matches!(settle, Settle::Nack { .. })
        });
        assert_eq!(gone.count() + rig.broker.left(), count, "seed {seed}");
    }
}

/// An executor that runs tasks late, in any order, and drops some of them.
#[derive(Clone, Default)]
struct Careless {
    tasks: Arc<Mutex<Vec<Task>>>,
}

struct Task {
    future: FutureObj<'static, ()>,
    flag: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Spawn for Careless {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        lock(&self.tasks).push(Task { future, flag });
        Ok(())
    }
}

impl Careless {
    /// Polls some of the woken tasks and drops one in sixteen.
    fn run(&self, rng: &mut Rng) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for mut task in tasks {
            let choice = rng.u8(0..16);
            if choice == 0 {
                continue;
            }
            if choice > 6 && task.flag.0.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(Arc::clone(&task.flag));
                let polled = task.future.poll_unpin(&mut Context::from_waker(&waker));
                if polled.is_ready() {
                    continue;
                }
            }
            lock(&self.tasks).push(task);
        }
    }
}

/// The same with handlers on an executor that cannot be relied on: nothing hangs or is lost.
#[test]
fn a_careless_executor_costs_attempts_and_nothing_else() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        let count = rng.usize(1..30);
        rig.broker.publish((0..count).map(|n| n.to_string()));
        rig.broker.with(|state| state.ends = rng.bool());
        let executor = Careless::default();
        let clock = rig.clock.clone();
        let builder = rig.builder().concurrency(rng.usize(1..9)).max_deliveries(3);
        let consumer = builder
            .spawned_handler(executor.clone(), move |delivery: &Delivery| {
                let number: u64 = delivery.id().as_str().parse().expect("a number");
                let clock = clock.clone();
                async move {
                    clock.sleep(millis(number * 300)).await;
                    assert!(number % 7 != 3, "a planned panic");
                    Verdict::Ack
                }
                .boxed()
            })
            .build();
        let control = rig.begin(consumer);

        let mut report = None;
        for step in 0..4_000 {
            if step == 300 {
                control.stop(Plan::default());
            }
            report = rig.advance(millis(100));
            if report.is_some() {
                break;
            }
            executor.run(&mut rng);
        }

        let report = report.unwrap_or_else(|| panic!("seed {seed} hangs"));
        assert!(report.is_balanced(), "seed {seed}");
        let settled = rig.broker.settled();
        let gone = settled.iter().filter(|(_, settle, outcome)| {
            *outcome == Outcome::Done && !matches!(settle, Settle::Nack { .. })
        });
        assert_eq!(gone.count() + rig.broker.left(), count, "seed {seed}");
    }
}
