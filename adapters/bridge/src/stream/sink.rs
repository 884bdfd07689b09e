//! The pushing end: what a foreign callback holds.

use std::fmt;

use super::queue::{Phase, Queue};
use super::{CloseReason, Push, StreamStats};
use crate::Panic;
use crate::inventory::note_vendor;
use crate::panic::contain;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// Pushes values into a [`CallbackStream`](crate::CallbackStream) from any thread.
///
/// Clone it for every callback. The stream ends when the last sink is dropped and what was pushed
/// has been read. A sink outlives its stream without harm: late pushes are counted and handed back.
pub struct Sink<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Sink<T> {
    pub(super) fn new(queue: Arc<Queue<T>>) -> Self {
        Self { queue }
    }

    /// Pushes a value; the stream's [`Overflow`](crate::Overflow) says what happens if it is full.
    ///
    /// The result hands back whatever did not get into the stream. The wake of the consumer, if it
    /// waits, happens on this thread, outside every lock; a waker that panics is contained.
    ///
    /// # Blocking
    ///
    /// With `Block` and `BlockFor` parks the thread while the stream is full: from the SDK's
    /// threads only. On a thread that polls a [`Driver`](crate::Driver), that is registered with
    /// [`register_driver`](crate::register_driver), or that is in this stream's own poll, a push
    /// that would have to wait returns [`Push::WouldDeadlock`]. Other policies never wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) =
    ///     callback_stream("doc").capacity(1).overflow(Overflow::DropOldest).build();
    /// assert_eq!(sink.push(1), Push::Queued);
    /// assert_eq!(sink.push(2), Push::Displaced(1));
    /// ```
    #[inline]
    pub fn push(&self, value: T) -> Push<T> {
        note_vendor(self.queue.id, &self.queue.name);
        self.queue.push(value)
    }

    /// Pushes a value if there is room, whatever the policy; else [`Push::Full`]. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// assert_eq!(sink.try_push(1), Push::Queued);
    /// assert_eq!(sink.try_push(2), Push::Full(2));
    /// drop(stream);
    /// assert_eq!(sink.try_push(3), Push::Closed(3));
    /// ```
    pub fn try_push(&self, value: T) -> Push<T> {
        note_vendor(self.queue.id, &self.queue.name);
        self.queue.try_push(value)
    }

    /// No more values: the stream ends once those that are in it were read.
    ///
    /// Pushes that wait for room are handed back as [`Push::Closed`]. Idempotent.
    pub fn finish(&self) {
        self.queue.close(CloseReason::Finished, Phase::Draining);
    }

    /// The stream ends at once, overtaking what is in it; those values are dropped and counted.
    ///
    /// Their destructors run here and, for what the consumer already holds, at its next poll.
    /// Idempotent; also ends a stream that was only finished before.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// let _ = sink.push(1);
    /// sink.close_now();
    /// assert_eq!(block_on(stream.next()), None);
    /// assert_eq!(sink.stats().discarded, 1);
    /// ```
    pub fn close_now(&self) {
        self.queue.close(CloseReason::ClosedNow, Phase::Closed);
    }

    /// Whether pushes are handed back as [`Push::Closed`].
    pub fn is_closed(&self) -> bool {
        self.queue.lock().phase != Phase::Open
    }

    /// Runs the body of a callback so that a panic does not unwind into the SDK.
    ///
    /// # Errors
    ///
    /// The panic, which was counted and logged. The stream stays open.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream::<u32>("doc").overflow(Overflow::Fail).build();
    /// let parsed = sink.guard(|| "x".parse::<u32>().expect("a number"));
    /// assert!(parsed.is_err());
    /// assert_eq!(sink.stats().panics, 1);
    /// ```
    pub fn guard<R>(&self, callback: impl FnOnce() -> R) -> Result<R, Panic> {
        contain(callback).inspect_err(|panic| {
            // Relaxed: a count for people.
            self.queue.panics.fetch_add(1, Ordering::Relaxed);
            log::error!(
                "a callback of {} panicked: {}",
                self.queue.name,
                panic.message()
            );
        })
    }

    /// The stream's ledger.
    pub fn stats(&self) -> StreamStats {
        self.queue.stats()
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.queue.name
    }
}

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        // Relaxed, as in Arc: a new sink is made from an existing one.
        self.queue.sinks.fetch_add(1, Ordering::Relaxed);
        Self {
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        // AcqRel, as in Arc: the last drop comes after every push of every other sink.
        if self.queue.sinks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.queue.close(CloseReason::SinksDropped, Phase::Draining);
        }
    }
}

impl<T> fmt::Debug for Sink<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sink")
            .field("name", &self.queue.name)
            .field("stats", &self.stats())
            .finish()
    }
}
