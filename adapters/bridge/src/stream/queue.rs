//! The bounded queue between pushing threads and the stream.
//!
//! Producers push under one short lock. The consumer swaps the whole queue into its hand and then
//! pays no lock per value, only one atomic subtraction, by which producers see its room. The wake
//! happens on the transition from empty to waiting: a waker is registered only while the consumer
//! waits, and whoever pushes takes it.

use std::collections::VecDeque;
use std::task::Waker;

use super::closing::CloseHook;
use super::{CloseReason, Overflow, Push, StreamStats};
use crate::context::must_not_wait_for;
use crate::inventory::mark_blocked;
use crate::panic::{discard, wake};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, OwnLine, unique_id};

/// Set in [`Queue::in_hand`] while a producer waits for room: the consumer then tells of room.
pub(super) const WAITED_FOR: usize = 1 << (usize::BITS - 1);
/// Set in [`Queue::in_hand`] by `close_now`: what is in the hand is not to be handed out.
pub(super) const OVERTAKEN: usize = 1 << (usize::BITS - 2);
/// The bits that count the values in the consumer's hand.
pub(super) const COUNT: usize = OVERTAKEN - 1;

/// Shared by all sinks and the stream.
pub(super) struct Queue<T> {
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) sinks: AtomicUsize,
    pub(super) panics: AtomicU64,
    capacity: usize,
    overflow: Overflow,
    state: Mutex<State<T>>,
    room: Condvar,
    /// How many values the consumer holds, and the two flags. Raised under the lock, lowered
    /// without it. All operations on it are read-modify-writes, so that they have one order: of a
    /// producer that announces its wait and a consumer that makes room, the later sees the other.
    pub(super) in_hand: OwnLine<AtomicUsize>,
}

pub(super) struct State<T> {
    pub(super) values: VecDeque<T>,
    /// How long `values` may get, as far as known: the true limit is this or more.
    limit: usize,
    pub(super) phase: Phase,
    pub(super) consumer: Option<Waker>,
    blocked: usize,
    on_close: Option<CloseHook>,
    counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes and gives values.
    Open,
    /// Takes no more; what is there is still given.
    Draining,
    /// Neither takes nor gives.
    Closed,
}

