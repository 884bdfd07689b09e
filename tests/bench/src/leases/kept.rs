//! A million leases that came at once, kept for minutes of virtual time: how many calls that takes,
//! how even they are, and how much of a processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use mayhem_core::{
    Broker, BrokerError, Caps, Clock, Consumer, Delivery, Extension, Instant, LeaseToken, Message,
    MessageId, Outcome, Plan, Pull, Received, Settle, Settlement, Verdict,
};
use mayhem_sim::{SimClock, Simulation};

use crate::measure::{Effort, Failure, Row, Unit, processor_time, together};

/// The lease, as long as a consumer's is by default.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// How long a lease rests between two extensions: until half of it is left.
const REST: Duration = Duration::from_secs(30);

/// How long they are kept, after the first has been extended.
const RUN: Duration = Duration::from_secs(150);

/// The most extensions in one call, as Google's Pub/Sub takes them.
const EXTEND_COUNT_MAX: usize = 2500;

/// The most settlements in one call, as it takes them too.
const SETTLE_COUNT_MAX: usize = 2500;

/// One consumer that holds every lease; virtual seconds, and the processor time that they took.
pub(crate) fn keep(effort: Effort) -> Result<Vec<Row>, Failure> {
    let cases = [
        ("lease_calls", Unit::Times),
        ("lease_calls_peak", Unit::Times),
        ("lease_upkeep", Unit::Cores),
    ];
    together(cases, effort.count(1_000_000), effort, run)
}

/// How many times as many calls as are enough, the most of a second by the mean, and the cores.
fn run(n: u64) -> Result<[f64; 3], Failure> {
    let count = usize::try_from(n)?;
    let simulation = Simulation::new(1);
    let clock = simulation.clock();
    let broker = Arc::new(CountingBroker::new(count, &clock));
    let consumer = Consumer::builder()
        .broker(Arc::clone(&broker))
        .clock(clock.clone())
        .handler(async |_: &Delivery| future::pending::<Verdict>().await)
        .concurrency(1)
        .prefetch(count)
        .lease(LEASE)
        .lease_max(2 * RUN + LEASE)
        .build();
    let control = consumer.control();
    let measure = async {
        // Only the keeping is measured: neither the receipt nor the release.
        clock.sleep(REST).await;
        let (calls, before) = (broker.calls(), processor_time());
        clock.sleep(RUN).await;
        let time = processor_time() - before;
        let calls = broker.calls().split_off(calls.len());
        let stats = control.stats();
        control.stop(Plan {
            drain: Duration::ZERO,
            grace: Duration::ZERO,
            ..Plan::default()
        });
        (calls, time, stats)
    };
    let both = async { future::join(measure, consumer.run()).await };
    let ((calls, time, stats), report) = simulation.run(both)?;
    if !report.is_balanced() || stats.outstanding != count || stats.totals.expired > 0 {
        return Err(format!("not every lease was kept: {stats:?}").into());
    }
    let seconds = RUN.as_secs_f64();
    let fewest = (n as f64 / EXTEND_COUNT_MAX as f64).ceil() * seconds / REST.as_secs_f64();
    let mut by_second = vec![0_u32; RUN.as_secs() as usize + 1];
    for at in &calls {
        by_second[((*at - Instant::ZERO) - REST).as_secs() as usize] += 1;
    }
    let peak = by_second.iter().max().copied().unwrap_or(0);
    Ok([
        calls.len() as f64 / fewest,
        f64::from(peak) * seconds / calls.len().max(1) as f64,
        time.as_secs_f64() / seconds,
    ])
}

/// Leases everything it has at once, answers at once, and notes when it is called.
pub(super) struct CountingBroker {
    clock: SimClock,
    left: AtomicUsize,
    calls: Mutex<Vec<Instant>>,
    releases: AtomicUsize,
}

impl CountingBroker {
    pub(super) fn new(count: usize, clock: &SimClock) -> Self {
        Self {
            clock: clock.clone(),
            left: AtomicUsize::new(count),
            calls: Mutex::default(),
            releases: AtomicUsize::new(0),
        }
    }

    /// How many calls of `settle` have handed something back.
    pub(super) fn releases(&self) -> usize {
        // Relaxed: a counter that publishes nothing.
        self.releases.load(Ordering::Relaxed)
    }

    /// When `extend` was called.
    fn calls(&self) -> Vec<Instant> {
        let calls = self.calls.lock();
        calls.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Broker for CountingBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        let wanted = match pull {
            Pull::Next { count_max } => count_max.min(EXTEND_COUNT_MAX),
            Pull::Hold => return future::pending().boxed(),
            Pull::Close => return future::ready(Ok(Vec::new())).boxed(),
        };
        // Relaxed: calls of `receive` come one after the other.
        let left = self.left.load(Ordering::Relaxed);
        let count = wanted.min(left);
        self.left.store(left - count, Ordering::Relaxed);
        if count == 0 {
            return future::pending().boxed();
        }
        let deadline = self.clock.now() + LEASE;
        let batch = (left - count..left).map(|number| Received {
            message: Message {
                id: MessageId::from(number.to_string()),
                lease: LeaseToken::from(number.to_string()),
                attempt: 1,
                payload: Vec::new(),
            },
            deadline,
        });
        future::ready(Ok(batch.collect())).boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let is_nack = |settlement: &Settlement| matches!(settlement.settle, Settle::Nack { .. });
        let is_release = batch.iter().any(is_nack);
        // Relaxed: as above.
        self.releases
            .fetch_add(usize::from(is_release), Ordering::Relaxed);
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(self.clock.now());
        drop(calls);
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn caps(&self) -> Caps {
        Caps {
            settle_count_max: SETTLE_COUNT_MAX,
            extend_count_max: EXTEND_COUNT_MAX,
            nack_delay: true,
            confirmed_ack: true,
        }
    }
}
