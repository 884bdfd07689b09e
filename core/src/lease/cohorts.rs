//! Timers for many leases that end at about the same time.
//!
//! Leases that came in one batch share a timer, so that arming one is a push to a vector and most
//! are cancelled, by a count, before it fires.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Handle;
use crate::Instant;

/// Groups of leases by the instant at which something is due.
#[derive(Debug)]
pub(super) struct Cohorts {
    tick_nanos: u64,
    by_instant: BTreeMap<Instant, Cohort>,
}

impl Cohorts {
    /// Instants are rounded to multiples of `tick`.
    pub(super) fn new(tick: Duration) -> Self {
        let tick_nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self {
            tick_nanos,
            by_instant: BTreeMap::new(),
        }
    }

    /// The last tick at or before `instant`.
    pub(super) fn floor(&self, instant: Instant) -> Instant {
        let nanos = instant.as_nanos();
        Instant::from_nanos(nanos - nanos % self.tick_nanos)
    }

    /// The first tick at or after `instant`.
    pub(super) fn ceil(&self, instant: Instant) -> Instant {
        let rest = instant.as_nanos() % self.tick_nanos;
        if rest == 0 {
            return instant;
        }
        Instant::from_nanos(instant.as_nanos().saturating_add(self.tick_nanos - rest))
    }

    /// Adds a lease to the cohort of `tick`, which `floor` or `ceil` returned.
    pub(super) fn add(&mut self, tick: Instant, handle: Handle) {
        let cohort = self.by_instant.entry(tick).or_default();
        cohort.live += 1;
        cohort.members.push(handle);
    }

    /// Takes a lease out of the cohort of `tick`; `is_live` tells which members are still in it.
    pub(super) fn cancel(&mut self, tick: Instant, is_live: impl Fn(Handle) -> bool) {
        let Some(cohort) = self.by_instant.get_mut(&tick) else {
            return;
        };
        cohort.live -= 1;
        if cohort.live == 0 {
            self.by_instant.remove(&tick);
        } else if cohort.members.len() > 4 * cohort.live + COMPACT_MIN {
            // A few stragglers must not keep the memory of all.
            cohort.members.retain(|handle| is_live(*handle));
            cohort.members.sort_unstable();
            cohort.members.dedup();
            cohort.members.shrink_to_fit();
        }
    }

    /// When the first cohort is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.by_instant.keys().next().copied()
    }

    /// Takes at most `count_max` leases out of the cohorts that are due by `until`.
    ///
    /// `claim` disarms the timer of a member and returns whether it was armed for that tick: a
    /// lease that was taken out and put back is listed twice and claimed once.
    pub(super) fn take_due(
        &mut self,
        until: Instant,
        count_max: usize,
        mut claim: impl FnMut(Handle, Instant) -> bool,
    ) -> Vec<Handle> {
        let mut due = Vec::new();
        while due.len() < count_max {
            let Some(mut entry) = self.by_instant.first_entry() else {
                break;
            };
            let tick = *entry.key();
            if tick > until {
                break;
            }
            let cohort = entry.get_mut();
            while cohort.live > 0 && due.len() < count_max {
                let Some(handle) = cohort.members.pop() else {
                    break;
                };
                if claim(handle, tick) {
                    cohort.live -= 1;
                    due.push(handle);
                }
            }
            if cohort.live == 0 {
                entry.remove();
            }
        }
        due
    }
}

#[derive(Debug, Default)]
struct Cohort {
    live: usize,
    /// The live ones, and some that were cancelled.
    members: Vec<Handle>,
}

/// Below this many members a cohort is not worth compacting.
const COMPACT_MIN: usize = 64;
