//! Foreign threads to one async consumer: the thread boxes 64 bytes, the consumer frees them.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use mayhem_bridge::{Overflow, callback_stream};

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

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

fn throughput(case: &str, threads: u64, effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, |n| ours(threads, n)),
        Peer::timed("tokio_mpsc", |n| tokio_mpsc(threads, n)),
        Peer::timed("tokio_mpsc_recv_many", |n| tokio_mpsc_recv_many(threads, n)),
        Peer::timed("async_channel", |n| async_channel(threads, n)),
    ];
    let n = effort.count(2_000_000) / threads * threads;
    interleave(case, n, Unit::NanosPerMessage, effort, peers)
}

fn ours(threads: u64, n: u64) -> Result<Duration, Failure> {
    let (sink, mut stream) = callback_stream::<Message>("bench")
        .capacity(CAPACITY)
        .overflow(Overflow::Block)
        .build();
    let send = move |message| {
        sink.push(message)
            .is_queued()
            .then_some(())
            .ok_or("refused")
    };
    produce(threads, n, send, |count| {
        block_on(async {
            let mut batch = Vec::new();
            let mut received = 0;
            while received < count {
                batch.clear();
                stream.next_batch(&mut batch, CAPACITY).await;
                received += batch.len() as u64;
                for message in batch.drain(..) {
                    black_box(message);
                }
            }
        });
    })
}

fn tokio_mpsc(threads: u64, n: u64) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Message>(CAPACITY);
    let send = move |message| sender.blocking_send(message).map_err(|_| "closed");
    produce(threads, n, send, |count| {
        runtime.block_on(async {
            for _ in 0..count {
                black_box(receiver.recv().await);
            }
        });
    })
}

fn tokio_mpsc_recv_many(threads: u64, n: u64) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Message>(CAPACITY);
    let send = move |message| sender.blocking_send(message).map_err(|_| "closed");
    produce(threads, n, send, |count| {
        runtime.block_on(async {
            let mut batch = Vec::with_capacity(CAPACITY);
            let mut received = 0;
            while received < count {
                received += receiver.recv_many(&mut batch, CAPACITY).await as u64;
                for message in batch.drain(..) {
                    black_box(message);
                }
            }
        });
    })
}

fn async_channel(threads: u64, n: u64) -> Result<Duration, Failure> {
    let (sender, receiver) = async_channel::bounded::<Message>(CAPACITY);
    let send = move |message| sender.send_blocking(message).map_err(|_| "closed");
    produce(threads, n, send, |count| {
        block_on(async {
            for _ in 0..count {
                // Ignored: senders live until the last message has been taken.
                let _ = black_box(receiver.recv().await);
            }
        });
    })
}

/// Has `threads` threads send `n` messages together while `consume(n)` takes them; says how long
/// it took from the first message to the last.
fn produce<S>(threads: u64, n: u64, send: S, consume: impl FnOnce(u64)) -> Result<Duration, Failure>
where
    S: Fn(Message) -> Result<(), &'static str> + Clone + Send,
{
    let share = n / threads;
    thread::scope(|scope| {
        let began = Instant::now();
        let producers: Vec<_> = (0..threads)
            .map(|thread| {
                let send = send.clone();
                scope.spawn(move || {
                    let byte = thread.to_le_bytes()[0];
                    (0..share).try_for_each(|_| send(black_box(Box::new([byte; 64]))))
                })
            })
            .collect();
        consume(share * threads);
        let took = began.elapsed();
        for producer in producers {
            producer.join().map_err(|_| "a producer panicked")??;
        }
        Ok(took)
    })
}
