//! Waiting for room, reserving it, and telling those who wait.
//!
//! Who waits announces it by [`WAITED_FOR`] before it looks for room a last time; the consumer
//! lowers its count first and reads the flag with it. So one of the two sees the other.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::outcome::{Overflow, Push, Refusal};
use super::queue::{COUNT, LOOK_AGAIN, PAUSED, Policy, Queue, WAITED_FOR};
use super::state::{Mark, Phase, Signals, State};
use crate::context::{has_probes, is_probed_to_drive, must_not_wait_for};
use crate::inventory::mark_blocked;
use crate::panic::{discard, wake};
use crate::sync::atomic::Ordering;
use crate::sync::{Instant, MutexGuard, bug, unique_id};
use crate::testing::park;

impl<T> Queue<T> {
    /// Parks the thread until so much more fits; refusals are counted, except late ones.
    pub(super) fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        weight: usize,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, State<T>>, Result<(), Refusal>) {
        if must_not_wait_for(self.id) {
            state.counts.deadlocks += 1;
            return (state, Err(Refusal::WouldDeadlock));
        }
        let mut is_refused = false;
        if has_probes() {
            // Without the lock, for a probe is foreign code.
            drop(state);
            is_refused = is_probed_to_drive();
            state = self.lock();
        }
        let _blocked = mark_blocked();
        state.blocked += 1;
        let mut timed_out = false;
        loop {
            if state.phase != Phase::Open {
                self.stop_waiting(&mut state);
                return (state, Err(Refusal::Closed));
            }
            if self.has_room_after_notice(&mut state, weight) {
                self.stop_waiting(&mut state);
                return (state, Ok(()));
            }
            if is_refused {
                state.counts.deadlocks += 1;
                self.stop_waiting(&mut state);
                return (state, Err(Refusal::WouldDeadlock));
            }
            if timed_out {
                state.counts.refused += 1;
                self.stop_waiting(&mut state);
                return (state, Err(Refusal::TimedOut));
            }
            let _parked = park();
            (state, timed_out) = self.room.wait_until(state, deadline);
        }
    }

    /// Announces that somebody waits, and then looks for room: a consumer that makes room after
    /// this sees the flag, and then finds us waiting, for it needs the lock that we hold.
    fn has_room_after_notice(&self, state: &mut State<T>, weight: usize) -> bool {
        let has_room = bug("room_is_looked_for_before_the_notice") && self.has_room(state, weight);
        self.in_hand.0.fetch_or(WAITED_FOR, Ordering::AcqRel);
        if bug("room_is_looked_for_before_the_notice") {
            return has_room;
        }
        self.has_room(state, weight)
    }

    fn stop_waiting(&self, state: &mut State<T>) {
        state.blocked -= 1;
        self.lower_flag(state);
    }

    fn lower_flag(&self, state: &State<T>) {
        if !state.is_waited_for() {
            self.in_hand.0.fetch_and(!WAITED_FOR, Ordering::AcqRel);
        }
    }

    /// Reserves room by the stream's policy.
    pub(super) fn reserve(&self, weight: usize) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            state.counts.late += 1;
            return Err(Refusal::Closed);
        }
        if self.has_room(&mut state, weight) {
            self.hold(state, weight);
            return Ok(());
        }
        let deadline = match self.policy {
            Policy::Overflow(Overflow::Block) => None,
            Policy::Overflow(Overflow::BlockFor(patience)) => Instant::now().checked_add(patience),
            _ => {
                state.counts.refused += 1;
                return Err(Refusal::Full);
            }
        };
        match self.wait_for_room(state, weight, deadline) {
            (state, Ok(())) => {
                self.hold(state, weight);
                Ok(())
            }
            (mut state, Err(refusal)) => {
                state.counts.late += u64::from(refusal == Refusal::Closed);
                Err(refusal)
            }
        }
    }

    fn hold(&self, mut state: MutexGuard<'_, State<T>>, weight: usize) {
        state.reserved += weight;
        state.limit = state.limit.saturating_sub(weight);
        let has_crossed = self.gauge(&mut state);
        drop(state);
        if has_crossed {
            self.tell_flow();
        }
    }

    /// Reserves room, waiting for it as a task; false if the stream is or gets closed.
    ///
    /// Cancel safe: a wait that is dropped takes its registration along and reserves nothing.
    pub(super) async fn reserve_async(&self, weight: usize) -> bool {
        let mut wait = TaskWait {
            queue: self,
            id: unique_id(),
            is_listed: false,
        };
        poll_fn(|cx| self.poll_reserve(cx, &mut wait, weight)).await
    }

    fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        wait: &mut TaskWait<'_, T>,
        weight: usize,
    ) -> Poll<bool> {
        let mut waker = None;
        loop {
            let mut state = self.lock();
            let listed = state
                .signals
                .tasks
                .iter()
                .position(|(id, _)| *id == wait.id);
            let is_open = state.phase == Phase::Open;
            let is_blind = waker.is_some() && bug("a_task_asks_for_room_without_a_second_look");
            if !is_open || (self.has_room_after_notice(&mut state, weight) && !is_blind) {
                let stale = listed.map(|index| state.signals.tasks.swap_remove(index));
                wait.is_listed = false;
                self.lower_flag(&state);
                if is_open {
                    self.hold(state, weight);
                } else {
                    state.counts.late += 1;
                    drop(state);
                }
                discard(stale);
                return Poll::Ready(is_open);
            }
            if let Some(waker) = waker.take() {
                let stale = match listed {
                    Some(index) => Some(std::mem::replace(
                        &mut state.signals.tasks[index],
                        (wait.id, waker),
                    )),
                    None => {
                        state.signals.tasks.push((wait.id, waker));
                        None
                    }
                };
                wait.is_listed = true;
                drop(state);
                discard(stale);
                return Poll::Pending;
            }
            self.lower_flag(&state);
            drop(state);
            // Cloned without the lock, for a waker is user code; then everything is looked at
            // once more, for there may be room meanwhile.
            waker = Some(cx.waker().clone());
        }
    }

    /// Calls `signal` once there is room or the stream is closed: now, or by whoever makes room.
    pub(super) fn when_ready(&self, sink: u64, signal: Box<dyn FnOnce() + Send>) {
        let mut state = self.lock();
        if state.phase != Phase::Open || self.has_room_after_notice(&mut state, 1) {
            self.lower_flag(&state);
            drop(state);
            self.run_hook("a ready signal", signal);
            return;
        }
        let known = state.signals.ready.iter_mut().find(|(id, _)| *id == sink);
        let stale = match known {
            Some((_, known)) => Some(std::mem::replace(known, signal)),
            None => {
                state.signals.ready.push((sink, signal));
                None
            }
        };
        drop(state);
        discard(stale);
    }

    /// Forgets the closure of a sink that is gone.
    pub(super) fn forget_ready(&self, sink: u64) {
        let mut state = self.lock();
        let listed = state.signals.ready.iter().position(|(id, _)| *id == sink);
        let stale = listed.map(|index| state.signals.ready.swap_remove(index));
        self.lower_flag(&state);
        drop(state);
        discard(stale);
    }

    /// Puts a value in line for which a permit holds room.
    pub(super) fn push_reserved(&self, value: T, mark: Mark, reserved: usize) -> Push<T> {
        let mut state = self.lock();
        state.reserved -= reserved;
        if state.phase == Phase::Closed {
            return self.late(state, value);
        }
        let value = match state.replace(value, mark) {
            Ok(older) => {
                self.released(state);
                return Push::Displaced(older);
            }
            Err(value) => value,
        };
        if mark.weight > reserved && !self.has_room(&mut state, mark.weight) {
            state.counts.refused += 1;
            self.released(state);
            return Push::Full(value);
        }
        let is_lighter = mark.weight < reserved;
        let pushed = self.enqueue(state, value, mark);
        if is_lighter {
            self.released(self.lock());
        }
        pushed
    }

    /// Gives the room of a permit back.
    pub(super) fn give_back(&self, reserved: usize) {
        let mut state = self.lock();
        state.reserved -= reserved;
        if !bug("a_permit_is_given_back_in_silence") {
            self.released(state);
        }
    }

    /// Tells whom it concerns that a permit holds less than before.
    fn released(&self, mut state: MutexGuard<'_, State<T>>) {
        let is_minded = state.is_waited_for() || state.flow.is_paused;
        if is_minded && !bug("a_permits_end_is_not_looked_at") {
            // What the consumer knows of the size at which to look is wrong now. What it took
            // before this is seen by the look below, what it takes after makes it look itself.
            self.in_hand.0.fetch_or(LOOK_AGAIN, Ordering::AcqRel);
        }
        // The last thing a draining stream may have waited for.
        let consumer = if state.is_over() {
            state.consumer.take()
        } else {
            None
        };
        self.look_after_room(state);
        wake(consumer);
    }

    /// Tells of room if there is enough of it, and of crossed watermarks; call it with the lock,
    /// which it releases. Returns how far the hand must shrink before it is worth calling again.
    ///
    /// Enough is a quarter of the capacity, or whatever permits have left of it, and not one
    /// place: told of every place, a producer would wake, fill it and go back to sleep, and each
    /// value would cost two switches of threads (measured with four producers on two processors:
    /// 583 ns per value instead of 108).
    pub(super) fn look_after_room(&self, mut state: MutexGuard<'_, State<T>>) -> Looked {
        let has_crossed = self.gauge(&mut state);
        let in_hand = self.in_hand.0.load(Ordering::Acquire);
        let (mut flags, in_hand) = (in_hand & (WAITED_FOR | PAUSED), in_hand & COUNT);
        let held = state.held(in_hand);
        let mut again_at = None;
        let mut told = (Signals::default(), false);
        if state.is_waited_for() {
            let room = self.capacity.saturating_sub(held);
            let worthwhile = self.capacity.div_ceil(4);
            let worthwhile = worthwhile.min(self.capacity - state.reserved).max(1);
            if room < worthwhile {
                again_at = Some(in_hand.saturating_sub(worthwhile - room));
            } else {
                // All of them, told once: who finds no room raises the flag again.
                self.in_hand.0.fetch_and(!WAITED_FOR, Ordering::AcqRel);
                flags &= !WAITED_FOR;
                told = (std::mem::take(&mut state.signals), state.blocked > 0);
            }
        }
        if let Some(flow) = &self.flow
            && state.flow.is_paused
        {
            let at_low = in_hand.saturating_sub(held.saturating_sub(flow.low));
            again_at = again_at.max(Some(at_low));
        }
        drop(state);

        let (signals, is_blocked) = told;
        if is_blocked && bug("one_of_many_is_told_of_room") {
            self.room.notify_one();
        } else if is_blocked {
            self.room.notify_all();
        }
        self.tell_signals(signals);
        if has_crossed {
            self.tell_flow();
        }
        Looked { flags, again_at }
    }

    /// Wakes the tasks and runs the closures; call it without the lock.
    pub(super) fn tell_signals(&self, signals: Signals) {
        for (_, task) in signals.tasks {
            wake(Some(task));
        }
        for (_, signal) in signals.ready {
            self.run_hook("a ready signal", signal);
        }
    }
}

