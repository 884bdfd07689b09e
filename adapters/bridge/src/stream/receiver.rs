//! The receiving end: a stream for one task.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;

use super::outcome::{CloseReason, StreamStats};
use super::queue::{LOOK_AGAIN, OVERTAKEN, PAUSED, Queue, WAITED_FOR};
use super::room::Looked;
use super::state::{Phase, State};
use crate::context::{Place, enter};
use crate::panic::discard;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MutexGuard, bug};

/// The values pushed into its [`Sink`](crate::Sink)s, in order.
///
/// Ends (`None`) after [`finish`](crate::Sink::finish), or the drop of the last sink, once all
/// values were read; or at once after [`close_now`](crate::Sink::close_now). Dropping it hands
/// every later and every waiting push back, and drops what was not read.
///
/// # Cancel safety
///
/// Cancel safe: `next()` and `next_batch` take values only when they return them.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, callback_stream};
///
/// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
/// let sdk = std::thread::spawn(move || (1..=3).for_each(|value| drop(sink.push(value))));
/// assert_eq!(block_on(stream.next()), Some(1));
/// assert_eq!(block_on(stream.collect::<Vec<_>>()), [2, 3]);
/// sdk.join().unwrap();
/// ```
pub struct CallbackStream<T> {
    queue: Arc<Queue<T>>,
    hand: VecDeque<T>,
    /// When, and for whom, it is worth looking for room to tell of.
    looked: Looked,
    is_terminated: bool,
}

impl<T> CallbackStream<T> {
    pub(super) fn new(queue: Arc<Queue<T>>) -> Self {
        Self {
            queue,
            hand: VecDeque::new(),
            looked: Looked::NEVER,
            is_terminated: false,
        }
    }

    /// Waits for at least one value and appends all that are there, at most `max`, to `batch`.
    ///
    /// Returns how many it appended; 0 means that the stream has ended. The fastest way to
    /// receive: one lock per batch, and no allocation once `batch` has grown.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: values are taken only by the poll that returns them.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// (1..=5).for_each(|value| drop(sink.push(value)));
    /// drop(sink);
    ///
    /// let mut batch = Vec::new();
    /// assert_eq!(block_on(stream.next_batch(&mut batch, 3)), 3);
    /// assert_eq!(block_on(stream.next_batch(&mut batch, 3)), 2);
    /// assert_eq!(block_on(stream.next_batch(&mut batch, 3)), 0);
    /// assert_eq!(batch, [1, 2, 3, 4, 5]);
    /// ```
    pub async fn next_batch(&mut self, batch: &mut Vec<T>, max: usize) -> usize {
        let taken = poll_fn(|cx| self.poll_next_batch(cx, batch, max)).await;
        #[cfg(mayhem_model)]
        if bug("a_dropped_receive_loses_its_values") {
            let values = batch.split_off(batch.len() - taken);
            futures::pending!();
            batch.extend(values);
        }
        taken
    }

