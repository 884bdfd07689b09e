//! Observing: what the engine measures of itself, with the times that it has anyway.

use std::time::Duration;

use super::delivering::Running;
use super::engine::Engine;
use crate::metrics::{Gauges, Tally};
use crate::{Instant, Phase, Totals};

/// What is measured and not yet recorded.
#[derive(Debug, Default)]
pub(super) struct Observing {
    /// The time of the present pass.
    pub(super) now: Instant,
    queue_wait: Tally,
    handle: Tally,
    /// The slowest poll of an inline handler in this poll of `run()`, in nanoseconds.
    pub(super) slowest_poll: u64,
    /// How many deliveries were settled when that was looked at last, and when it had changed.
    settled: u64,
    pub(super) progress_at: Instant,
    /// Whether all that was in hand at the end of the last poll was resting.
    is_resting: bool,
}

impl Engine<'_> {
    /// A handler starts for a message received then.
    pub(super) fn observe_start(&mut self, received: Instant) {
        let waited = self.observing.now.nanos_since(received);
        if let Some(tally) = self.observing.queue_wait.add(waited) {
            self.shared.recorder.queue_wait.add_all(tally);
        }
    }

    /// The scope of a delivery has been left, or given up.
    pub(super) fn observe_end(&mut self, running: &Running) {
        let took = self.observing.now.nanos_since(running.started);
        if let Some(tally) = self.observing.handle.add(took) {
            self.record_handle(tally);
        }
    }

    fn record_handle(&mut self, tally: Tally) {
        self.shared.recorder.handle.add_all(tally);
        self.table.handled(self.observing.now, tally);
    }

    /// A call of `extend` was answered, of leases the first of which would have ended then.
    pub(super) fn observe_extension(&mut self, sent: Instant, earliest: Instant) {
        let now = self.observing.now;
        self.shared.recorder.extend_round_trip.add(now - sent);
        self.shared.recorder.extend_slack.add(earliest - now);
    }

    /// The clock woke the consumer, which had wanted to be woken then.
    pub(super) fn observe_wake(&mut self, wanted: Instant) {
        let now = self.observing.now;
        self.shared.recorder.timer_lag.add(now - wanted);
        self.table.woken(now, now - wanted);
    }

    /// Shows the state at the end of a poll; the consumer wants to be polled again at `wake_at`.
    pub(super) fn publish(&mut self, wake_at: Option<Instant>) {
        if let Some(tally) = self.observing.handle.take() {
            self.record_handle(tally);
        }
        let (stats, recorder) = (self.stats, &self.shared.recorder);
        let observing = &mut self.observing;
        if let Some(tally) = observing.queue_wait.take() {
            recorder.queue_wait.add_all(tally);
        }
        let slowest = recorder.take_spawned_poll().max(observing.slowest_poll);
        observing.slowest_poll = 0;
        if slowest > 0 {
            recorder.slowest_poll.add(Duration::from_nanos(slowest));
        }
        let Totals {
            acked,
            nacked,
            released,
            dead_lettered,
            ..
        } = stats.totals;
        let settled = acked + nacked + released + dead_lettered;
        let is_resting = stats.outstanding == stats.resting();
        // What rested until now is not late.
        if is_resting || observing.is_resting || settled != observing.settled {
            observing.settled = settled;
            observing.progress_at = observing.now;
        }
        observing.is_resting = is_resting;
        recorder.show(Gauges {
            lease: self.table.lease(),
            received_first: self.table.first_received(),
            deadline_first: self.table.first_deadline(),
            progress_at: observing.progress_at,
            wake_at: wake_at.filter(|_| stats.phase != Phase::Closed),
            is_up: self.intake.is_up(),
        });
        self.shared.publish(stats);
    }
}
