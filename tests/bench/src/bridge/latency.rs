//! From a push on a foreign thread to the first instruction of the woken consumer.

use std::thread;
use std::time::{Duration, Instant};

use super::channels::{
    AsyncChannel, Channel, CrossbeamSync, Crossfire, Flume, Kanal, Ours, TokioMpsc,
};
use crate::measure::{Effort, Failure, OURS, Peer, Row, Sample, Unit, interleave};
use crate::processors::keep_to;

/// How long the thread waits between two pushes: long enough for the consumer to park.
const PAUSE: Duration = Duration::from_micros(100);

/// One thread wakes a parked consumer on another processor; the median of all wakes of a run.
pub(crate) fn one_way(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        peer::<Ours>(OURS),
        peer::<TokioMpsc>("tokio_mpsc"),
        peer::<AsyncChannel>("async_channel"),
        peer::<Flume>("flume"),
        peer::<Kanal>("kanal"),
        peer::<Crossfire>("crossfire"),
        peer::<CrossbeamSync>("crossbeam_sync_receiver"),
    ];
    interleave(
        "bridge_wake_latency",
        effort.count(4_000),
        Unit::NanosPerWake,
        effort,
        peers,
    )
}

fn peer<C: Channel<Instant>>(name: &'static str) -> Peer<'static> {
    Peer {
        name,
        run: Box::new(run::<C>),
    }
}

fn run<C: Channel<Instant>>(n: u64) -> Result<Sample, Failure> {
    let (sender, mut receiver) = C::open(super::CAPACITY);
    let took = thread::scope(|scope| {
        let consumer = scope.spawn(|| -> Result<_, Failure> {
            keep_to(1);
            let executor = C::executor().map_err(|error| error.to_string())?;
            let mut took = Vec::with_capacity(usize::try_from(n)?);
            executor.run(async {
                while let Some(pushed) = C::receive(&mut receiver).await {
                    took.push(pushed.elapsed());
                }
            });
            Ok(took)
        });
        let producer = scope.spawn(move || {
            keep_to(0);
            (0..n).try_for_each(|_| {
                let began = Instant::now();
                while began.elapsed() < PAUSE {
                    std::hint::spin_loop();
                }
                C::send(&sender, Instant::now())
            })
        });
        producer.join().map_err(|_| "the producer panicked")??;
        consumer.join().map_err(|_| "the consumer panicked")?
    });
    let mut took: Vec<Duration> = took?;
    took.sort_unstable();
    let median = took.get(took.len() / 2).ok_or("nothing was received")?;
    Ok(Sample {
        count: 1,
        time: *median,
    })
}
