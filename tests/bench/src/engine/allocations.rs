//! What the engine allocates per message once it is warm, without what the broker allocates.

use std::sync::Arc;

use alloc_counter::count_alloc;
use futures::executor::block_on;

use super::broker::MemoryBroker;
use super::{LEASE, OUTSTANDING, consume};
use crate::measure::{Effort, Failure, OURS, Row, Unit, interleave_values};

/// The handler of the engine's own case, which allocates nothing.
pub(crate) fn per_message(effort: Effort) -> Result<Vec<Row>, Failure> {
    interleave_values(
        "engine_allocations",
        effort.count(400_000),
        Unit::AllocationsPerMessage,
        effort,
        vec![(OURS, run)],
    )
}

/// A run twice as long allocates as often to become warm.
fn run(n: u64) -> Result<f64, Failure> {
    let more = count(2 * n)? - count(n)?;
    Ok(more / n as f64)
}

fn count(n: u64) -> Result<f64, Failure> {
    let broker = Arc::new(MemoryBroker::with_messages(n, OUTSTANDING, LEASE));
    let ((allocated, grown, _), report) = count_alloc(|| block_on(consume(Arc::clone(&broker))));
    if report.totals.acked != n {
        return Err(format!("{n} messages, but: {report:?}").into());
    }
    Ok((allocated + grown) as f64 - broker.allocated() as f64)
}
