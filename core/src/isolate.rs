//! Keeps a panic inside the future that raised it.

use std::any::Any;
use std::convert::identity;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// What ended an isolated future.
#[derive(Debug)]
pub(crate) enum Isolated<T> {
    /// It completed.
    Done(T),
    /// It, or its destructor, panicked with this message.
    Panicked(String),
    /// `before` asked for its end: it was dropped.
    Cancelled,
}

/// What [`isolate`] asks around each poll.
pub(crate) trait Watch {
    /// Whether the future is to be dropped instead of polled.
    fn before(&self, cx: &mut Context<'_>) -> bool;
    /// A poll has ended.
    fn after(&self);
}

/// Nothing to watch.
pub(crate) struct Unwatched;

/// Drives `future`, containing panics of its polls and of its drop.
///
/// # Cancel safety
///
/// Cancel safe: dropping it drops `future`.
pub(crate) async fn isolate<F: Future>(watch: &impl Watch, future: F) -> Isolated<F::Output> {
    let mut slot = pin!(Some(future));
    poll_fn(|cx| {
        if watch.before(cx) {
            return Poll::Ready(leave(slot.as_mut(), Isolated::Cancelled));
        }
        let polled = poll_isolated(slot.as_mut(), cx, identity);
        watch.after();
        polled
    })
    .await
}

/// Polls the future in `slot`, containing its panics, and drops it when it has ended; `keep` makes
/// what is kept of its output.
// Inlined, and with `keep` before anything is moved: the result of a future that is moved through
// three enums costs more than a poll.
#[inline]
pub(crate) fn poll_isolated<F: Future, T>(
    mut slot: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
    keep: impl FnOnce(F::Output) -> T,
) -> Poll<Isolated<T>> {
    // Not reached without a future: nobody polls what has ended.
    let mut polled = Poll::Ready(Isolated::Cancelled);
    // Unwind safe: after a panic the future is dropped and never polled again.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        if let Some(future) = slot.as_mut().as_pin_mut() {
            let Poll::Ready(output) = future.poll(cx) else {
                polled = Poll::Pending;
                return;
            };
            polled = Poll::Ready(Isolated::Done(keep(output)));
        }
        slot.set(None);
    }));
    if let Err(payload) = caught {
        let message = panic_message(payload);
        // A destructor's panic that follows the first adds nothing to it.
        drop(leave::<F, ()>(slot, Isolated::Cancelled));
        polled = Poll::Ready(Isolated::Panicked(message));
    }
    polled
}

/// Empties `slot`; how it ended is `ended`, unless a destructor panics.
pub(crate) fn leave<F, T>(mut slot: Pin<&mut Option<F>>, ended: Isolated<T>) -> Isolated<T> {
    match catch_unwind(AssertUnwindSafe(|| slot.set(None))) {
        Ok(()) => ended,
        Err(payload) => Isolated::Panicked(panic_message(payload)),
    }
}

/// The text of a panic, whose payload is dropped without a chance to panic again.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Leaked on purpose: its destructor may panic as well, and so on.
        std::mem::forget(second);
    }
    message
}

impl Watch for Unwatched {
    fn before(&self, _cx: &mut Context<'_>) -> bool {
        false
    }

    fn after(&self) {}
}

#[cfg(test)]
mod tests;
