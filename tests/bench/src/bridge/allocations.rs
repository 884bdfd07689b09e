//! What a peer allocates per message once it is warm, on both sides, without the message itself.

use std::hint::black_box;
use std::thread;

use alloc_counter::{AllocCounterSystem, count_alloc};

use super::channels::{AsyncChannel, Channel, Crossfire, Flume, Kanal, Ours, TokioMpsc};
use super::{Boxed, CAPACITY};
use crate::measure::{Effort, Failure, OURS, Row, Unit, interleave_values};

/// Counts for each thread by itself, where it is not told to ignore them.
#[global_allocator]
static ALLOCATOR: AllocCounterSystem = AllocCounterSystem;

/// One foreign thread pushes messages that were boxed before.
pub(crate) fn per_message(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        (OURS, run::<Ours> as Run),
        ("tokio_mpsc", run::<TokioMpsc>),
        ("async_channel", run::<AsyncChannel>),
        ("flume", run::<Flume>),
        ("kanal", run::<Kanal>),
        ("crossfire", run::<Crossfire>),
    ];
    interleave_values(
        "bridge_allocations",
        effort.count(500_000),
        Unit::AllocationsPerMessage,
        effort,
        peers,
    )
}

type Run = fn(u64) -> Result<f64, Failure>;

fn run<C: Channel<Boxed>>(n: u64) -> Result<f64, Failure> {
    let (sender, mut receiver) = C::open(CAPACITY);
    let executor = C::executor()?;
    let warm = 4 * CAPACITY as u64;
    let boxed = |count: u64| (0..count).map(|_| Boxed::new([0; 64])).collect::<Vec<_>>();
    let (first, rest) = (boxed(warm), boxed(n));
    thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let send_all = |messages: Vec<Boxed>| {
                messages
                    .into_iter()
                    .try_for_each(|message| C::send(&sender, black_box(message)))
            };
            send_all(first)?;
            let (counts, sent) = count_alloc(|| send_all(rest));
            sent.map(|()| counts)
        });
        executor.run(C::consume(&mut receiver, warm));
        let (consumer, ()) = count_alloc(|| executor.run(C::consume(&mut receiver, n)));
        let producer = producer.join().map_err(|_| "the producer panicked")??;
        let count = [consumer, producer].map(|(allocated, grown, _)| allocated + grown);
        Ok(count.iter().sum::<usize>() as f64 / n as f64)
    })
}
