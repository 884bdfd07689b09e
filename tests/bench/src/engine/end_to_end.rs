//! The whole way of a message: made on a foreign thread, carried over, leased, handled and acked.

use std::future;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt};
use futures::lock::Mutex;
use mayhem_bridge::{CallbackStream, Overflow, callback_stream};
use mayhem_core::{
    Broker, BrokerError, Caps, Clock, Extension, Message, Outcome, Pull, Received, Settlement,
};
use mayhem_smol::SmolClock;

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

use super::broker::{CAPS, names};
use super::{LEASE, OUTSTANDING, consume, peers};

/// One foreign thread, the bridge and a consumer, beside a channel and two tasks per message.
pub(crate) fn one_vendor_thread(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, ours),
        Peer::timed("tokio_naive", peers::tokio_from_a_thread),
    ];
    interleave(
        "end_to_end",
        effort.count(400_000),
        Unit::NanosPerMessage,
        effort,
        peers,
    )
}

fn ours(n: u64) -> Result<Duration, Failure> {
    let (sink, stream) = callback_stream("bench")
        .capacity(OUTSTANDING)
        .overflow(Overflow::Block)
        .build();
    let names = names(2 * OUTSTANDING);
    let began = Instant::now();
    let vendor = thread::spawn(move || {
        let mut names = names.iter().cycle();
        (0..n).try_for_each(|_| {
            let (id, lease) = names.next().cloned()?;
            let message = Message {
                id,
                lease,
                attempt: 1,
                payload: vec![0; 64],
            };
            // Stamped where the SDK calls back, as the port asks.
            let deadline = SmolClock.now() + LEASE;
            let push = sink.push(Received { message, deadline });
            push.is_queued().then_some(())
        })
    });
    let broker = Bridged {
        stream: Mutex::new(stream),
    };
    let report = block_on(consume(broker));
    let took = began.elapsed();
    let sent = vendor.join().map_err(|_| "the vendor panicked")?;
    if sent.is_none() || report.totals.acked != n || !report.is_balanced() {
        return Err(format!("{n} messages, but: {report:?}").into());
    }
    Ok(took)
}

/// A broker whose SDK calls back on a thread of its own; it ends when that thread does.
#[derive(Debug)]
struct Bridged {
    stream: Mutex<CallbackStream<Received>>,
}

impl Broker for Bridged {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        let next = async |count_max| {
            let mut batch = Vec::new();
            let mut stream = self.stream.lock().await;
            stream.next_batch(&mut batch, count_max).await;
            Ok(batch)
        };
        match pull {
            Pull::Next { count_max } => next(count_max).boxed(),
            Pull::Hold => future::pending().boxed(),
            Pull::Close => {
                let rest = next(OUTSTANDING).now_or_never();
                future::ready(rest.unwrap_or_else(|| Ok(Vec::new()))).boxed()
            }
        }
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn caps(&self) -> Caps {
        CAPS
    }
}
