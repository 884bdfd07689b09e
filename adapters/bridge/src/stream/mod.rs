//! Callbacks of a foreign SDK as a stream: many pushing threads, one async consumer.
//!
//! ```text
//! Sink::push ─→ queue (one lock, bounded) ─ swapped whole ─→ hand of the stream ─→ poll_next
//!      ↑ full: the policy decides                                  │
//!      └──────────── room, once values leave the hand ─────────────┘
//! ```
//!
//! The capacity is exact: queue and hand together never hold more, however many sinks there are.
//! Order: values of one thread stay in order; those of several threads are ordered by the lock.
//!
//! Deliberately absent: a default policy (each one loses something: time, old or new values), and
//! a timer (deadlines of foreign threads are those of their own condition variable).

mod closing;
mod queue;
mod receiver;
mod sink;

use std::fmt;
use std::time::Duration;

use crate::BlockingPool;
use crate::sync::Arc;

use closing::{CloseHook, ClosePlace};
use queue::Queue;

pub use receiver::CallbackStream;
pub use sink::Sink;

const CAPACITY_DEFAULT: usize = 1024;

/// Starts a bridge from callbacks to a stream; `name` is its name in the [`inventory`].
///
/// [`inventory`]: crate::inventory()
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let (sink, stream) =
///     callback_stream::<&str>("doc").capacity(2).overflow(Overflow::Fail).build();
/// assert_eq!(sink.push("a"), Push::Queued);
/// assert_eq!(sink.push("b"), Push::Queued);
/// assert_eq!(sink.push("c"), Push::Full("c"));
/// sink.finish();
/// assert_eq!(sink.push("d"), Push::Closed("d"));
/// assert_eq!(block_on(stream.collect::<Vec<_>>()), ["a", "b"]);
/// ```
pub fn callback_stream<T>(name: impl Into<String>) -> CallbackStreamBuilder<T, Unchosen> {
    CallbackStreamBuilder {
        name: name.into(),
        capacity: CAPACITY_DEFAULT,
        overflow: Unchosen(()),
        on_close: None,
        values: std::marker::PhantomData,
    }
}

/// What a push does when the stream is full. There is no default: every choice loses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The pushing thread waits for room. Loses time; the SDK feels the back-pressure. Threads that
    /// wait are told once a quarter of the capacity is free, all at once.
    Block,
    /// The pushing thread waits for room, at most this long, and gets its value back then.
    BlockFor(Duration),
    /// The value being pushed is handed back as [`Push::Dropped`].
    DropNewest,
    /// The oldest value is displaced and handed to the pusher as [`Push::Displaced`].
    DropOldest,
    /// The value being pushed is handed back as [`Push::Full`], as the pusher's problem.
    Fail,
}

/// What became of a pushed value. Nothing vanishes: what was not queued is handed back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a value that was not queued is in here"]
#[non_exhaustive]
pub enum Push<T> {
    /// It is in the stream.
    Queued,
    /// It is in the stream; this older one was displaced ([`Overflow::DropOldest`]).
    Displaced(T),
    /// The stream is full and new values are dropped ([`Overflow::DropNewest`]).
    Dropped(T),
    /// The stream is full ([`Overflow::Fail`], or [`Sink::try_push`]).
    Full(T),
    /// The stream stayed full for as long as the push may wait ([`Overflow::BlockFor`]).
    TimedOut(T),
    /// The stream takes no more values: it was finished, closed or dropped.
    Closed(T),
    /// Waiting for room would park a thread that drives an executor, or the consumer's own.
    WouldDeadlock(T),
}

impl<T> Push<T> {
    /// Whether the pushed value is in the stream.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Queued | Self::Displaced(_))
    }

    /// The value that came back: the pushed one, or the one it displaced.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Queued => None,
            Self::Displaced(value)
            | Self::Dropped(value)
            | Self::Full(value)
            | Self::TimedOut(value)
            | Self::Closed(value)
            | Self::WouldDeadlock(value) => Some(value),
        }
    }
}

