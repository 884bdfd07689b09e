//! Processor time to keep many leases alive while nothing else happens.

pub(crate) mod kept;
pub(crate) mod stop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{self, FutureExt};
use mayhem_core::{Clock, Consumer, Delivery, Plan, Verdict};
use mayhem_smol::SmolClock;

use crate::engine::broker::MemoryBroker;
use crate::measure::{Effort, Failure, OURS, Peer, Row, Sample, Unit, interleave, processor_time};

/// The lease: short, so that a short run extends each several times.
const LEASE: Duration = Duration::from_millis(1500);

/// How long one run keeps them, once they are in hand: a few extensions of each.
const RUN: Duration = Duration::from_millis(2250);

/// How long they are given to be in hand.
const WARM_UP: Duration = Duration::from_millis(20);

/// One consumer that holds every lease, beside a tokio task with a timer per lease.
pub(crate) fn keep(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer {
            name: OURS,
            run: Box::new(ours),
        },
        Peer {
            name: "tokio_task_per_lease",
            run: Box::new(tokio_task_per_lease),
        },
    ];
    interleave(
        "leases",
        effort.count(100_000),
        Unit::CpuNanosPerExtension,
        effort,
        peers,
    )
}

fn ours(n: u64) -> Result<Sample, Failure> {
    let outstanding = usize::try_from(n)?;
    let broker = Arc::new(MemoryBroker::with_messages(n, outstanding, LEASE).staying_open());
    let consumer = Consumer::builder()
        .broker(Arc::clone(&broker))
        .clock(SmolClock)
        .handler(async |_: &Delivery| future::pending::<Verdict>().await)
        .concurrency(1)
        .prefetch(outstanding)
        .lease(LEASE)
        .build();
    let control = consumer.control();
    let measure = async {
        // Only the keeping is measured: neither the receipt nor the release.
        while control.stats().outstanding < outstanding {
            SmolClock.sleep_until(SmolClock.now() + WARM_UP).await;
        }
        let (began, before) = (processor_time(), broker.extended());
        SmolClock.sleep_until(SmolClock.now() + RUN).await;
        let time = processor_time() - began;
        let count = (broker.extended() - before).max(1);
        control.stop(Plan {
            drain: Duration::ZERO,
            grace: Duration::ZERO,
            ..Plan::default()
        });
        Sample { count, time }
    };
    let (sample, report) = block_on(future::join(measure.boxed_local(), consumer.run()));
    if !report.is_balanced() {
        return Err(format!("the ledger does not add up: {report:?}").into());
    }
    Ok(sample)
}

fn tokio_task_per_lease(n: u64) -> Result<Sample, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let extended = Arc::new(AtomicU64::new(0));
    // Relaxed: a counter that publishes nothing.
    let count = || extended.load(Ordering::Relaxed);
    let sample = runtime.block_on(async {
        for _ in 0..n {
            let extended = Arc::clone(&extended);
            // Detached: the runtime's end drops it.
            drop(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LEASE / 3).await;
                    // Relaxed: as above.
                    extended.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        tokio::time::sleep(WARM_UP).await;
        let (began, before) = (processor_time(), count());
        tokio::time::sleep(RUN).await;
        Sample {
            time: processor_time() - began,
            count: (count() - before).max(1),
        }
    });
    Ok(sample)
}
