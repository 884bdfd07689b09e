//! One callback, one value: a reply that is sent at most once, and never waited for in vain.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use crate::panic::{discard, wake};
use crate::sync::{Arc, Mutex, bug};

/// A callback that is called at most once, as a future.
///
/// The reply goes into the callback; the future gives what the callback sends, or [`Abandoned`] if
/// the reply is dropped without a value: an SDK that forgets its callback leaves nobody hanging.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Abandoned, callback_once};
///
/// // The SDK: answers on a thread of its own, through a callback that it may call or drop.
/// fn lookup(name: &'static str, callback: impl Fn(u16) + Send + 'static) {
///     std::thread::spawn(move || (name == "http").then(|| callback(80)));
/// }
///
/// let (reply, port) = callback_once();
/// lookup("http", move |port| drop(reply.send(port)));
/// assert_eq!(block_on(port), Ok(80));
///
/// let (reply, port) = callback_once();
/// lookup("gopher", move |port| drop(reply.send(port)));
/// assert_eq!(block_on(port), Err(Abandoned));
/// ```
pub fn callback_once<T>() -> (Reply<T>, CallbackOnce<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    let reply = Reply {
        state: Arc::clone(&state),
    };
    (reply, CallbackOnce { state })
}

/// The sending end of [`callback_once`].
///
/// By shared reference, for many SDKs take a callback that could be called again: then the first
/// value wins.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Reply, callback_once};
///
/// // A callback that may be called more than once.
/// fn answer(reply: &Reply<u32>) -> [Result<(), u32>; 2] {
///     [1, 2].map(|value| reply.send(value))
/// }
///
/// let (reply, future) = callback_once();
/// assert_eq!(answer(&reply), [Ok(()), Err(2)]);
/// assert_eq!(block_on(future), Ok(1));
/// ```
pub struct Reply<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Reply<T> {
    /// Sends the value to the future and wakes its task. Never waits.
    ///
    /// # Errors
    ///
    /// The value, if it is not the first one, or if the future was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::callback_once;
    ///
    /// let (reply, future) = callback_once();
    /// drop(future);
    /// // Nobody waits any more: the value comes back.
    /// assert_eq!(reply.send("late"), Err("late"));
    /// ```
    pub fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Waiting(_)) {
            return Err(value);
        }
        let before = std::mem::replace(&mut *state, State::Sent(value));
        drop(state);
        // After the value is there and outside the lock: a waker may poll the future inline.
        if let State::Waiting(task) = before {
            wake(task);
        }
        Ok(())
    }

    /// Whether a value would be taken: none was sent, and the future is still there.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::callback_once;
    ///
    /// let (reply, _future) = callback_once();
    /// assert!(reply.is_awaited());
    /// reply.send(7).unwrap();
    /// assert!(!reply.is_awaited());
    /// ```
    pub fn is_awaited(&self) -> bool {
        matches!(*self.state.lock(), State::Waiting(_))
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let State::Waiting(task) = &mut *state {
            let task = task.take();
            *state = State::Abandoned;
            drop(state);
            if !bug("a_dropped_reply_wakes_nobody") {
                wake(task);
            }
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("is_awaited", &self.is_awaited())
            .finish()
    }
}

/// The waiting end of [`callback_once`].
///
/// # Cancel safety
///
/// Cancel safe: a value is taken only by the poll that returns it. Dropping the future hands a
/// later value back to whoever sends it, and drops one that was sent and not taken.
///
/// # Examples
///
/// ```
/// use futures::future::{FusedFuture, FutureExt};
/// use mayhem_bridge::callback_once;
///
/// let (reply, mut answer) = callback_once();
/// assert_eq!((&mut answer).now_or_never(), None);
/// reply.send(7).unwrap();
/// assert_eq!((&mut answer).now_or_never(), Some(Ok(7)));
/// assert!(answer.is_terminated());
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct CallbackOnce<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Future for CallbackOnce<T> {
    type Output = Result<T, Abandoned>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waker = None;
        loop {
            let mut state = self.state.lock();
            match &mut *state {
                State::Waiting(Some(known)) if known.will_wake(cx.waker()) => {
                    return Poll::Pending;
                }
                State::Waiting(known) => {
                    if waker.is_some() {
                        let stale = std::mem::replace(known, waker);
                        drop(state);
                        discard(stale);
                        return Poll::Pending;
                    }
                }
                State::Sent(_) | State::Abandoned | State::Gone => {
                    let sent = std::mem::replace(&mut *state, State::Gone);
                    drop(state);
                    discard(waker);
                    return Poll::Ready(match sent {
                        State::Sent(value) => Ok(value),
                        _ => Err(Abandoned),
                    });
                }
            }
            drop(state);
            // Cloned without the lock, for a waker is user code; then looked at again, for the
            // value may have come meanwhile.
            waker = Some(cx.waker().clone());
        }
    }
}

impl<T> FusedFuture for CallbackOnce<T> {
    fn is_terminated(&self) -> bool {
        matches!(*self.state.lock(), State::Gone)
    }
}

impl<T> Drop for CallbackOnce<T> {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Gone);
        // Outside the lock: a value, or a waker, of the user's.
        discard(before);
    }
}

impl<T> fmt::Debug for CallbackOnce<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallbackOnce")
            .finish_non_exhaustive()
    }
}

/// The callback was dropped without having been called.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Abandoned, callback_once};
///
/// let (reply, answer) = callback_once::<u32>();
/// drop(reply);
/// assert_eq!(block_on(answer), Err(Abandoned));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the callback was dropped without having been called")
    }
}

impl Error for Abandoned {}

enum State<T> {
    /// For the value; with the task to wake, if one polls.
    Waiting(Option<Waker>),
    Sent(T),
    Abandoned,
    /// The future has taken the outcome, or was dropped.
    Gone,
}
