//! Timers for many leases that end at about the same time.
//!
//! Leases that came in one batch share a timer: a cohort is a list through the leases themselves,
//! so that arming and disarming touch a lease and its neighbours, whatever their number. Only a
//! cohort that appears or disappears is looked up by its tick.

use std::time::Duration;

use super::slab::{Handle, Slab};
use super::slot::Lease;
use super::wheel::Wheel;
use crate::Instant;
use crate::time::nanos_of;

/// Groups of leases by the tick at which something is due.
#[derive(Debug)]
pub(super) struct Cohorts {
    tick_nanos: u64,
    /// None that is in use is empty.
    cohorts: Vec<Cohort>,
    free: Vec<u32>,
    by_tick: Wheel,
    /// The cohort that was used last: it is the likeliest to be used next.
    last: Option<u32>,
}

/// So many ticks since the origin of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

/// A lease's place in a cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    cohort: u32,
    before: Option<Neighbour>,
    after: Option<Neighbour>,
}

impl Cohorts {
    /// Instants are rounded to multiples of `tick`.
    pub(super) fn new(tick: Duration) -> Self {
        let tick_nanos = nanos_of(tick).max(1);
        Self {
            tick_nanos,
            cohorts: Vec::new(),
            free: Vec::new(),
            by_tick: Wheel::new(),
            last: None,
        }
    }

    /// The last tick at or before `instant`.
    pub(super) fn floor(&self, instant: Instant) -> Tick {
        Tick(instant.as_nanos() / self.tick_nanos)
    }

    /// The first tick at or after `instant`.
    pub(super) fn ceil(&self, instant: Instant) -> Tick {
        Tick(instant.as_nanos().div_ceil(self.tick_nanos))
    }

    /// Adds the lease in slot `index`, which is in no cohort, to that of `tick`, which `floor` or
    /// `ceil` returned; returns the lease.
    #[inline]
    pub(super) fn add<'a, T>(
        &mut self,
        tick: Tick,
        index: u32,
        leases: &'a mut Slab<Lease<T>>,
    ) -> &'a mut Lease<T> {
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
        // One by one: a place that is made first and then moved is waited for.
        let lease = leases.at_mut(index);
        lease.place.cohort = number;
        lease.place.before = before;
        lease.place.after = None;
        lease
    }

    /// Takes a lease out of its place.
    #[inline]
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
        if cohort.head.is_none() {
            self.by_tick.remove(cohort.tick.0);
            self.free.push(place.cohort);
            if self.last == Some(place.cohort) {
                self.last = None;
            }
        }
    }

    /// To what instants are rounded.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_nanos(self.tick_nanos)
    }

    /// How many leases are in the cohort of a tick.
    pub(super) fn load(&self, tick: Tick) -> usize {
        let number = self.by_tick.get(tick.0);
        number.map_or(0, |number| self.cohorts[number as usize].count as usize)
    }

    /// When the first cohort is due.
    pub(super) fn first(&self) -> Option<Instant> {
        let (tick, _) = self.by_tick.first()?;
        Some(self.start(tick))
    }

    /// Whether a lease is due by `until`.
    pub(super) fn is_due(&self, until: Instant) -> bool {
        self.first().is_some_and(|first| first <= until)
    }

    /// The first lease of the first cohort, if that is due by `until`.
    pub(super) fn first_due<T>(&self, until: Instant, leases: &Slab<Lease<T>>) -> Option<Handle> {
        let (tick, number) = self.by_tick.first()?;
        let head = self.cohorts[number as usize].head?;
        (self.start(tick) <= until).then(|| leases.handle_at(head.index()))
    }

    /// The first lease of the first cohort.
    pub(super) fn first_handle<T>(&self, leases: &Slab<Lease<T>>) -> Option<Handle> {
        self.first_due(Instant::from_nanos(u64::MAX), leases)
    }

    fn start(&self, tick: u64) -> Instant {
        Instant::from_nanos(tick.saturating_mul(self.tick_nanos))
    }

    fn cohort_of(&mut self, tick: Tick) -> u32 {
        if let Some(last) = self.last
            && self.cohorts[last as usize].tick == tick
        {
            return last;
        }
        let number = match self.by_tick.get(tick.0) {
            Some(number) => number,
            None => self.add_cohort(tick),
        };
        self.last = Some(number);
        number
    }

    fn add_cohort(&mut self, tick: Tick) -> u32 {
        let cohort = Cohort {
            tick,
            head: None,
            tail: None,
            count: 0,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.cohorts[number as usize] = cohort;
                number
            }
            None => {
                self.cohorts.push(cohort);
                u32::try_from(self.cohorts.len() - 1).expect("fewer cohorts than leases")
            }
        };
        self.by_tick.insert(tick.0, number);
        number
    }
}

impl Tick {
    /// The tick before this one.
    pub(super) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

#[derive(Debug)]
struct Cohort {
    tick: Tick,
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
    &mut leases.at_mut(neighbour.index()).place
}
