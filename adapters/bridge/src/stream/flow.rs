//! Watermarks: telling the SDK to pause and to resume, in turns, under no lock.

use super::queue::{COUNT, PAUSED, Queue};
use super::state::{Phase, State};
use crate::sync::atomic::Ordering;
use crate::sync::bug;

/// The marks, and what to call when they are crossed.
pub(super) struct Flow {
    pub(super) low: usize,
    pub(super) high: usize,
    on_pause: Box<dyn Fn() + Send + Sync>,
    on_resume: Box<dyn Fn() + Send + Sync>,
}

/// Where the flow stands; protected by the queue's lock.
#[derive(Default)]
pub(super) struct FlowState {
    /// What the marks say.
    pub(super) is_paused: bool,
    /// What the SDK was told last.
    pub(super) is_told_to_pause: bool,
    /// Somebody is telling it now, and will look again afterwards.
    is_being_told: bool,
}

impl Flow {
    pub(super) fn new(
        low: usize,
        high: usize,
        on_pause: impl Fn() + Send + Sync + 'static,
        on_resume: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            low,
            high,
            on_pause: Box::new(on_pause),
            on_resume: Box::new(on_resume),
        }
    }
}

impl<T> Queue<T> {
    /// Compares what is held with the marks; true means that [`Queue::tell_flow`] is to be called,
    /// once the lock is released.
    pub(super) fn gauge(&self, state: &mut State<T>) -> bool {
        let Some(flow) = &self.flow else { return false };
        if state.phase != Phase::Open {
            return false;
        }
        let was_paused = state.flow.is_paused;
        if !was_paused {
            let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
            if state.held(in_hand) < flow.high {
                return false;
            }
            // The flag makes the consumer look from now on. What it took before it could see the
            // flag is in the count that comes back with it.
            state.flow.is_paused = true;
            self.in_hand.0.fetch_or(PAUSED, Ordering::AcqRel);
        }
        let in_hand = self.in_hand.0.load(Ordering::Acquire) & COUNT;
        let is_blind = !was_paused && bug("a_pause_overlooks_what_was_taken");
        if state.held(in_hand) <= flow.low && !is_blind {
            state.flow.is_paused = false;
            self.in_hand.0.fetch_and(!PAUSED, Ordering::AcqRel);
        }
        self.learn(state, in_hand);
        state.flow.is_paused != was_paused
    }

    /// Tells the SDK what the marks say, unless somebody is at it: then they go on with this.
    pub(super) fn tell_flow(&self) {
        let Some(flow) = &self.flow else { return };
        let mut state = self.lock();
        if state.flow.is_being_told && !bug("two_tell_the_sdk_at_once") {
            return;
        }
        while state.flow.is_told_to_pause != state.flow.is_paused && state.phase == Phase::Open {
            let is_paused = state.flow.is_paused;
            state.flow.is_told_to_pause = is_paused;
            state.flow.is_being_told = true;
            drop(state);
            let tell = if is_paused {
                &flow.on_pause
            } else {
                &flow.on_resume
            };
            self.run_hook("a watermark's hook", tell);
            state = self.lock();
            state.flow.is_being_told = false;
        }
    }
}
