//! The bounded queue between pushing threads and the stream.
//!
//! Producers push under one short lock. The consumer swaps the whole queue into its hand and then
//! pays no lock per value, only one atomic subtraction, by which producers see its room. The wake
//! happens on the transition from empty to waiting: a waker is registered only while the consumer
//! waits, and whoever pushes takes it.
//!
//! Where what is in line can still be displaced, or is weighed, the hand stays empty: the consumer
//! takes from the line what it hands out at once, and no more.

use std::collections::VecDeque;

use super::closing::CloseHook;
use super::flow::Flow;
use super::outcome::{CloseReason, Overflow, Push, StreamStats};
use super::state::{Mark, Phase, State};
use crate::Panic;
use crate::panic::{contain, discard, wake};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, OwnLine, bug, unique_id};

/// Set in [`Queue::in_hand`] while anybody waits for room: the consumer then tells of room.
pub(super) const WAITED_FOR: usize = 1 << (usize::BITS - 1);
/// Set in [`Queue::in_hand`] by `close_now`: what is in the hand is not to be handed out.
pub(super) const OVERTAKEN: usize = 1 << (usize::BITS - 2);
/// Set in [`Queue::in_hand`] while the SDK is to pause: the consumer then minds the low mark.
pub(super) const PAUSED: usize = 1 << (usize::BITS - 3);
/// Set in [`Queue::in_hand`] when what the consumer knows of the time to look is out of date.
pub(super) const LOOK_AGAIN: usize = 1 << (usize::BITS - 4);
/// The bits that count the values in the consumer's hand.
pub(super) const COUNT: usize = LOOK_AGAIN - 1;

/// Shared by all sinks and the stream.
pub(super) struct Queue<T> {
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) sinks: AtomicUsize,
    pub(super) panics: AtomicU64,
    pub(super) capacity: usize,
    pub(super) policy: Policy,
    /// Whether values stay in line until they are handed out.
    stays_in_line: bool,
    hooks: Hooks<T>,
    pub(super) flow: Option<Flow>,
    state: Mutex<State<T>>,
    pub(super) room: Condvar,
    /// How many values the consumer holds, and the flags. Raised under the lock, lowered
    /// without it. All operations on it that matter are read-modify-writes, so that they have one
    /// order: of a producer that announces its wait and a consumer that makes room, the later sees
    /// the other.
    pub(super) in_hand: OwnLine<AtomicUsize>,
}

/// What happens to a push when the stream is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Overflow(Overflow),
    KeepLatest,
}

/// The user's code that a push runs; never under the lock.
pub(super) struct Hooks<T> {
    pub(super) weigh: Option<Weigh<T>>,
    pub(super) key: Option<Key<T>>,
    pub(super) on_late: Option<OnLate<T>>,
}

type Weigh<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;
type Key<T> = Box<dyn Fn(&T) -> u128 + Send + Sync>;
type OnLate<T> = Box<dyn Fn(T) + Send + Sync>;