/// Why a stream stopped taking values. The first reason wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Sink::finish`] was called.
    Finished,
    /// [`Sink::close_now`] was called.
    ClosedNow,
    /// The last sink was dropped.
    SinksDropped,
    /// The stream was dropped.
    StreamDropped,
}

/// A stream's ledger at one moment.
///
/// `queued` = `received` + `displaced` + `discarded` + `depth`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Values taken into the stream since it was made.
    pub queued: u64,
    /// Values the consumer has received.
    pub received: u64,
    /// Values displaced by newer ones and handed to their pushers.
    pub displaced: u64,
    /// Values that were dropped unread by `close_now` or with the stream.
    pub discarded: u64,
    /// Values that are in the stream now.
    pub depth: usize,
    /// Pushes handed back because the stream was full (`Dropped`, `Full`, `TimedOut`).
    pub refused: u64,
    /// Pushes handed back because the stream was closed.
    pub late: u64,
    /// Pushes refused as [`Push::WouldDeadlock`].
    pub deadlocks: u64,
    /// Threads that wait for room now, those included that were told and are not awake yet.
    pub blocked_now: usize,
    /// Panics caught by [`Sink::guard`].
    pub panics: u64,
}

/// Marks a [`CallbackStreamBuilder`] whose overflow policy was not chosen yet.
#[derive(Debug)]
pub struct Unchosen(());

/// Configures a callback stream; see [`callback_stream`].
///
/// `build` exists only once a policy was chosen:
///
/// ```compile_fail
/// let (sink, stream) = mayhem_bridge::callback_stream::<u32>("no policy").build();
/// ```
pub struct CallbackStreamBuilder<T, Policy> {
    name: String,
    capacity: usize,
    overflow: Policy,
    on_close: Option<CloseHook>,
    values: std::marker::PhantomData<fn(T)>,
}

impl<T, Policy> CallbackStreamBuilder<T, Policy> {
    /// How many values the stream holds at most, however many sinks exist (default 1024).
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or more than `usize::MAX / 8`.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(
            capacity > 0 && capacity <= usize::MAX / 8,
            "a stream holds at least one value"
        );
        self.capacity = capacity;
        self
    }

    /// What a push does when the stream is full.
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> CallbackStreamBuilder<T, Overflow> {
        let Self {
            name,
            capacity,
            on_close,
            values,
            ..
        } = self;
        CallbackStreamBuilder {
            name,
            capacity,
            overflow,
            on_close,
            values,
        }
    }

    /// Runs `hook` exactly once, when the stream stops taking values, on a thread of its own.
    ///
    /// This is the place to unregister the callback or drop the SDK's client: both tend to join
    /// the SDK's threads, which deadlocks on an executor's thread or inside a callback. A panic of
    /// the hook is logged. If the thread cannot be started, the hook runs where the stream was
    /// closed: exactly once outranks where.
    #[must_use]
    pub fn on_close(mut self, hook: impl FnOnce(CloseReason) + Send + 'static) -> Self {
        self.on_close = Some(CloseHook {
            run: Box::new(hook),
            place: ClosePlace::OwnThread,
        });
        self
    }

    /// Like [`on_close`](Self::on_close), as a job of `pool`; a thread of its own if that is full.
    #[must_use]
    pub fn on_close_in(
        mut self,
        pool: &BlockingPool,
        hook: impl FnOnce(CloseReason) + Send + 'static,
    ) -> Self {
        let place = ClosePlace::Pool(pool.clone());
        self.on_close = Some(CloseHook {
            run: Box::new(hook),
            place,
        });
        self
    }
}

impl<T> CallbackStreamBuilder<T, Overflow> {
    /// Makes the two ends. Clone the sink for every thread; the stream is one task's.
    pub fn build(self) -> (Sink<T>, CallbackStream<T>) {
        let name = Arc::from(self.name);
        let queue = Arc::new(Queue::new(
            name,
            self.capacity,
            self.overflow,
            self.on_close,
        ));
        (Sink::new(Arc::clone(&queue)), CallbackStream::new(queue))
    }
}

impl<T, Policy: fmt::Debug> fmt::Debug for CallbackStreamBuilder<T, Policy> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallbackStreamBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
