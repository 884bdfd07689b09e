//! A stop with a million leases in hand, of which a thousand have a handler: in how many calls the
//! rest is handed back, and how long a processor works for it.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use mayhem_core::{Consumer, Delivery, Plan, Verdict};
use mayhem_sim::Simulation;

use super::kept::{CountingBroker, LEASE};
use crate::measure::{Effort, Failure, Row, Unit, processor_time, together};

/// How many handlers run.
const RUNNING: usize = 1000;

/// When the consumer is stopped: leases are being extended.
const STOP: Duration = Duration::from_secs(45);

/// When the handlers end, which are let finish: some time after all the others.
const END: Duration = Duration::from_secs(55);

/// One consumer, in virtual time; every delivery has to be accounted for.
pub(crate) fn release(effort: Effort) -> Result<Vec<Row>, Failure> {
    let cases = [("stop_calls", Unit::Calls), ("stop", Unit::CpuMilliseconds)];
    together(cases, effort.count(1_000_000), effort, run)
}

/// In how many calls, and in how many milliseconds.
fn run(n: u64) -> Result<[f64; 2], Failure> {
    let count = usize::try_from(n)?;
    let simulation = Simulation::new(1);
    let clock = simulation.clock();
    let broker = Arc::new(CountingBroker::new(count, &clock));
    let consumer = Consumer::builder()
        .broker(Arc::clone(&broker))
        .clock(clock.clone())
        .handler(async |_: &Delivery| {
            clock.sleep(END).await;
            Verdict::Ack
        })
        .concurrency(RUNNING)
        .prefetch(count)
        .lease(LEASE)
        .build();
    let control = consumer.control();
    let measure = async {
        clock.sleep(STOP).await;
        let (before, stats) = (processor_time(), control.stats());
        control.stop(Plan::default());
        while control.stats().settling > 0 || control.stats().buffered > 0 {
            clock.sleep(Duration::from_millis(1)).await;
        }
        let time = processor_time() - before;
        (stats, time, control.stats().totals.released)
    };
    let both = async { future::join(measure, consumer.run()).await };
    let ((stats, time, released), report) = simulation.run(both)?;
    let is_whole = stats.outstanding == count && stats.running == RUNNING;
    let (rest, running) = ((count - RUNNING) as u64, RUNNING as u64);
    let is_done = released == rest && report.totals.released == rest;
    if !is_whole || !is_done || report.totals.acked != running || !report.is_balanced() {
        return Err(format!("{n} leases, {stats:?}, but: {report:?}").into());
    }
    Ok([broker.releases() as f64, time.as_secs_f64() * 1e3])
}
