//! The whole durable path in one process: publish, lease, handle, ack, each on the disk.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use mayhem_bridge::BlockingPool;
use mayhem_core::{Consumer, Delivery, Plan, Verdict};
use mayhem_local::LocalBroker;
use mayhem_smol::SmolClock;
use vendor_sdk::{Client, Options, Outgoing, SubscribeOptions};

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

/// Messages that may be leased at a time.
const OUTSTANDING: usize = 8192;

/// Messages per call of `publish`, each of which returns after an fsync.
const PUBLISH_BATCH: u64 = 1000;

/// One publisher, one consumer, 64 bytes per message; there is no peer that does the same.
pub(crate) fn publish_to_ack(effort: Effort) -> Result<Vec<Row>, Failure> {
    let n = effort.count(100_000);
    interleave(
        "local_broker",
        n,
        Unit::MessagesPerSecond,
        effort,
        vec![Peer::timed(OURS, ours)],
    )
}

fn ours(n: u64) -> Result<Duration, Failure> {
    let folder = tempfile::tempdir()?;
    let client = Client::open(&folder.path().join("queue"), Options::default())?;
    let mut options = SubscribeOptions::new("bench");
    options.max_outstanding = OUTSTANDING;
    let pool = BlockingPool::builder().name("store").threads(2).build();
    let broker = LocalBroker::open(client.clone(), "bench", options, pool)?;

    let began = Instant::now();
    let publisher = thread::spawn({
        let client = client.clone();
        move || publish(&client, n)
    });
    let report = smol::block_on(consume(broker, n));
    let took = began.elapsed();

    publisher.join().map_err(|_| "the publisher panicked")??;
    client.close()?;
    if report.totals.acked != n || !report.is_balanced() {
        return Err(format!("{n} messages, but: {report:?}").into());
    }
    Ok(took)
}

/// Handles `n` messages and stops; returns when the last ack is on the disk.
async fn consume(broker: LocalBroker, n: u64) -> mayhem_core::Report {
    let handled = Cell::new(0);
    let stop = async_channel::bounded::<()>(1);
    let consumer = Consumer::builder()
        .broker(broker)
        .clock(SmolClock)
        .handler(async |delivery: &Delivery| {
            std::hint::black_box(delivery.payload());
            handled.set(handled.get() + 1);
            if handled.get() == n {
                // Ignored: the receiver waits for it until the end.
                let _ = stop.0.try_send(());
            }
            Verdict::Ack
        })
        .prefetch(OUTSTANDING)
        .build();
    let control = consumer.control();
    let stopping = async {
        // Ignored: the sender outlives the consumer.
        let _ = stop.1.recv().await;
        control.stop(Plan::default());
    };
    futures::join!(consumer.run(), stopping).0
}

fn publish(client: &Client, n: u64) -> Result<(), vendor_sdk::Error> {
    let mut published = 0;
    while published < n {
        let count = PUBLISH_BATCH.min(n - published);
        let messages = (0..count).map(|_| Outgoing::from(vec![0; 64])).collect();
        client.publish("bench", messages)?;
        published += count;
    }
    Ok(())
}