impl<T> Default for Hooks<T> {
    fn default() -> Self {
        Self {
            weigh: None,
            key: None,
            on_late: None,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn new(
        name: Arc<str>,
        capacity: usize,
        policy: Policy,
        hooks: Hooks<T>,
        flow: Option<Flow>,
        on_close: Option<CloseHook>,
    ) -> Self {
        let is_marked = hooks.weigh.is_some() || hooks.key.is_some();
        let mut state = State::new(is_marked, on_close);
        state.learn(capacity, flow.as_ref().map(|flow| flow.high), 0);
        Self {
            id: unique_id(),
            name,
            sinks: AtomicUsize::new(1),
            panics: AtomicU64::new(0),
            capacity,
            policy,
            stays_in_line: is_marked || policy == Policy::Overflow(Overflow::DropOldest),
            hooks,
            flow,
            state: Mutex::new(state),
            room: Condvar::new(),
            in_hand: OwnLine(AtomicUsize::new(0)),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    /// Pushes by the stream's policy.
    #[inline]
    pub(super) fn push(&self, value: T) -> Push<T> {
        let mut state = self.state.lock();
        // Weighed and keyed values never pass here: their limit is 0.
        if state.values.len() < state.limit {
            state.values.push_back(value);
            if state.consumer.is_some() {
                Self::wake_consumer(state);
            }
            return Push::Queued;
        }
        drop(state);
        self.push_by(value, self.policy)
    }

    /// Wakes the consumer if it waits. Apart, so that most pushes, which need it not, stay small.
    #[cold]
    fn wake_consumer(mut state: MutexGuard<'_, State<T>>) {
        let consumer = state.consumer.take();
        if bug("the_lock_is_held_while_waking") {
            return wake(consumer);
        }
        // Before the wake: the woken task may run at once, here or elsewhere.
        drop(state);
        wake(consumer);
    }

    /// Pushes by the policy given.
    #[cold]
    pub(super) fn push_by(&self, value: T, policy: Policy) -> Push<T> {
        let mark = self.mark(&value);
        let state = self.state.lock();
        match self.admit(state, value, mark) {
            Ok(push) => push,
            Err((state, value)) => self.push_full(state, value, mark, policy),
        }
    }

    /// Pushes if that needs no wait, else gives the value back; counts no refusal.
    pub(super) fn push_if_room(&self, value: T) -> Result<Push<T>, T> {
        let mark = self.mark(&value);
        self.admit(self.state.lock(), value, mark)
            .map_err(|(_, value)| value)
    }

    /// Weighs the value and finds its key. The user's code: call it without the lock.
    pub(super) fn mark(&self, value: &T) -> Mark {
        Mark {
            weight: match &self.hooks.weigh {
                Some(weigh) => self.clamped(weigh(value)),
                None => Mark::PLAIN.weight,
            },
            key: self.hooks.key.as_ref().map(|key| key(value)),
        }
    }

    /// A weight that a stream of this capacity can hold.
    pub(super) fn clamped(&self, weight: usize) -> usize {
        weight.clamp(1, self.capacity)
    }

    /// Pushes if the stream is closed, has the key, or has room: what needs no policy.
    fn admit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        mut value: T,
        mark: Mark,
    ) -> Result<Push<T>, (MutexGuard<'a, State<T>>, T)> {
        if state.phase != Phase::Open {
            return Ok(self.late(state, value));
        }
        if mark.key.is_some() {
            value = match state.replace(value, mark) {
                Ok(older) => return Ok(Push::Displaced(older)),
                Err(value) => value,
            };
        }
        if self.has_room(&mut state, mark.weight) {
            return Ok(self.enqueue(state, value, mark));
        }
        Err((state, value))
    }

    /// What a push does that is late: counts, and hands the value to the hook or back.
    pub(super) fn late(&self, mut state: MutexGuard<'_, State<T>>, value: T) -> Push<T> {
        state.counts.late += 1;
        drop(state);
        self.hand_late(value)
    }

    /// Hands a late value, already counted, to the hook or back.
    pub(super) fn hand_late(&self, value: T) -> Push<T> {
        let Some(on_late) = &self.hooks.on_late else {
            return Push::Closed(value);
        };
        self.run_hook("the hook for late values", || on_late(value));
        Push::Late
    }

    /// Puts the value in line. There must be room.
    pub(super) fn enqueue(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        value: T,
        mark: Mark,
    ) -> Push<T> {
        state.append(value, mark);
        let consumer = state.consumer.take();
        let has_crossed = self.gauge(&mut state);
        // Before the wake: the woken task may run at once, here or elsewhere.
        drop(state);
        wake(consumer);
        if has_crossed {
            self.tell_flow();
        }
        Push::Queued
    }

    /// Whether so much more fits; also learns the limit for pushes to come.
    pub(super) fn has_room(&self, state: &mut State<T>, weight: usize) -> bool {
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        self.learn(state, in_hand);
        state.held(in_hand) + weight <= self.capacity + usize::from(bug("room_for_one_too_many"))
    }

    pub(super) fn learn(&self, state: &mut State<T>, in_hand: usize) {
        let high = self.flow.as_ref().map(|flow| flow.high);
        state.learn(self.capacity, high, in_hand);
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
        if self.stays_in_line {
            state.move_to(hand, ready);
        } else {
            // Empty, but for where it begins: back to the start, so that it need not be turned
            // when it is given away whole.
            hand.clear();
            std::mem::swap(&mut state.values, hand);
        }
        let held = hand.len() - ready;
        state.counts.taken += hand.len() as u64;
        if held > 0 {
            self.in_hand.0.fetch_add(held, Ordering::AcqRel);
        }
        self.learn(state, held);
        ready
    }

    /// Stops taking values; with `Phase::Closed` also stops giving them.
    pub(super) fn close(&self, reason: CloseReason, phase: Phase) {
        let mut state = self.state.lock();
        let was = state.phase;
        if was == Phase::Closed || was == phase {
            drop(state);
            // Not under the lock: the reason may hold an error of the user's.
            drop(reason);
            return;
        }
        state.phase = phase;
        state.limit = 0;
        let first = was == Phase::Open;
        let hook = state.on_close.take();
        if first {
            state.reason = Some(reason.clone());
        }
        let consumer = state.consumer.take();
        let signals = std::mem::take(&mut state.signals);
        let mut unread = VecDeque::new();
        if phase == Phase::Closed {
            unread = state.clear();
            self.in_hand.0.fetch_or(OVERTAKEN, Ordering::AcqRel);
        }
        drop(state);

        // All of them: each must find the stream closed.
        if bug("a_close_wakes_one_producer") {
            self.room.notify_one();
        } else if !bug("a_close_wakes_no_producer") {
            self.room.notify_all();
        }
        self.tell_signals(signals);
        if !bug("a_close_wakes_no_consumer") {
            wake(consumer);
        }
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

    /// Runs one of the stream's hooks, without the lock.
    pub(super) fn run_hook(&self, what: &str, hook: impl FnOnce()) {
        if let Err(panic) = contain(hook) {
            self.count_panic(what, &panic);
        }
    }

    pub(super) fn count_panic(&self, what: &str, panic: &Panic) {
        // Relaxed: a count for people.
        self.panics.fetch_add(1, Ordering::Relaxed);
        log::error!("{what} of {} panicked: {}", self.name, panic.message());
    }

    pub(super) fn stats(&self) -> StreamStats {
        let state = self.state.lock();
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        let counts = &state.counts;
        let in_line = state.values.len() as u64;
        StreamStats {
            queued: counts.taken + counts.displaced + counts.discarded + in_line,
            received: counts.taken - in_hand as u64,
            displaced: counts.displaced,
            discarded: counts.discarded,
            depth: state.values.len() + in_hand,
            weight: state.weight() + in_hand,
            reserved: state.reserved,
            refused: counts.refused,
            late: counts.late,
            deadlocks: counts.deadlocks,
            blocked_now: state.blocked,
            // Relaxed: a count for people, nothing depends on its order.
            panics: self.panics.load(Ordering::Relaxed),
            is_paused: state.flow.is_told_to_pause,
        }
    }
}
