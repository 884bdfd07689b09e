//! Where the engine writes what it measures, and others read it.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{BUCKETS, bucket_of};
use super::{Health, Histogram, Metrics};
use crate::time::nanos_of;
use crate::{Instant, Phase, Stats};

/// Written by the engine alone, read by anybody.
///
/// Relaxed throughout: each value stands for itself, and a reader may be a moment late. Because
/// there is one writer, adding is a load and a store.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) queue_wait: Record,
    pub(crate) handle: Record,
    pub(crate) extend_round_trip: Record,
    pub(crate) extend_slack: Record,
    pub(crate) timer_lag: Record,
    pub(crate) slowest_poll: Record,
    /// The slowest poll of a spawned handler since the engine took it: the one value that others
    /// write.
    slowest_spawned: AtomicU64,
    lease: AtomicU64,
    received_first: AtomicU64,
    deadline_first: AtomicU64,
    progress_at: AtomicU64,
    wake_at: AtomicU64,
    is_up: AtomicU64,
}

/// What the engine knows at the end of a poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    /// How long a lease is extended at a time.
    pub(crate) lease: Duration,
    /// When the oldest delivery in hand was received.
    pub(crate) received_first: Option<Instant>,
    /// When the first lease ends.
    pub(crate) deadline_first: Option<Instant>,
    /// When a delivery was settled the last time, or none was in hand that did not rest.
    pub(crate) progress_at: Instant,
    /// When the clock is to wake it.
    pub(crate) wake_at: Option<Instant>,
    /// Whether messages come, as far as the broker says.
    pub(crate) is_up: bool,
}

/// Durations while they are recorded.
#[derive(Debug)]
pub(crate) struct Record {
    counts: Box<[AtomicU64; BUCKETS]>,
    sum_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

/// Equal durations that have not been recorded yet: what comes in a batch waits equally long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) nanos: u64,
    pub(crate) count: u64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            queue_wait: Record::new(),
            handle: Record::new(),
            extend_round_trip: Record::new(),
            extend_slack: Record::new(),
            timer_lag: Record::new(),
            slowest_poll: Record::new(),
            slowest_spawned: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            received_first: AtomicU64::new(NEVER),
            deadline_first: AtomicU64::new(NEVER),
            progress_at: AtomicU64::new(0),
            wake_at: AtomicU64::new(NEVER),
            is_up: AtomicU64::new(0),
        }
    }

    pub(crate) fn show(&self, gauges: Gauges) {
        let nanos = |instant: Option<Instant>| instant.map_or(NEVER, Instant::as_nanos);
        let store = |place: &AtomicU64, nanos| place.store(nanos, Ordering::Relaxed);
        store(&self.lease, nanos_of(gauges.lease));
        store(&self.received_first, nanos(gauges.received_first));
        store(&self.deadline_first, nanos(gauges.deadline_first));
        store(&self.progress_at, gauges.progress_at.as_nanos());
        store(&self.wake_at, nanos(gauges.wake_at));
        store(&self.is_up, u64::from(gauges.is_up));
    }

    /// Notes a poll of a spawned handler; called on the thread that made it.
    pub(crate) fn spawned_poll(&self, took: Duration) {
        self.slowest_spawned
            .fetch_max(nanos_of(took), Ordering::Relaxed);
    }

    /// Takes the slowest poll of a spawned handler, for the engine to record.
    pub(crate) fn take_spawned_poll(&self) -> u64 {
        // A plain look first: most consumers have none.
        if self.slowest_spawned.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.slowest_spawned.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn metrics(&self, now: Instant, stats: Stats) -> Metrics {
        let age = instant(&self.received_first).map(|received| now - received);
        Metrics {
            stats,
            lease_age_max: age.unwrap_or_default(),
            lease: Duration::from_nanos(self.lease.load(Ordering::Relaxed)),
            slack_min: instant(&self.deadline_first).map(|deadline| deadline - now),
            queue_wait: self.queue_wait.read(),
            handle: self.handle.read(),
            extend_round_trip: self.extend_round_trip.read(),
            extend_slack: self.extend_slack.read(),
            timer_lag: self.timer_lag.read(),
            slowest_poll: self.slowest_poll.read(),
        }
    }

    /// `patience` is how long deliveries may be in hand without one of them being settled.
    pub(crate) fn health(&self, now: Instant, stats: &Stats, patience: Duration) -> Health {
        let is_past = |nanos: &AtomicU64, by: Duration| {
            instant(nanos).is_some_and(|instant| now >= instant + by)
        };
        let is_active = stats.outstanding > stats.resting();
        let is_stuck = is_active && is_past(&self.progress_at, patience);
        Health {
            stream_up: self.is_up.load(Ordering::Relaxed) != 0 && stats.phase == Phase::Running,
            slack_positive: stats.lost == 0 && !is_past(&self.deadline_first, Duration::ZERO),
            progress: !is_stuck && !is_past(&self.wake_at, LATE),
        }
    }
}

impl Record {
    fn new() -> Self {
        Self {
            counts: Box::new(array::from_fn(|_| AtomicU64::new(0))),
            sum_nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
        }
    }

    /// Adds one duration.
    pub(crate) fn add(&self, duration: Duration) {
        self.add_all(Tally::one(duration));
    }

    /// Adds equal durations.
    pub(crate) fn add_all(&self, Tally { nanos, count }: Tally) {
        let raise = |place: &AtomicU64, by: u64| {
            let raised = place.load(Ordering::Relaxed).saturating_add(by);
            place.store(raised, Ordering::Relaxed);
        };
        raise(&self.counts[bucket_of(nanos)], count);
        raise(&self.sum_nanos, nanos.saturating_mul(count));
        if nanos > self.max_nanos.load(Ordering::Relaxed) {
            self.max_nanos.store(nanos, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Histogram {
        let counts = self.counts.iter();
        Histogram::from_parts(
            counts.map(|count| count.load(Ordering::Relaxed)),
            self.sum_nanos.load(Ordering::Relaxed),
            self.max_nanos.load(Ordering::Relaxed),
        )
    }
}

impl Tally {
    /// One duration.
    pub(crate) fn one(duration: Duration) -> Self {
        Self::of(duration, 1)
    }

    /// Equal durations.
    pub(crate) fn of(duration: Duration, count: u64) -> Self {
        let nanos = nanos_of(duration);
        Self { nanos, count }
    }

    /// Adds one duration; returns what was added before, if that is to be recorded now.
    pub(crate) fn add(&mut self, nanos: u64) -> Option<Self> {
        if nanos == self.nanos {
            self.count += 1;
            return None;
        }
        let before = std::mem::replace(self, Self { nanos, count: 1 });
        (before.count > 0).then_some(before)
    }

    /// What was added and not yet returned.
    pub(crate) fn take(&mut self) -> Option<Self> {
        (self.count > 0).then(|| std::mem::take(self))
    }
}

fn instant(nanos: &AtomicU64) -> Option<Instant> {
    match nanos.load(Ordering::Relaxed) {
        NEVER => None,
        nanos => Some(Instant::from_nanos(nanos)),
    }
}

/// No instant.
const NEVER: u64 = u64::MAX;

/// How late the consumer may be woken before that is unhealthy.
const LATE: Duration = Duration::from_secs(5);
