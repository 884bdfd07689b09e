//! What must hold after every step: the sums, the limits, and that nothing waits to be told.

use mayhem_core::{Phase, Stats};

use super::checks::{Checks, Promises, Step};
use super::{Broken, Time};

impl Checks {
    pub(super) fn stats(&mut self, stats: &Stats, time: Time) -> Result<(), Broken> {
        let Stats {
            totals,
            outstanding,
            buffered,
            running,
            settling,
            parked,
            ..
        } = *stats;
        let ended = totals.acked
            + totals.nacked
            + totals.released
            + totals.dead_lettered
            + totals.expired
            + totals.abandoned
            + totals.merged;
        // A consumer that is dropped or has crashed does not count any further.
        if totals.received != ended + outstanding as u64
            || outstanding != buffered + running + settling + parked
        {
            return Err(Broken("conservation", format!("{stats:?}")));
        }
        let Promises {
            concurrency,
            prefetch,
            may_overshoot,
            ..
        } = self.promises;
        if running > concurrency.max(self.limits.permits) {
            return Err(Broken("permits", format!("{running} of {concurrency}")));
        }
        if running <= concurrency {
            self.limits.permits = 0;
        }
        if self.is_deaf() {
            return self.check_stopping(stats, time);
        }
        let room = if may_overshoot {
            3 * prefetch
        } else {
            prefetch
        };
        if stats.phase == Phase::Running && outstanding > room && !self.limits.was_paused {
            return Err(Broken("room", format!("{outstanding} of {room}")));
        }
        self.check_room(stats, time)?;
        self.check_idle(stats, time)?;
        self.check_step(outstanding as u64, time)?;
        self.check_slow(stats.phase, time)?;
        self.check_told(stats, time)
    }

    fn check_step(&mut self, outstanding: u64, time: Time) -> Result<(), Broken> {
        let Step {
            asked,
            deliveries,
            stolen,
        } = std::mem::take(&mut self.step);
        self.step.deliveries = outstanding;
        self.step.stolen = time.stolen;
        // Settled once, and extended once. When a handler has held the thread meanwhile, what had
        // failed may have been tried again.
        let is_long = time.stolen != stolen;
        if asked > 2 * deliveries && !is_long {
            let detail = format!("asked for {asked} items with {deliveries} deliveries");
            return Err(Broken("bounded step", detail));
        }
        Ok(())
    }

    /// What went wrong in a handler is told before anything else can happen.
    fn check_told(&self, stats: &Stats, time: Time) -> Result<(), Broken> {
        let told = (self.counts.panics, self.counts.branch_failures);
        let meant = (self.panics, self.branch_failures);
        let is_late = told != meant && time.is_well_after(self.error_at);
        if is_late && stats.phase == Phase::Running && !self.is_closed {
            let detail = format!("panics and branches: {meant:?}, told {told:?}, and no more");
            return Err(Broken("told once", detail));
        }
        Ok(())
    }
}
