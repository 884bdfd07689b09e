//! One consumer, a thousand messages outstanding, each with a lease, a fan-out of two and an ack.

mod allocations;
pub(crate) mod broker;
mod end_to_end;
mod goroutines;
mod peers;
mod scale;
mod two_cores;

use std::time::Duration;

use futures::executor::block_on;
use mayhem_core::{BranchError, Broker, Consumer, Delivery, FanOut, Report};
use mayhem_smol::SmolClock;

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave, processor_time};

pub(crate) use allocations::per_message as allocations;
use broker::MemoryBroker;
pub(crate) use end_to_end::one_vendor_thread as end_to_end;
use goroutines::Goroutines;
pub(crate) use scale::{memory, polls, print_bytes};
pub(crate) use two_cores::spawned as two_cores;

/// Messages worked on at the same time, by every peer.
const OUTSTANDING: usize = 1000;

/// The lease of a message: longer than any run, so that it is kept and never lost.
const LEASE: Duration = Duration::from_secs(60);

/// A consumer beside a task per message on tokio, beside a bare `FuturesUnordered`, and beside
/// goroutines where Go is installed.
///
/// In processor time: no peer has more than one thread and none ever waits, so that it is what a
/// processor of their own would take, whatever else the machine does.
pub(crate) fn fan_out(effort: Effort) -> Result<Vec<Row>, Failure> {
    let mut peers = vec![
        Peer::timed(OURS, ours),
        Peer::timed("tokio_task_per_message", peers::tokio_task_per_message),
        Peer::timed("tokio_lease_in_task", peers::tokio_lease_in_task),
        Peer::timed(
            "futures_unordered_no_lease",
            peers::futures_unordered_no_lease,
        ),
    ];
    if let Some(goroutines) = Goroutines::build()? {
        peers.push(Peer::timed("go_goroutines", move |n| goroutines.run(n)));
    }
    interleave(
        "engine",
        effort.count(400_000),
        Unit::CpuNanosPerMessage,
        effort,
        peers,
    )
}

fn ours(n: u64) -> Result<Duration, Failure> {
    let broker = MemoryBroker::with_messages(n, OUTSTANDING, LEASE);
    let before = processor_time();
    let report = block_on(consume(broker));
    let took = processor_time() - before;
    if report.totals.acked != n || !report.is_balanced() {
        return Err(format!("{n} messages, but: {report:?}").into());
    }
    Ok(took)
}

/// Handles what the broker has, to the end of its source.
async fn consume(broker: impl Broker + 'static) -> Report {
    let consumer = Consumer::builder()
        .broker(broker)
        .clock(SmolClock)
        .handler(async |delivery: &Delivery| {
            let branches = FanOut::new(delivery)
                .branch("restart", branch(delivery))
                .branch("record", branch(delivery));
            branches.join().await.verdict()
        })
        .concurrency(OUTSTANDING)
        .prefetch(OUTSTANDING)
        .lease(LEASE)
        .build();
    consumer.run().await
}

/// What every peer does twice per message: gives way once, and looks at the payload.
async fn branch(delivery: &Delivery) -> Result<(), BranchError> {
    peers::yield_once().await;
    std::hint::black_box(delivery.payload());
    Ok(())
}
