//! What becomes of a push that finds the stream full.

use super::outcome::{Overflow, Push, Refusal};
use super::queue::{Policy, Queue};
use super::state::{Mark, State};
use crate::sync::{Instant, MutexGuard, bug};

impl<T> Queue<T> {
    /// Does what the policy says. There must be no room.
    pub(super) fn push_full(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        value: T,
        mark: Mark,
        policy: Policy,
    ) -> Push<T> {
        let deadline = match policy {
            Policy::Overflow(Overflow::Block) => None,
            Policy::Overflow(Overflow::BlockFor(patience)) => Instant::now().checked_add(patience),
            Policy::Overflow(Overflow::DropNewest) => {
                state.counts.refused += 1;
                return Push::Dropped(value);
            }
            Policy::Overflow(Overflow::Fail) => {
                state.counts.refused += 1;
                return Push::Full(value);
            }
            Policy::Overflow(Overflow::DropOldest) | Policy::KeepLatest => {
                return self.push_displacing(state, value, mark);
            }
        };
        match self.wait_for_room(state, mark.weight, deadline) {
            // Somebody may have queued this key meanwhile.
            (mut state, Ok(())) => match state.replace(value, mark) {
                Ok(older) => Push::Displaced(older),
                Err(value) => self.enqueue(state, value, mark),
            },
            (state, Err(Refusal::Closed)) => self.late(state, value),
            (_, Err(Refusal::WouldDeadlock)) => Push::WouldDeadlock(value),
            (_, Err(Refusal::Full | Refusal::TimedOut)) => Push::TimedOut(value),
        }
    }

    /// Makes room at the cost of the oldest. The hand is empty with these policies, so that only
    /// permits can be in the way.
    fn push_displacing(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        value: T,
        mark: Mark,
    ) -> Push<T> {
        if state.reserved + mark.weight > self.capacity {
            state.counts.refused += 1;
            return Push::Full(value);
        }
        let oldest = state.displace();
        let mut more = Vec::new();
        while !self.has_room(&mut state, mark.weight) {
            more.extend(state.displace());
        }
        let is_waited_for = state.is_waited_for();
        let queued = self.enqueue(state, value, mark);
        if is_waited_for {
            // A heavy one went for a light one: others may fit now.
            self.look_after_room(self.lock());
        }
        match oldest {
            Some(_) if bug("a_displaced_value_vanishes") => queued,
            Some(oldest) if more.is_empty() => Push::Displaced(oldest),
            Some(oldest) => {
                more.insert(0, oldest);
                Push::DisplacedMany(more)
            }
            None => queued,
        }
    }
}
