//! Extensions: as long as was asked for, and as few calls as there may be.
//!
//! What one call could have done is not done by two. A call that is not full takes all that is due
//! within a sixteenth of a lease, so that the next one follows no sooner: at the most eight in the
//! time in which one would do for leases that are extended together, and one where they were.

use std::time::Duration;

use mayhem_core::Instant;

use super::checks::{Checks, Mark};
use super::facts::broken;
use super::{Broken, Time};
use crate::Fact;

/// The calls of `extend` of one consumer.
#[derive(Default)]
pub(super) struct Batching {
    /// What was asked for since the latest call began.
    asked: usize,
    /// Whether some came, in it or not, with so little time left that it could not wait for others.
    is_urgent: bool,
    /// How many extensions the latest call has, and when it was made.
    latest: Option<(usize, Mark)>,
}

impl Batching {
    /// A lease comes with most of its time left, or does not. In that case a call is begun at once,
    /// and others may go with it that it is then too late for itself.
    pub(super) fn arrive(&mut self, is_fresh: bool) {
        self.is_urgent |= !is_fresh;
    }

    /// An extension is asked for, of a lease that came with most of its time left, or did not.
    pub(super) fn ask(&mut self, is_fresh: bool) {
        self.asked += 1;
        self.is_urgent |= !is_fresh;
    }
}

impl Checks {
    /// A call of `extend` begins, after what it asks for was noted: was it needed?
    pub(super) fn check_batch(&mut self, time: Time) -> Result<(), Broken> {
        let items = std::mem::take(&mut self.batching.asked);
        let is_urgent = std::mem::take(&mut self.batching.is_urgent);
        let Some((before, before_at)) = self.batching.latest.replace((items, time)) else {
            return Ok(());
        };
        // Where calls fail, leases change or come late, some cannot wait for others.
        let promises = &self.promises;
        let is_calm = promises.is_honest && promises.adaptive_max.is_none() && !is_urgent;
        let is_full = before + items > self.extend_count_max;
        if !is_calm || is_full || promises.is_limited_by_bytes() {
            return Ok(());
        }
        let (gap, after) = (promises.lease / GAP, time.now - before_at.now);
        if after + SLACK >= gap {
            return Ok(());
        }
        let detail = format!("{items} follow {before} after {after:?}, apart by {gap:?} at least");
        Err(Broken("extensions together", detail))
    }

    /// An extension is for as long as was asked for, and never makes a lease shorter.
    pub(super) fn check_duration(
        &self,
        fact: &Fact,
        duration: Duration,
        (received, until): (Instant, Instant),
    ) -> Result<(), Broken> {
        let promises = &self.promises;
        let longest = promises.adaptive_max.unwrap_or(promises.lease);
        let end = fact.at + duration;
        let is_last = end >= received + promises.lease_max;
        if duration > longest || (duration < promises.lease && !is_last) {
            let detail = format!("for {duration:?} of {:?} to {longest:?}", promises.lease);
            return broken("as long as wanted", fact, detail);
        }
        if end <= until {
            let left = until - fact.at;
            let detail = format!("for {duration:?} with {left:?} left");
            return broken("as long as wanted", fact, detail);
        }
        Ok(())
    }
}

/// The part of a lease that is between two calls which are not full, at least.
const GAP: u32 = 16;

/// To what timers are rounded.
const SLACK: Duration = Duration::from_millis(100);