    /// The poll of [`next_batch`](Self::next_batch), for those who write their own futures.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{CallbackStream, Overflow, callback_stream};
    /// use std::future::poll_fn;
    /// use std::task::{Context, Poll};
    ///
    /// /// Ready with a sum per batch.
    /// fn poll_sum(stream: &mut CallbackStream<u32>, cx: &mut Context<'_>) -> Poll<u32> {
    ///     let mut batch = Vec::new();
    ///     stream.poll_next_batch(cx, &mut batch, 16).map(|_| batch.iter().sum())
    /// }
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// (1..=4).for_each(|value| drop(sink.push(value)));
    /// assert_eq!(block_on(poll_fn(|cx| poll_sum(&mut stream, cx))), 10);
    /// ```
    pub fn poll_next_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Vec<T>,
        max: usize,
    ) -> Poll<usize> {
        assert!(max > 0, "a batch has room for at least one value");
        if self.is_terminated {
            return Poll::Ready(0);
        }
        let from_hand = self.hand.len().min(max);
        if from_hand > 0 {
            if self.queue.in_hand.0.load(Ordering::Acquire) & OVERTAKEN != 0 {
                self.queue.discard_hand(&mut self.hand);
                self.is_terminated = true;
                return Poll::Ready(0);
            }
            // An overtaking close from here on comes after this batch.
            let before = self.queue.in_hand.0.fetch_sub(from_hand, Ordering::AcqRel);
            self.hand_over(batch, from_hand);
            if before & FLAGS != 0 {
                self.look_again();
            }
            return Poll::Ready(from_hand);
        }
        match self.poll_refill(cx, max) {
            Poll::Ready(ready) => {
                self.hand_over(batch, ready);
                Poll::Ready(ready)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Moves the first `count` values of the hand, which are counted as received, to the batch.
    fn hand_over(&mut self, batch: &mut Vec<T>, count: usize) {
        // The whole hand into an empty batch: the two change places, and no value moves. Not with
        // a smaller batch, or the queue would have to grow its next one under its lock.
        let is_swap = batch.is_empty() && count == self.hand.len() && batch.capacity() >= count;
        if is_swap {
            let whole = Vec::from(std::mem::take(&mut self.hand));
            self.hand = VecDeque::from(std::mem::replace(batch, whole));
        } else {
            batch.extend(self.hand.drain(..count));
        }
    }

    /// Why the stream takes no more values; `None` while it does.
    ///
    /// Told as soon as it is closed, even while there are values left to read; the end of the
    /// stream is a `None` from `next`.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// let _ = sink.push(7);
    /// assert_eq!(stream.close_reason(), None);
    /// drop(sink);
    /// assert_eq!(stream.close_reason(), Some(CloseReason::SinksDropped));
    /// assert_eq!(block_on(stream.next()), Some(7));
    /// ```
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.queue.lock().reason.clone()
    }

    /// The stream's ledger.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// let _ = (sink.push(1), sink.push(2));
    /// block_on(stream.next());
    /// let stats = stream.stats();
    /// assert_eq!((stats.queued, stats.received, stats.depth), (2, 1, 1));
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
    /// let (_sink, stream) = callback_stream::<u32>("prices").overflow(Overflow::Block).build();
    /// assert_eq!(stream.name(), "prices");
    /// ```
    pub fn name(&self) -> &str {
        &self.queue.name
    }

    /// The room of both buffers: the queue's and the hand's.
    #[cfg(test)]
    pub(super) fn buffers(&self) -> (usize, usize) {
        (self.queue.lock().values.capacity(), self.hand.capacity())
    }

    /// Fills the empty hand; how many values are to be handed out at once, 0 at the end.
    fn poll_refill(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        let mut waker = None;
        loop {
            let mut state = self.queue.lock();
            if waker.is_some() && bug("a_receive_takes_two_locks") {
                state.consumer = waker;
                return Poll::Pending;
            }
            let ready = self.queue.refill(&mut state, &mut self.hand, wanted);
            if ready > 0 {
                self.looked = self.look(state);
                return Poll::Ready(ready);
            }
            if state.is_over() {
                self.is_terminated = true;
                return Poll::Ready(0);
            }
            if state
                .consumer
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
            {
                return Poll::Pending;
            }
            if waker.is_some() {
                let stale = std::mem::replace(&mut state.consumer, waker);
                drop(state);
                discard(stale);
                return Poll::Pending;
            }
            drop(state);
            // Cloned without the lock, for a waker is user code; then everything is looked at
            // once more, for a value may have come meanwhile.
            let _inside = enter(Place::Stream(self.queue.id));
            waker = Some(cx.waker().clone());
        }
    }
}

impl<T> Stream for CallbackStream<T> {
    type Item = T;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let stream = &mut *self;
        let Some(value) = stream.hand.pop_front() else {
            if stream.is_terminated {
                return Poll::Ready(None);
            }
            return match stream.poll_refill(cx, 1) {
                Poll::Ready(_) => Poll::Ready(stream.hand.pop_front()),
                Poll::Pending => Poll::Pending,
            };
        };
        // AcqRel and not a plain store: see `Queue::in_hand`.
        let before = stream.queue.in_hand.0.fetch_sub(1, Ordering::AcqRel);
        if before & (OVERTAKEN | FLAGS) != 0 {
            return Poll::Ready(stream.hand_out_flagged(before, value));
        }
        Poll::Ready(Some(value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.hand.len(), self.is_terminated.then_some(0))
    }
}

impl<T> CallbackStream<T> {
    /// Looks again whether there is room to tell of.
    fn look_again(&mut self) {
        // Before the look: what is out of date is what was known until now.
        self.queue
            .in_hand
            .0
            .fetch_and(!LOOK_AGAIN, Ordering::AcqRel);
        self.looked = self.look(self.queue.lock());
    }

    /// Tells of room, with whatever hooks that may run marked as inside of this poll.
    fn look(&self, state: MutexGuard<'_, State<T>>) -> Looked {
        if !state.is_waited_for() && !state.flow.is_paused {
            return Looked::NEVER;
        }
        let _inside = enter(Place::Stream(self.queue.id));
        self.queue.look_after_room(state)
    }

    #[cold]
    fn hand_out_flagged(&mut self, before: usize, value: T) -> Option<T> {
        if before & OVERTAKEN == 0 || bug("a_closed_stream_hands_out_what_it_has") {
            if self.looked.is_stale(before, self.hand.len()) {
                self.look_again();
            }
            return Some(value);
        }
        // Back into the hand, and counted there again, to be discarded with the rest.
        self.queue.in_hand.0.fetch_add(1, Ordering::AcqRel);
        self.hand.push_front(value);
        self.queue.discard_hand(&mut self.hand);
        self.is_terminated = true;
        None
    }
}

impl<T> FusedStream for CallbackStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

/// Raised while there is somebody to tell of room.
const FLAGS: usize = WAITED_FOR | PAUSED | LOOK_AGAIN;

impl<T> Unpin for CallbackStream<T> {}

impl<T> Drop for CallbackStream<T> {
    fn drop(&mut self) {
        self.queue.close(CloseReason::StreamDropped, Phase::Closed);
        self.queue.discard_hand(&mut self.hand);
    }
}

impl<T> fmt::Debug for CallbackStream<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallbackStream")
            .field("name", &self.queue.name)
            .field("stats", &self.stats())
            .finish()
    }
}
