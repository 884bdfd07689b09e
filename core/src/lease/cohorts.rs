//! Timers for many leases that end at about the same time.
//!
//! Leases that came in one batch share a timer: a cohort is a list through the leases themselves,
//! so that arming and disarming touch a lease and its neighbours, whatever their number. Only a
//! cohort that appears or disappears is looked up by its instant.

use std::collections::BTreeMap;
use std::time::Duration;

use super::slab::{Handle, Slab};
use super::slot::Lease;
use crate::Instant;

/// Groups of leases by the instant at which something is due.
#[derive(Debug)]
pub(super) struct Cohorts {
    tick_nanos: u64,
    cohorts: Vec<Cohort>,
    free: Vec<u32>,
    by_tick: BTreeMap<Instant, u32>,
    /// The cohort that was used last: it stays when it is empty, because it is the likeliest to be
    /// used next. No other is ever empty.
    last: Option<u32>,
}

/// A lease's place in a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    cohort: u32,
    before: Option<Neighbour>,
    after: Option<Neighbour>,
}

impl Cohorts {
    /// Instants are rounded to multiples of `tick`.
    pub(super) fn new(tick: Duration) -> Self {
        let tick_nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self {
            tick_nanos,
            cohorts: Vec::new(),
            free: Vec::new(),
            by_tick: BTreeMap::new(),
            last: None,
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

    /// Adds the lease in slot `index`, which is in no cohort, to that of `tick`, which `floor` or
    /// `ceil` returned; its place is to be kept in the lease.
    pub(super) fn add<T>(
        &mut self,
        tick: Instant,
        index: u32,
        leases: &mut Slab<Lease<T>>,
    ) -> Place {
        let number = self.cohort_of(tick);
        let cohort = &mut self.cohorts[number as usize];
        let neighbour = Some(Neighbour::new(index));
        let before = cohort.tail;
        cohort.tail = neighbour;
        cohort.count += 1;
        match before {
            None => cohort.head = neighbour,
            Some(before) => place_mut(leases, before).after = neighbour,
        }
        Place {
            cohort: number,
            before,
            after: None,
        }
    }

    /// Takes a lease out of its place.
    pub(super) fn remove<T>(&mut self, place: Place, leases: &mut Slab<Lease<T>>) {
        let cohort = &mut self.cohorts[place.cohort as usize];
        cohort.count -= 1;
        match place.before {
            None => cohort.head = place.after,
            Some(before) => place_mut(leases, before).after = place.after,
        }
        match place.after {
            None => cohort.tail = place.before,
            Some(after) => place_mut(leases, after).before = place.before,
        }
        if cohort.head.is_none() && self.last != Some(place.cohort) {
            self.forget(place.cohort);
        }
    }

    /// To what instants are rounded.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_nanos(self.tick_nanos)
    }

    /// How many leases are in the cohort of a tick.
    pub(super) fn load(&self, tick: Instant) -> usize {
        let number = self.by_tick.get(&tick);
        number.map_or(0, |number| self.cohorts[*number as usize].count as usize)
    }

    /// When the first cohort is due.
    pub(super) fn first(&self) -> Option<Instant> {
        // At most one is empty.
        self.by_tick
            .iter()
            .find(|(_, number)| self.cohorts[**number as usize].head.is_some())
            .map(|(tick, _)| *tick)
    }

    /// Whether a lease is due by `until`.
    pub(super) fn is_due(&self, until: Instant) -> bool {
        self.first().is_some_and(|first| first <= until)
    }

    /// The first lease of the first cohort, if that is due by `until`.
    pub(super) fn first_due<T>(&self, until: Instant, leases: &Slab<Lease<T>>) -> Option<Handle> {
        let (_, number) = self
            .by_tick
            .range(..=until)
            .find(|(_, number)| self.cohorts[**number as usize].head.is_some())?;
        let head = self.cohorts[*number as usize].head?;
        Some(leases.handle_at(head.index()))
    }

    /// The first lease of the first cohort.
    pub(super) fn first_handle<T>(&self, leases: &Slab<Lease<T>>) -> Option<Handle> {
        self.first_due(Instant::from_nanos(u64::MAX), leases)
    }

    fn cohort_of(&mut self, tick: Instant) -> u32 {
        if let Some(last) = self.last {
            let cohort = &self.cohorts[last as usize];
            if cohort.tick == tick {
                return last;
            }
            if cohort.head.is_none() {
                self.forget(last);
            }
        }
        let (cohorts, free) = (&mut self.cohorts, &mut self.free);
        let number = *self.by_tick.entry(tick).or_insert_with(|| {
            let cohort = Cohort {
                tick,
                head: None,
                tail: None,
                count: 0,
            };
            if let Some(number) = free.pop() {
                cohorts[number as usize] = cohort;
                return number;
            }
            cohorts.push(cohort);
            u32::try_from(cohorts.len() - 1).expect("fewer cohorts than leases")
        });
        self.last = Some(number);
        number
    }

    fn forget(&mut self, number: u32) {
        self.by_tick.remove(&self.cohorts[number as usize].tick);
        self.free.push(number);
        if self.last == Some(number) {
            self.last = None;
        }
    }
}

#[derive(Debug)]
struct Cohort {
    tick: Instant,
    head: Option<Neighbour>,
    tail: Option<Neighbour>,
    count: u32,
}

/// The slot of a lease, plus one: as an option it takes no more room than the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour(std::num::NonZeroU32);

impl Neighbour {
    fn new(index: u32) -> Self {
        Self(std::num::NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }
}

fn place_mut<T>(leases: &mut Slab<Lease<T>>, neighbour: Neighbour) -> &mut Place {
    leases
        .at_mut(neighbour.index())
        .timer
        .place_mut()
        .expect("a neighbour in a cohort is in that cohort")
}
