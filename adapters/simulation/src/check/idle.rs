//! A message that could be handled is handled: no permit is idle while one waits.

use std::time::Duration;

use mayhem_core::{Phase, Stats};

use super::checks::{Checks, Mark};
use super::{Broken, Time};

/// Since when a permit has been free and a message has waited for nothing else.
#[derive(Default)]
pub(super) struct Idle {
    since: Option<Mark>,
}

impl Idle {
    /// A handler starts, or may start at another rate.
    pub(super) fn end(&mut self) {
        self.since = None;
    }
}

impl Checks {
    pub(super) fn check_idle(&mut self, stats: &Stats, time: Time) -> Result<(), Broken> {
        let is_free = stats.buffered > 0 && stats.running < stats.concurrency;
        let may_start = stats.phase == Phase::Running && !stats.is_paused && !self.is_broken;
        // With keys, who waits may wait for another of its key.
        if !is_free || !may_start || self.is_closed || self.promises.key_of.is_some() {
            self.idle.since = None;
            return Ok(());
        }
        let since = *self.idle.since.get_or_insert(time);
        // At a rate, for the next turn.
        let turn = self.limits.rate.map_or(Duration::ZERO, |rate| {
            rate.period / rate.count.max(1) + ROUNDING
        });
        let idle = time.now - since.now;
        if idle <= turn + (time.stolen - since.stolen) {
            return Ok(());
        }
        let detail = format!("for {idle:?}, with a turn every {turn:?}: {stats:?}");
        Err(Broken("no idle permit", detail))
    }
}

/// To what a rate is rounded.
const ROUNDING: Duration = Duration::from_micros(1);
