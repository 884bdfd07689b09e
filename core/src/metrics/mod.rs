//! What a consumer measures, besides what it counts.
//!
//! The engine records durations that it knows anyway, in atomics of which it is the only writer, so
//! that a message costs no lock, no allocation and no reading of the clock. Whoever asks for the
//! metrics copies them. What is deliberately absent: names, labels and formats of any monitoring
//! system; [`Histogram::buckets`] holds what each of them wants to know.

mod health;
mod histogram;
mod recorder;

use std::time::Duration;

use crate::Stats;

pub use health::Health;
pub use histogram::Histogram;
pub(crate) use histogram::{BUCKETS, bucket_of, nanos_at};
pub(crate) use recorder::{Gauges, Recorder, Tally};

/// What a consumer has measured since it began: see [`Control::metrics`](crate::Control::metrics).
///
/// Parts of it are read one after the other while the consumer goes on, so that they may differ by
/// what happened in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Counts, and how many deliveries are in which state.
    pub stats: Stats,
    /// How long ago the oldest delivery in hand was received, to within 1 % of the longest lease;
    /// zero when none is in hand. Never too young.
    pub lease_age_max: Duration,
    /// How long the lease that ends first will last if it is not extended; `None` when no lease is
    /// kept. Zero says that `run()` is not polled in time.
    pub slack_min: Option<Duration>,
    /// How long a lease is extended at a time, at present: see
    /// [`Builder::lease_adaptive`](crate::Builder::lease_adaptive).
    pub lease: Duration,
    /// From the receipt of a message to the start of its handler.
    pub queue_wait: Histogram,
    /// From the start of a handler to its end, or to that of its shielded work.
    pub handle: Histogram,
    /// From a call of [`Broker::extend`](crate::Broker::extend) to its answer.
    pub extend_round_trip: Histogram,
    /// How much was left of a lease when its extension was confirmed: of each call, the least.
    pub extend_slack: Histogram,
    /// How much later than it wanted to be the consumer was woken by its clock.
    pub timer_lag: Histogram,
    /// Polls of handlers: of each poll of `run()`, the slowest. While it lasts, nothing else is
    /// done on its thread. As precise as [`Clock::now_coarse`](crate::Clock::now_coarse) if the
    /// threshold of slow polls is 100 ms or more.
    pub slowest_poll: Histogram,
}
