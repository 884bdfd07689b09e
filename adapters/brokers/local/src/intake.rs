//! The receiving side of the bridge, shared by the calls of `receive`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mayhem_bridge::CallbackStream;
use mayhem_core::Received;

/// The stream, and what a close has taken out of it.
///
/// The lock is held for a poll, never across one, so a `Close` is not kept waiting by a `Next`.
#[derive(Debug)]
pub(crate) struct Intake(Mutex<State>);

#[derive(Debug)]
struct State {
    stream: CallbackStream<Received>,
    /// Taken out by a close that has not returned it yet; it may have been dropped.
    drained: Vec<Received>,
    /// Who waits in `poll_next`. The stream itself knows only who polled it last, and that may
    /// have been a close.
    waiting: Option<Waker>,
}

impl Intake {
    pub(crate) fn new(stream: CallbackStream<Received>) -> Self {
        Self(Mutex::new(State {
            stream,
            drained: Vec::new(),
            waiting: None,
        }))
    }

    /// Waits for the next messages, at most `count_max`; none at the end of the stream.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>, count_max: usize) -> Poll<Vec<Received>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.drained.is_empty() {
            let count = count_max.min(state.drained.len());
            return Poll::Ready(state.drained.drain(..count).collect());
        }
        let mut batch = Vec::new();
        match state.stream.poll_next_batch(cx, &mut batch, count_max) {
            Poll::Ready(_) => Poll::Ready(batch),
            Poll::Pending => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes out what is there and waits for nothing.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        while let Poll::Ready(1..) =
            state
                .stream
                .poll_next_batch(cx, &mut state.drained, usize::MAX)
        {}
    }

    /// Takes all that is left of a stream that has ended, and lets a `poll_next` see its end.
    pub(crate) fn take_rest(&self) -> Vec<Received> {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_drain(&mut cx);
        let mut state = self.lock();
        let (rest, waiting) = (std::mem::take(&mut state.drained), state.waiting.take());
        drop(state);
        // Woken without the lock: a waker is user code and may poll at once.
        if let Some(waker) = waiting {
            waker.wake();
        }
        rest
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock: a waker's clone panicked, which leaves the state as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
