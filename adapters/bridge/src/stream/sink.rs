//! The pushing end: what a foreign callback holds.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::outcome::{Cause, CloseReason, Overflow, Push, StreamStats};
use super::permit::Permit;
use super::queue::{Policy, Queue};
use super::state::Phase;
use crate::Panic;
use crate::inventory::note_vendor;
use crate::panic::contain;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, bug, unique_id};

/// Pushes values into a [`CallbackStream`](crate::CallbackStream) from any thread.
///
/// Clone it for every callback. The stream ends when the last sink is dropped and what was pushed
/// has been read. A sink outlives its stream without harm: late pushes are counted and handed back.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let (sink, stream) = callback_stream("doc").overflow(Overflow::Block).build();
/// let threads: Vec<_> = (0..3)
///     .map(|value| {
///         let sink = sink.clone();
///         std::thread::spawn(move || assert_eq!(sink.push(value), Push::Queued))
///     })
///     .collect();
/// drop(sink);
/// let mut values: Vec<u32> = block_on(stream.collect());
/// values.sort();
/// assert_eq!(values, [0, 1, 2]);
/// # threads.into_iter().for_each(|thread| thread.join().unwrap());
/// ```
pub struct Sink<T> {
    queue: Arc<Queue<T>>,
    id: u64,
    /// Whether a ready signal was ever left with the queue under this sink's id.
    has_signalled: AtomicBool,
}

impl<T> Sink<T> {
    pub(super) fn new(queue: Arc<Queue<T>>) -> Self {
        Self {
            queue,
            id: unique_id(),
            has_signalled: AtomicBool::new(false),
        }
    }

