//! Handlers that compute and are tasks of an executor: what a second thread brings.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;
use mayhem_core::{Consumer, Delivery, Verdict};
use mayhem_smol::{SmolClock, SmolSpawn};
use smol::Executor;

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

use super::broker::MemoryBroker;
use super::{LEASE, OUTSTANDING};

/// The same consumer on an executor of two threads and of one, and what two threads can do at best.
pub(crate) fn spawned(effort: Effort) -> Result<Vec<Row>, Failure> {
    let work = Work::lasting(HANDLING);
    let peers = vec![
        Peer::timed(OURS, move |n| consume(n, 2, work)),
        Peer::timed("one_thread", move |n| consume(n, 1, work)),
        Peer::timed("two_threads_no_consumer", move |n| compute(n, work)),
    ];
    interleave(
        "engine_two_cores",
        effort.count(100_000),
        Unit::NanosPerMessage,
        effort,
        peers,
    )
}

/// One of the executor's threads polls the consumer as well.
fn consume(n: u64, threads: usize, work: Work) -> Result<Duration, Failure> {
    let executor = Arc::new(Executor::new());
    // Each message has an id of its own: a thread that is kept from running may have one in hand
    // while the other does thousands.
    let broker = MemoryBroker::with_messages(n, usize::try_from(n)?, LEASE);
    let consumer = Consumer::builder()
        .broker(broker)
        .clock(SmolClock)
        .spawned_handler(SmolSpawn::on(Arc::clone(&executor)), move |_: &Delivery| {
            async move {
                work.run();
                Verdict::Ack
            }
            .boxed()
        })
        .concurrency(OUTSTANDING)
        .prefetch(OUTSTANDING)
        .lease(LEASE)
        .build();
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let (end, ended) = oneshot::channel::<()>();
            let executor = Arc::clone(&executor);
            let thread = thread::spawn(move || block_on(executor.run(ended)));
            (end, thread)
        })
        .collect();
    let began = Instant::now();
    let report = block_on(executor.run(consumer.run()));
    let took = began.elapsed();
    for (end, thread) in others {
        drop(end);
        // The channel's end says nothing new.
        let _ = thread.join().map_err(|_| "a thread panicked")?;
    }
    if report.totals.acked != n || !report.is_balanced() {
        return Err(format!("{n} messages, but: {report:?}").into());
    }
    Ok(took)
}

/// The handlers' work alone, half of it on each of two threads.
fn compute(n: u64, work: Work) -> Result<Duration, Failure> {
    let began = Instant::now();
    let other = thread::spawn(move || (0..n / 2).for_each(|_| work.run()));
    (n / 2..n).for_each(|_| work.run());
    other.join().map_err(|_| "a thread panicked")?;
    Ok(began.elapsed())
}

/// Work for a processor, always the same amount: one that lasted a time would be done while its
/// thread is kept from running.
#[derive(Clone, Copy)]
struct Work {
    rounds: u64,
}

impl Work {
    /// What takes so long where nothing else runs.
    fn lasting(time: Duration) -> Self {
        let sample = Self { rounds: 1000 };
        let timed = |_| {
            let began = Instant::now();
            sample.run();
            began.elapsed()
        };
        // The least of many: whatever comes between only adds.
        let least = (0..1000).map(timed).min().unwrap_or(time);
        let rounds = sample.rounds as f64 * time.as_secs_f64() / least.as_secs_f64();
        Self {
            rounds: rounds as u64,
        }
    }

    fn run(self) {
        let mut value = 1_u64;
        for _ in 0..self.rounds {
            value = black_box(value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        }
    }
}

/// How long a handler computes.
const HANDLING: Duration = Duration::from_micros(5);
