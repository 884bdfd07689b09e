//! Foreign threads to one async consumer: the thread boxes 64 bytes, the consumer frees them.

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

/// The message.
type Message = Box<[u8; 64]>;

/// One foreign thread.
pub(crate) fn one_thread(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput("bridge_1x_boxed64", 1, effort)
}

/// Two foreign threads.
pub(crate) fn two_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput("bridge_2x_boxed64", 2, effort)
}

/// Four foreign threads.
pub(crate) fn four_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    throughput("bridge_4x_boxed64", 4, effort)
}

/// Ours alone, the consumer on three executors, one foreign thread.
pub(crate) fn executors_one_thread(effort: Effort) -> Result<Vec<Row>, Failure> {
    executors("bridge_1x_executors", 1, effort)
}

/// Ours alone, the consumer on three executors, four foreign threads.
pub(crate) fn executors_four_threads(effort: Effort) -> Result<Vec<Row>, Failure> {
    executors("bridge_4x_executors", 4, effort)
}

fn throughput(case: &str, threads: u64, effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        peer::<Ours>(OURS, threads),
        peer::<TokioMpsc>("tokio_mpsc", threads),
        peer::<TokioMpscRecvMany>("tokio_mpsc_recv_many", threads),
        peer::<AsyncChannel>("async_channel", threads),
        peer::<Flume>("flume", threads),
        peer::<Kanal>("kanal", threads),
        peer::<Crossfire>("crossfire", threads),
        peer::<CrossbeamSync>("crossbeam_sync_receiver", threads),
    ];
    let n = effort.count(2_000_000) / threads * threads;
    interleave(case, n, Unit::NanosPerMessage, effort, peers)
}

fn executors(case: &str, threads: u64, effort: Effort) -> Result<Vec<Row>, Failure> {
    let on = |name, executor: fn() -> Result<Executor, Failure>| {
        Peer::timed(name, move |n| run::<Ours>(&executor()?, threads, n))
    };
    let peers = vec![
        on(OURS, || Ok(Executor::BlockOn)),
        on("mayhem_on_smol", || Ok(Executor::Smol)),
        on("mayhem_on_tokio", Executor::tokio),
    ];
    let n = effort.count(2_000_000) / threads * threads;
    interleave(case, n, Unit::NanosPerMessage, effort, peers)
}

fn peer<C: Channel<Message>>(name: &'static str, threads: u64) -> Peer<'static> {
    Peer::timed(name, move |n| run::<C>(&C::executor()?, threads, n))
}

/// Has `threads` threads send `n` messages together while one task takes them; says how long it
/// took from the first message to the last.
fn run<C: Channel<Message>>(
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
                    let byte = thread.to_le_bytes()[0];
                    (0..share).try_for_each(|_| C::send(&sender, black_box(Box::new([byte; 64]))))
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
