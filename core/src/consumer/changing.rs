//! Changes of a running consumer: pause and resume, concurrency, rate.
//!
//! A pause is no phase: it may come and go in one, and a stop goes through it.

use super::engine::Engine;
use crate::rate::Bucket;
use crate::{Event, Instant, Phase, Rate};

impl Engine<'_> {
    /// Does what the control asked for; returns whether it asked for anything.
    pub(super) fn poll_changes(&mut self, now: Instant) -> bool {
        let Some(wanted) = self.shared.changes.take() else {
            return false;
        };
        if let Some(is_paused) = wanted.is_paused {
            self.pause(is_paused);
        }
        if let Some(concurrency) = wanted.concurrency {
            self.set_concurrency(concurrency);
        }
        if let Some(rate) = wanted.rate {
            self.set_rate(now, rate);
        }
        true
    }

    /// When the rate lets a handler start, if that is all that one waits for.
    pub(super) fn next_token(&self) -> Option<Instant> {
        let bucket = self.bucket.as_ref()?;
        (self.may_start() && !self.waiting.is_empty()).then(|| bucket.next())
    }

    fn set_concurrency(&mut self, count_max: usize) {
        self.settings.concurrency = count_max;
        self.stats.concurrency = self.handlers_max();
        let concurrency = self.stats.concurrency;
        self.emit(|| Event::ConcurrencySet(concurrency));
    }

    fn set_rate(&mut self, now: Instant, rate: Option<Rate>) {
        match (&mut self.bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.change(now, rate),
            (_, rate) => self.bucket = rate.map(Bucket::new),
        }
        self.emit(|| Event::RateSet(rate));
    }

    fn pause(&mut self, is_paused: bool) {
        if self.stats.is_paused == is_paused || self.stats.phase != Phase::Running {
            return;
        }
        self.stats.is_paused = is_paused;
        self.intake.ask_anew();
        if let Some(order) = &mut self.order {
            order.stall_until(match is_paused {
                true => Instant::from_nanos(u64::MAX),
                false => self.observing.now + self.settings.lease,
            });
        }
        // Nothing was to be settled in a pause: what is to be now is not late.
        self.observing.progress_at = self.observing.now;
        self.emit(|| {
            if is_paused {
                Event::Paused
            } else {
                Event::Resumed
            }
        });
    }
}
