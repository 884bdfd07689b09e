//! What limits the start of handlers: pauses, permits, the rate and keys.

use std::time::Duration;

use mayhem_core::{DeliveryKey, Event, Instant, Rate};

use super::checks::{Checks, Generation, Mark};
use super::{Broken, Time};

/// The limits of a consumer as they are now.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) paused_at: Option<Mark>,
    /// In a pause a consumer takes in all that is under lease, room or not.
    pub(super) was_paused: bool,
    /// More than the concurrency after it was lowered, until those that run have ended.
    pub(super) permits: usize,
    /// What the concurrency was asked to be.
    pub(super) wanted: Option<usize>,
    pub(super) rate: Option<Rate>,
    /// How many may start at once, at an instant.
    level: f64,
    level_at: Mark,
    /// When the rate was set.
    rate_at: Mark,
}

impl Checks {
    pub(super) fn changed(&mut self, event: &Event, time: Time) -> Result<(), Broken> {
        match event {
            Event::Paused => {
                self.limits.paused_at = Some(time);
                self.limits.was_paused = true;
                self.room.rest_is_over();
            }
            Event::Resumed => self.limits.paused_at = None,
            Event::ConcurrencySet(count) => {
                self.limits.permits = self
                    .limits
                    .permits
                    .max(self.promises.concurrency)
                    .max(*count);
                self.promises.concurrency = *count;
                let most = self.promises.prefetch;
                let wanted = self.limits.wanted.map(|wanted| wanted.max(1).min(most));
                if wanted.is_some_and(|wanted| wanted != *count) {
                    let detail = format!("{wanted:?} are wanted, {count} are set");
                    return Err(Broken("permits", detail));
                }
            }
            Event::RateSet(rate) => self.set_rate(*rate, time),
            Event::TailReleased { head, .. } => self.tail_released(head, time)?,
            Event::KeyStalled(key) => self.key_stalled(&key.id),
            _ => {}
        }
        Ok(())
    }

    /// As many as there may ever be are assumed to be left.
    pub(super) fn set_rate(&mut self, rate: Option<Rate>, time: Time) {
        self.limits.rate = rate;
        self.limits.level = rate.map_or(0.0, |rate| rate.burst.max(1).into());
        self.limits.level_at = time;
        self.limits.rate_at = time;
        self.idle.end();
    }

    pub(super) fn check_start(&mut self, name: &DeliveryKey, time: Time) -> Result<(), Broken> {
        if self.running > self.limits.permits.max(self.promises.concurrency) {
            let detail = format!("{name} is one of {}", self.running);
            return Err(Broken("permits", detail));
        }
        if let Some(paused_at) = self.limits.paused_at
            && time.is_well_after(paused_at)
        {
            return Err(Broken("no start in a pause", format!("{name} starts")));
        }
        self.check_rate(name, time)?;
        self.check_key(name, time)
    }

    fn check_rate(&mut self, name: &DeliveryKey, time: Time) -> Result<(), Broken> {
        let limits = &mut self.limits;
        let Some(rate) = limits.rate else {
            return Ok(());
        };
        let burst = f64::from(rate.burst.max(1));
        let gain = f64::from(rate.count.max(1)) / rate.period.as_secs_f64();
        // What starts now may have been given to the executor earlier by as much as was stolen: in
        // a time as many may start as in one that is longer by that.
        let since = |mark: Mark| (time.stolen - mark.stolen).as_secs_f64();
        let passed = (time.now - limits.level_at.now).as_secs_f64() + since(limits.level_at);
        let level_max = burst + gain * since(limits.rate_at);
        limits.level = (limits.level + gain * passed).min(level_max);
        limits.level -= 1.0;
        if !time.is_well_after(limits.rate_at) {
            // And who was let start before the rate was set.
            limits.level = limits.level.max(burst);
        }
        limits.level_at = time;
        if limits.level < -ROUNDING {
            return Err(Broken("rate", format!("{name} starts too early")));
        }
        Ok(())
    }

    /// Whether a delivery has been under lease for about as long as it may.
    pub(super) fn is_ending(&self, generation: &Generation, time: Time) -> bool {
        self.last_call(generation) <= time.now
    }

    /// When what waits under a lease is handed back, at the earliest.
    fn last_call(&self, generation: &Generation) -> Instant {
        let ends = generation.known.received.now + self.promises.lease_max;
        // To what timers of leases are rounded.
        let tick = self.promises.lease / 256;
        ends - self.promises.lease / 8 - tick
    }

    /// How long a delay is at least that the consumer itself has to keep, from now on.
    pub(super) fn least_parked(&self, generation: &Generation, wanted: Duration) -> Duration {
        let is_stopping = self.draining.is_some() || self.is_broken;
        match &generation.end {
            Some((_, ended)) if !is_stopping => {
                // The consumer may have seen the end only after what was stolen since.
                let seen = ended.now + self.stolen_at.stolen.saturating_sub(ended.stolen);
                // Many that are parked are handed back sooner.
                wanted.min(CROWDED).min(self.last_call(generation) - seen)
            }
            _ => Duration::ZERO,
        }
    }
}

/// How exact the sum of the rate is.
const ROUNDING: f64 = 1e-6;

const CROWDED: Duration = Duration::from_secs(1);
