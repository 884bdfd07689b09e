//! One consumer, a thousand messages outstanding, each with a lease, a fan-out of two and an ack.

mod allocations;
pub(crate) mod broker;
mod end_to_end;
mod peers;
mod scale;

use std::time::{Duration, Instant};

use futures::executor::block_on;
use mayhem_core::{BranchError, Broker, Consumer, Delivery, FanOut, Report};
use mayhem_smol::SmolClock;

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

pub(crate) use allocations::per_message as allocations;
use broker::MemoryBroker;
pub(crate) use end_to_end::one_vendor_thread as end_to_end;
pub(crate) use scale::{memory, polls, print_bytes};

/// Messages worked on at the same time, by every peer.
const OUTSTANDING: usize = 1000;

/// The lease of a message: longer than any run, so that it is kept and never lost.
const LEASE: Duration = Duration::from_secs(60);

/// A consumer beside a task per message on tokio, and beside a bare `FuturesUnordered`.
pub(crate) fn fan_out(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, ours),
        Peer::timed("tokio_task_per_message", peers::tokio_task_per_message),
        Peer::timed(
            "futures_unordered_no_lease",
            peers::futures_unordered_no_lease,
        ),
    ];
    interleave(
        "engine",
        effort.count(400_000),
        Unit::NanosPerMessage,
        effort,
        peers,
    )
}

fn ours(n: u64) -> Result<Duration, Failure> {
    let broker = MemoryBroker::with_messages(n, OUTSTANDING, LEASE);
    let began = Instant::now();
    let report = block_on(consume(broker));
    let took = began.elapsed();
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
                .branch("restart", branch(delivery.payload()))
                .branch("record", branch(delivery.payload()));
            branches.join().await.verdict()
        })
        .concurrency(OUTSTANDING)
        .prefetch(OUTSTANDING)
        .lease(LEASE)
        .build();
    consumer.run().await
}

/// What every peer does twice per message: gives way once, and looks at the payload.
async fn branch(payload: &[u8]) -> Result<(), BranchError> {
    peers::yield_once().await;
    std::hint::black_box(payload);
    Ok(())
}