#[derive(Default)]
struct Counts {
    queued: u64,
    taken: u64,
    displaced: u64,
    discarded: u64,
    refused: u64,
    late: u64,
    deadlocks: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(
        name: Arc<str>,
        capacity: usize,
        overflow: Overflow,
        on_close: Option<CloseHook>,
    ) -> Self {
        let state = State {
            values: VecDeque::new(),
            limit: capacity,
            phase: Phase::Open,
            consumer: None,
            blocked: 0,
            on_close,
            counts: Counts::default(),
        };
        Self {
            id: unique_id(),
            name,
            sinks: AtomicUsize::new(1),
            panics: AtomicU64::new(0),
            capacity,
            overflow,
            state: Mutex::new(state),
            room: Condvar::new(),
            in_hand: OwnLine(AtomicUsize::new(0)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    /// Pushes by the stream's policy.
    #[inline]
    pub(super) fn push(&self, value: T) -> Push<T> {
        let state = self.state.lock();
        if state.phase == Phase::Open && state.values.len() < state.limit {
            return self.enqueue(state, value);
        }
        self.push_slow(state, value, self.overflow)
    }

    /// Pushes without waiting, displacing or dropping.
    pub(super) fn try_push(&self, value: T) -> Push<T> {
        let state = self.state.lock();
        self.push_slow(state, value, Overflow::Fail)
    }

    #[inline]
    fn enqueue(&self, mut state: MutexGuard<'_, State<T>>, value: T) -> Push<T> {
        state.values.push_back(value);
        state.counts.queued += 1;
        let consumer = state.consumer.take();
        // Before the wake: the woken task may run at once, here or elsewhere.
        drop(state);
        wake(consumer);
        Push::Queued
    }

    #[cold]
    fn push_slow(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        value: T,
        overflow: Overflow,
    ) -> Push<T> {
        if state.phase != Phase::Open {
            state.counts.late += 1;
            return Push::Closed(value);
        }
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        if state.has_room(self.capacity, in_hand) {
            return self.enqueue(state, value);
        }
        match overflow {
            Overflow::Block => self.push_waiting(state, value, None),
            Overflow::BlockFor(patience) => {
                let deadline = Instant::now().checked_add(patience);
                self.push_waiting(state, value, deadline)
            }
            Overflow::DropNewest => {
                state.counts.refused += 1;
                Push::Dropped(value)
            }
            Overflow::DropOldest => {
                // There is one: with this policy the hand stays empty, so a full stream has its
                // capacity (at least 1) in the queue.
                let oldest = state.values.pop_front();
                state.counts.displaced += u64::from(oldest.is_some());
                let queued = self.enqueue(state, value);
                oldest.map_or(queued, Push::Displaced)
            }
            Overflow::Fail => {
                state.counts.refused += 1;
                Push::Full(value)
            }
        }
    }

    fn push_waiting<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        value: T,
        deadline: Option<Instant>,
    ) -> Push<T> {
        if must_not_wait_for(self.id) {
            state.counts.deadlocks += 1;
            return Push::WouldDeadlock(value);
        }
        let _blocked = mark_blocked();
        state.blocked += 1;
        let mut timed_out = false;
        loop {
            if state.phase != Phase::Open {
                state.counts.late += 1;
                self.stop_waiting(&mut state);
                return Push::Closed(value);
            }
            // Announced before looking: a consumer that makes room after this sees the flag, and
            // then finds us waiting, for it needs the lock that we hold until then.
            let in_hand = self.in_hand.0.fetch_or(WAITED_FOR, Ordering::AcqRel) & COUNT;
            if state.has_room(self.capacity, in_hand) {
                self.stop_waiting(&mut state);
                return self.enqueue(state, value);
            }
            if timed_out {
                state.counts.refused += 1;
                self.stop_waiting(&mut state);
                return Push::TimedOut(value);
            }
            (state, timed_out) = self.room.wait_until(state, deadline);
        }
    }

    fn stop_waiting(&self, state: &mut State<T>) {
        state.blocked -= 1;
        if state.blocked == 0 {
            self.in_hand.0.fetch_and(!WAITED_FOR, Ordering::AcqRel);
        }
    }

    /// Moves up to `wanted` values, for the consumer to hand out at once, into its empty hand,
    /// and possibly more, which stay counted as held. Returns how many are to be handed out.
    pub(super) fn refill(
        &self,
        state: &mut State<T>,
        hand: &mut VecDeque<T>,
        wanted: usize,
    ) -> usize {
        let ready = state.values.len().min(wanted);
        if ready == 0 {
            return 0;
        }
        if self.overflow == Overflow::DropOldest && ready < state.values.len() {
            // What stays in the queue can still be displaced.
            hand.extend(state.values.drain(..ready));
        } else {
            std::mem::swap(&mut state.values, hand);
        }
        let held = hand.len() - ready;
        state.counts.taken += hand.len() as u64;
        state.limit = self.capacity - held;
        if held > 0 {
            self.in_hand.0.fetch_add(held, Ordering::AcqRel);
        }
        ready
    }

    /// Tells waiting producers once a quarter of the capacity is free; call it with the lock, which
    /// it releases. Returns how far the hand must shrink before it is worth calling again.
    ///
    /// A quarter and not one: told of every place, a producer would wake, fill it and go back to
    /// sleep, and each value would cost two switches of threads (measured with four producers on
    /// two processors: 583 ns per value instead of 108).
    pub(super) fn tell_of_room(&self, state: MutexGuard<'_, State<T>>) -> usize {
        if state.blocked == 0 {
            return usize::MAX;
        }
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        let room = self.capacity.saturating_sub(in_hand + state.values.len());
        let worthwhile = self.capacity.div_ceil(4);
        if room < worthwhile {
            return in_hand.saturating_sub(worthwhile - room);
        }
        // All of them, told once: who finds no room raises the flag again.
        self.in_hand.0.fetch_and(!WAITED_FOR, Ordering::AcqRel);
        drop(state);
        self.room.notify_all();
        usize::MAX
    }

    /// Stops taking values; with `Phase::Closed` also stops giving them.
    pub(super) fn close(&self, reason: CloseReason, phase: Phase) {
        let mut state = self.state.lock();
        let was = state.phase;
        if was == Phase::Closed || was == phase {
            return;
        }
        state.phase = phase;
        let hook = state.on_close.take();
        let consumer = state.consumer.take();
        let mut unread = VecDeque::new();
        if phase == Phase::Closed {
            unread = std::mem::take(&mut state.values);
            state.counts.discarded += unread.len() as u64;
            self.in_hand.0.fetch_or(OVERTAKEN, Ordering::AcqRel);
        }
        drop(state);

        // All of them: each must find the stream closed.
        self.room.notify_all();
        wake(consumer);
        unread.into_iter().for_each(discard);
        if let Some(hook) = hook {
            hook.start(&self.name, reason);
        }
    }

    /// Drops what the consumer holds in its hand after an overtaking close.
    pub(super) fn discard_hand(&self, hand: &mut VecDeque<T>) {
        let unread = std::mem::take(hand);
        if unread.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        self.in_hand.0.fetch_sub(unread.len(), Ordering::AcqRel);
        state.counts.taken -= unread.len() as u64;
        state.counts.discarded += unread.len() as u64;
        drop(state);
        unread.into_iter().for_each(discard);
    }

    pub(super) fn stats(&self) -> StreamStats {
        let state = self.state.lock();
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        let counts = &state.counts;
        StreamStats {
            queued: counts.queued,
            received: counts.taken - in_hand as u64,
            displaced: counts.displaced,
            discarded: counts.discarded,
            depth: state.values.len() + in_hand,
            refused: counts.refused,
            late: counts.late,
            deadlocks: counts.deadlocks,
            blocked_now: state.blocked,
            // Relaxed: a count for people, nothing depends on its order.
            panics: self.panics.load(Ordering::Relaxed),
        }
    }
}

impl<T> State<T> {
    fn has_room(&mut self, capacity: usize, in_hand: usize) -> bool {
        self.limit = capacity - in_hand;
        self.values.len() < self.limit
    }
}