/// What a look found: the flags then raised, and at which size of the hand to look again for them.
#[derive(Clone, Copy)]
pub(super) struct Looked {
    flags: usize,
    again_at: Option<usize>,
}

impl Looked {
    pub(super) const NEVER: Self = Self {
        flags: 0,
        again_at: None,
    };

    /// Whether it is worth looking again, with these flags and so many values in the hand.
    pub(super) fn is_stale(self, flags: usize, in_hand: usize) -> bool {
        let flags = flags & (WAITED_FOR | PAUSED | LOOK_AGAIN);
        flags != 0 && (flags != self.flags || self.again_at.is_none_or(|at| in_hand <= at))
    }
}

/// A task's wait for room; its end takes its registration back.
struct TaskWait<'a, T> {
    queue: &'a Queue<T>,
    id: u64,
    is_listed: bool,
}

impl<T> Drop for TaskWait<'_, T> {
    fn drop(&mut self) {
        if !self.is_listed {
            return;
        }
        let mut state = self.queue.lock();
        let tasks = &mut state.signals.tasks;
        let listed = tasks.iter().position(|(id, _)| *id == self.id);
        let stale = listed.map(|index| tasks.swap_remove(index));
        self.queue.lower_flag(&state);
        drop(state);
        discard(stale);
    }
}
