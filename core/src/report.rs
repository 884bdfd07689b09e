//! The ledger: one named end for every delivery, and totals that add up.

use std::error::Error;
use std::fmt;

use crate::{BrokerError, HookEnd, Phase};

/// What [`Consumer::run`](crate::Consumer::run) returns: what became of every delivery.
#[derive(Debug, Default)]
#[must_use]
pub struct Report {
    /// The counts.
    pub totals: Totals,
    /// How the hooks after the stop ended, in their order.
    pub hooks: Vec<HookEnd>,
    /// Why the consumer stopped by itself; `None` when it was told to, or when its source ended.
    pub error: Option<Failure>,
}

/// Counts since the consumer began.
///
/// The seven ends `acked`, `nacked`, `released`, `dead_lettered`, `expired`, `abandoned` and
/// `merged` and the deliveries still in hand add up to `received`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Deliveries that came from the broker.
    pub received: u64,
    /// End: the ack is confirmed.
    pub acked: u64,
    /// End: a retry, a postponement or a cancelled handler, confirmed.
    pub nacked: u64,
    /// End: handed back unstarted, confirmed.
    pub released: u64,
    /// End: moved to the dead letters, confirmed.
    pub dead_lettered: u64,
    /// End: the lease was lost.
    pub expired: u64,
    /// End: given up at shutdown or after a broker failure.
    pub abandoned: u64,
    /// End: the same message was already in hand.
    pub merged: u64,
    /// Deliveries that were too much, or came after such a one of their key, and are handed back at
    /// once; they end as `released`.
    pub shed: u64,
    /// Leases extended, once for each time.
    pub extended: u64,
    /// Verdicts, panics and timeouts that led to another attempt.
    pub retried: u64,
    /// Verdicts that put a message off.
    pub postponed: u64,
    /// Deliveries whose attempt number was above 1.
    pub redelivered: u64,
    /// Handlers that panicked, and
    /// [functions that tell keys](crate::Builder::ordered_by).
    pub panicked: u64,
    /// Polls above the threshold.
    pub slow_polls: u64,
    /// Handlers that were cancelled because they took too long: see
    /// [`Event::HandlerTimedOut`](crate::Event::HandlerTimedOut).
    pub timed_out: u64,
    /// Deliveries that were dead-lettered unstarted, because too many before were never settled.
    pub poisoned: u64,
}

/// What a running consumer is doing: see [`Control::stats`](crate::Control::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The counts so far.
    pub totals: Totals,
    /// The phase.
    pub phase: Phase,
    /// Whether it is paused, or was when it was told to stop.
    pub is_paused: bool,
    /// How many handlers may run at a time; more do for a while after it was lowered.
    pub concurrency: usize,
    /// Deliveries in hand: `buffered + running + parked + settling`.
    pub outstanding: usize,
    /// The payloads of those, in bytes.
    pub bytes: usize,
    /// Received and not started.
    pub buffered: usize,
    /// Started and not ended: permits in use.
    pub running: usize,
    /// Ended, and waiting under their leases for the delay of their nacks, which the broker cannot
    /// delay: see [`Caps::nack_delay`](crate::Caps::nack_delay).
    pub parked: usize,
    /// Ended, and the broker has not confirmed it.
    pub settling: usize,
    /// Keys whose messages wait for one to come back: see
    /// [`NackedHead::Stall`](crate::NackedHead::Stall).
    pub stalled_keys: usize,
    /// Messages in hand whose lease is lost and whose handler has not ended.
    pub lost: usize,
    /// Handlers in `running` that were cancelled long ago and have not ended: see
    /// [`Event::HandlerStuck`](crate::Event::HandlerStuck).
    pub stuck: usize,
}

/// Why a consumer stopped by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The broker failed for good.
    Broker(BrokerError),
    /// A call of the broker panicked.
    BrokerPanicked(String),
    /// The observer given to `on_event` panicked. It is not called again.
    ObserverPanicked(String),
    /// The executor given to `spawned_handler` takes no more tasks.
    ExecutorShutDown,
}

impl Report {
    /// Whether every delivery has exactly one end: the seven ends add up to `received`.
    pub fn is_balanced(&self) -> bool {
        self.totals.ended() == self.totals.received
    }
}

impl Stats {
    /// Deliveries of which nothing is expected for now: they wait for the end of their delays, or
    /// of a pause.
    pub(crate) fn resting(&self) -> usize {
        self.parked + if self.is_paused { self.buffered } else { 0 }
    }
}

impl Totals {
    /// Deliveries that have ended, whatever way.
    pub fn ended(&self) -> u64 {
        self.acked
            + self.nacked
            + self.released
            + self.dead_lettered
            + self.expired
            + self.abandoned
            + self.merged
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(_) => f.write_str("the consumer lost its broker"),
            Self::BrokerPanicked(message) => write!(f, "the broker panicked: {message}"),
            Self::ObserverPanicked(message) => write!(f, "the observer panicked: {message}"),
            Self::ExecutorShutDown => f.write_str("the executor takes no more handlers"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broker(error) => Some(error),
            _ => None,
        }
    }
}
