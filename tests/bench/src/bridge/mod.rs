//! Foreign threads to one async consumer: the thread boxes 64 bytes and the consumer frees them, or
//! the message is a bare word, so that the allocator is left out.

mod allocations;
mod channels;
mod executor;
mod instructions;
mod latency;

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

use channels::{
    AsyncChannel, Channel, CrossbeamSync, Crossfire, Flume, Kanal, Ours, TokioMpsc,
    TokioMpscRecvMany,
};
pub(crate) use executor::Executor;

pub(crate) use allocations::per_message as allocations;
pub(crate) use instructions::{
    is_possible as can_count_instructions, per_message as instructions, under_callgrind,
};
pub(crate) use latency::one_way as wake_latency;

/// Messages that may wait between the threads, for every peer.
const CAPACITY: usize = 1024;

/// A message that a foreign thread makes.
trait Message: Send + 'static {
    fn made_by(thread: u64) -> Self;
}

/// Made on one thread and freed on another: what most of the time goes into, whoever carries it.
type Boxed = Box<[u8; 64]>;

/// What costs nothing but being carried.
type Word = u64;

/// One foreign thread.
pub(crate) fn one_thread(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput::<Boxed>("bridge_1x_boxed64", 1, effort)
}

/// Two foreign threads.
pub(crate) fn two_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput::<Boxed>("bridge_2x_boxed64", 2, effort)
}

/// Four foreign threads.
pub(crate) fn four_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput::<Boxed>("bridge_4x_boxed64", 4, effort)
}

/// Four foreign threads, and nothing to allocate.
pub(crate) fn four_threads_words(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput::<Word>("bridge_4x_word", 4, effort)
}

/// Ours alone, the consumer on three executors, one foreign thread.
pub(crate) fn executors_one_thread(effort: Effort) -> Result<Vec<Row>, Failure> {
    executors("bridge_1x_executors", 1, effort)
}

/// Ours alone, the consumer on three executors, four foreign threads.
pub(crate) fn executors_four_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    executors("bridge_4x_executors", 4, effort)
}

fn throughput<M: Message>(case: &str, threads: u64, effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        peer::<Ours, M>(OURS, threads),
        peer::<TokioMpsc, M>("tokio_mpsc", threads),
        peer::<TokioMpscRecvMany, M>("tokio_mpsc_recv_many", threads),
        peer::<AsyncChannel, M>("async_channel", threads),
        peer::<Flume, M>("flume", threads),
        peer::<Kanal, M>("kanal", threads),
        peer::<Crossfire, M>("crossfire", threads),
        peer::<CrossbeamSync, M>("crossbeam_sync_receiver", threads),
    ];
    let n = effort.count(2_000_000) / threads * threads;
    interleave(case, n, Unit::NanosPerMessage, effort, peers)
}

fn executors(case: &str, threads: u64, effort: Effort) -> Result<Vec<Row>, Failure> {
    let on = |name, executor: fn() -> Result<Executor, Failure>| {
        Peer::timed(name, move |n| run::<Ours, Boxed>(&executor()?, threads, n))
    };
    let peers = vec![
        on(OURS, || Ok(Executor::BlockOn)),
        on("mayhem_on_smol", || Ok(Executor::Smol)),
        on("mayhem_on_tokio", Executor::tokio),
    ];
    let n = effort.count(2_000_000) / threads * threads;
    interleave(case, n, Unit::NanosPerMessage, effort, peers)
}

fn peer<C: Channel<M>, M: Message>(name: &'static str, threads: u64) -> Peer<'static> {
    Peer::timed(name, move |n| run::<C, M>(&C::executor()?, threads, n))
}

/// Has `threads` threads send `n` messages together while one task takes them; says how long it
/// took from the first message to the last.
fn run<C: Channel<M>, M: Message>(
    executor: &Executor,
    threads: u64,
    n: u64,
) -> Result<Duration, Failure> {
    let (sender, mut receiver) = C::open(CAPACITY);
    let share = n / threads;
    thread::scope(|scope| {
        let began = Instant::now();
        let producers: Vec<_> = (0..threads)
            .map(|thread| {
                let sender = sender.clone();
                scope.spawn(move || {
                    (0..share).try_for_each(|_| C::send(&sender, black_box(M::made_by(thread))))
                })
            })
            .collect();
        executor.run(C::consume(&mut receiver, share * threads));
        let took = began.elapsed();
        for producer in producers {
            producer.join().map_err(|_| "a producer panicked")??;
        }
        Ok(took)
    })
}

impl Message for Boxed {
    fn made_by(thread: u64) -> Self {
        Box::new([thread.to_le_bytes()[0]; 64])
    }
}

impl Message for Word {
    fn made_by(thread: u64) -> Self {
        thread
    }
}