    pub(super) fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// Pushes a value; the stream's [`Overflow`](crate::Overflow) says what happens if it is full.
    ///
    /// The result hands back whatever did not get into the stream. The wake of the consumer, if it
    /// waits, happens on this thread, outside every lock; a waker that panics is contained.
    ///
    /// # Blocking
    ///
    /// With `Block` and `BlockFor` parks the thread while the stream is full: from the SDK's
    /// threads only. On a thread that is in this stream's own poll, or that is known to drive an
    /// executor (how, and which: see [`ContextProbe`](crate::ContextProbe)), a push that would have
    /// to wait returns [`Push::WouldDeadlock`]. Other policies never wait.
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
        self.queue.push_by(value, Policy::Overflow(Overflow::Fail))
    }

    /// Pushes a value, waiting for room at most this long, whatever the policy.
    ///
    /// # Blocking
    ///
    /// Parks the thread, as [`push`](Self::push) does with [`Overflow::BlockFor`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
    /// assert_eq!(sink.push_timeout(1, Duration::from_secs(1)), Push::Queued);
    /// assert_eq!(sink.push_timeout(2, Duration::from_millis(1)), Push::TimedOut(2));
    /// ```
    pub fn push_timeout(&self, value: T, patience: Duration) -> Push<T> {
        note_vendor(self.queue.id, &self.queue.name);
        let policy = Policy::Overflow(Overflow::BlockFor(patience));
        self.queue.push_by(value, policy)
    }

    /// Pushes a value, waiting for room as a task, whatever the policy: for async producers.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future loses the value. Where that matters, await a
    /// [`permit_async`](Self::permit_async) and then send.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use futures::{StreamExt, future::join};
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
    /// let produce = async move {
    ///     for value in 0..100 {
    ///         assert_eq!(sink.push_async(value).await, Push::Queued);
    ///     }
    /// };
    /// let ((), values) = block_on(join(produce, stream.collect::<Vec<_>>()));
    /// assert_eq!(values, (0..100).collect::<Vec<_>>());
    /// ```
    pub async fn push_async(&self, value: T) -> Push<T> {
        let value = match self.queue.push_if_room(value) {
            Ok(push) => return push,
            Err(value) => value,
        };
        let weight = self.queue.mark(&value).weight;
        if !self.queue.reserve_async(weight).await {
            return self.queue.hand_late(value);
        }
        Permit::new(self.clone(), weight).send(value)
    }

    /// Calls `signal` once, as soon as there is room, or the stream is closed: the answer to
    /// [`Push::Full`] for a producer that must not wait.
    ///
    /// If that is so already, `signal` runs here and now; else on the thread that makes room, the
    /// consumer's as a rule, under no lock. It must not block. Room is told of once a quarter of
    /// the capacity is free, to all who wait; it is a hint and reserves nothing. A sink has one
    /// such signal: a second one replaces the first, and a dropped sink's signal is dropped.
    /// A task's waker does as well: `move || waker.wake()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, mut stream) =
    ///     callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
    /// assert_eq!(sink.push(1), Push::Queued);
    /// assert_eq!(sink.push(2), Push::Full(2));
    /// let (ready, is_ready) = mpsc::channel();
    /// sink.when_ready(move || ready.send("again").unwrap());
    /// assert!(is_ready.try_recv().is_err());
    /// block_on(stream.next());
    /// assert_eq!(is_ready.try_recv(), Ok("again"));
    /// assert_eq!(sink.push(2), Push::Queued);
    /// ```
    pub fn when_ready(&self, signal: impl FnOnce() + Send + 'static) {
        // Relaxed: read by the drop of this sink, which has it alone by then.
        self.has_signalled.store(true, Ordering::Relaxed);
        self.queue.when_ready(self.id, Box::new(signal));
    }

    /// No more values: the stream ends once those that are in it were read.
    ///
    /// Pushes that wait for room are handed back as [`Push::Closed`]. Idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{CloseReason, Overflow, Push, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// let _ = sink.push(1);
    /// sink.finish();
    /// assert_eq!(sink.push(2), Push::Closed(2));
    /// assert_eq!(block_on(stream.by_ref().collect::<Vec<_>>()), [1]);
    /// assert_eq!(stream.close_reason(), Some(CloseReason::Finished));
    /// ```
    pub fn finish(&self) {
        self.queue.close(CloseReason::Finished, Phase::Draining);
    }

    /// No more values, because of an error: as [`finish`](Self::finish), with a cause.
    ///
    /// The error does not overtake: what was pushed before is still read, then the stream ends, and
    /// its [`close_reason`](crate::CallbackStream::close_reason) is [`CloseReason::Failed`]. To
    /// overtake, call [`close_now`](Self::close_now) afterwards: the first reason stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// let _ = sink.push(1);
    /// sink.fail("link lost");
    /// assert_eq!(block_on(stream.next()), Some(1));
    /// assert_eq!(block_on(stream.next()), None);
    /// match stream.close_reason() {
    ///     Some(CloseReason::Failed(cause)) => assert_eq!(cause.to_string(), "link lost"),
    ///     other => unreachable!("{other:?}"),
    /// }
    /// ```
    pub fn fail(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let reason = CloseReason::Failed(Cause::new(error.into()));
        self.queue.close(reason, Phase::Draining);
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
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, stream) = callback_stream::<u32>("doc").overflow(Overflow::Block).build();
    /// assert!(!sink.is_closed());
    /// drop(stream);
    /// assert!(sink.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.queue.lock().phase != Phase::Open
    }

    /// Why the stream takes no more values; `None` while it does.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
    ///
    /// let (sink, stream) = callback_stream::<u32>("doc").overflow(Overflow::Block).build();
    /// assert_eq!(sink.close_reason(), None);
    /// drop(stream);
    /// assert_eq!(sink.close_reason(), Some(CloseReason::StreamDropped));
    /// ```
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.queue.lock().reason.clone()
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
        let result = contain(callback);
        if let Err(panic) = &result {
            self.queue.count_panic("a callback", panic);
        }
        result
    }

    /// The stream's ledger.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
    /// let _ = (sink.push(1), sink.push(2));
    /// let stats = sink.stats();
    /// assert_eq!((stats.queued, stats.refused, stats.depth), (1, 1, 1));
    /// ```
    pub fn stats(&self) -> StreamStats {
        self.queue.stats()
    }

    /// The stream's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream::<u32>("prices").overflow(Overflow::Block).build();
    /// assert_eq!(sink.name(), "prices");
    /// ```
    pub fn name(&self) -> &str {
        &self.queue.name
    }
}

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        // Relaxed, as in Arc: a new sink is made from an existing one.
        self.queue.sinks.fetch_add(1, Ordering::Relaxed);
        Self::new(Arc::clone(&self.queue))
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        // Relaxed: nobody else has this sink any more.
        if self.has_signalled.load(Ordering::Relaxed) {
            self.queue.forget_ready(self.id);
        }
        // AcqRel, as in Arc: the last drop comes after every push of every other sink.
        let left = self.queue.sinks.fetch_sub(1, Ordering::AcqRel) - 1;
        if left == 0 && !bug("the_last_sink_leaves_in_silence") {
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
