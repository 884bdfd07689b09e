//! Room in the stream that is reserved before there is a value for it.

use std::fmt;

use super::outcome::{Push, Refusal};
use super::sink::Sink;
use crate::inventory::note_vendor;

/// Room in a stream, reserved by [`Sink::permit`] or [`Sink::permit_async`].
///
/// Dropping it gives the room back. While it lives the stream does not end by itself: not by the
/// drop of its last sink, and after [`finish`](Sink::finish) only once the permit is gone. One that
/// is leaked holds its room for ever.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let (sink, mut stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
/// let permit = sink.permit(1).unwrap();
/// // The room is taken, though nothing is in it yet.
/// assert_eq!(sink.push("late"), Push::Full("late"));
/// assert_eq!(permit.send("early"), Push::Queued);
/// assert_eq!(block_on(stream.next()), Some("early"));
/// ```
#[must_use = "a dropped permit gives its room back"]
pub struct Permit<T> {
    sink: Sink<T>,
    /// What it holds; 0 once it is used up.
    weight: usize,
}

impl<T> Permit<T> {
    pub(super) fn new(sink: Sink<T>, weight: usize) -> Self {
        Self { sink, weight }
    }

    /// Puts the value into the stream: without waiting, and without finding it full.
    ///
    /// Says [`Closed`](Push::Closed), or [`Late`](Push::Late), if the stream was dropped or closed
    /// at once; `finish` and `fail` let it through. On a stream that weighs, room beyond the
    /// value's weight is given back, and a value heavier than what was reserved is
    /// [`Full`](Push::Full) unless the rest fits.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc").overflow(Overflow::Fail).build();
    /// let (first, second) = (sink.permit(1).unwrap(), sink.permit(1).unwrap());
    /// sink.finish();
    /// // Promised before the end: it still goes through.
    /// assert_eq!(first.send(1), Push::Queued);
    /// drop(stream);
    /// assert_eq!(second.send(2), Push::Closed(2));
    /// ```
    pub fn send(mut self, value: T) -> Push<T> {
        // The user's code first: if it panics, the permit is still whole and gives its room back.
        let mark = self.sink.queue().mark(&value);
        let reserved = std::mem::take(&mut self.weight);
        self.sink.queue().push_reserved(value, mark, reserved)
    }

    /// How much room it holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, stream) = callback_stream::<Vec<u8>>("doc")
    ///     .capacity(8)
    ///     .weigh(Vec::len)
    ///     .overflow(Overflow::Fail)
    ///     .build();
    /// let permit = sink.permit(5).unwrap();
    /// assert_eq!((permit.weight(), stream.stats().reserved), (5, 5));
    /// drop(permit);
    /// assert_eq!(stream.stats().reserved, 0);
    /// ```
    pub fn weight(&self) -> usize {
        self.weight
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        if self.weight > 0 {
            self.sink.queue().give_back(self.weight);
        }
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Permit")
            .field("stream", &self.sink.name())
            .field("weight", &self.weight)
            .finish()
    }
}

impl<T> Sink<T> {
    /// Reserves room, so that the push to come cannot fail; by the stream's policy: `Block` and
    /// `BlockFor` wait for it, the others do not, and displace nothing for it.
    ///
    /// `weight` is 1, unless the stream [weighs](crate::CallbackStreamBuilder::weigh) its values.
    ///
    /// # Errors
    ///
    /// Why there is no room.
    ///
    /// # Blocking
    ///
    /// As [`push`](Self::push).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, Refusal, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(2).overflow(Overflow::Fail).build();
    /// let permit = sink.permit(1).unwrap();
    /// assert_eq!(sink.push("first"), Push::Queued);
    /// assert_eq!(sink.push("second"), Push::Full("second"));
    /// assert_eq!(sink.permit(1).unwrap_err(), Refusal::Full);
    /// // Whatever was begun meanwhile, its result has its place.
    /// assert_eq!(permit.send("promised"), Push::Queued);
    /// ```
    pub fn permit(&self, weight: usize) -> Result<Permit<T>, Refusal> {
        note_vendor(self.queue().id, &self.queue().name);
        let weight = self.queue().clamped(weight);
        self.queue().reserve(weight)?;
        Ok(Permit::new(self.clone(), weight))
    }

    /// Reserves room, waiting for it as a task, whatever the policy.
    ///
    /// Tasks that wait are told of room all together, as threads are; who is polled first takes it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Closed`] only.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wait that is dropped reserves nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
    /// block_on(async {
    ///     // The value is not made before there is room for it: a wait that is dropped loses none.
    ///     let permit = sink.permit_async(1).await.unwrap();
    ///     assert_eq!(permit.send("made now"), Push::Queued);
    /// });
    /// ```
    pub async fn permit_async(&self, weight: usize) -> Result<Permit<T>, Refusal> {
        let weight = self.queue().clamped(weight);
        if self.queue().reserve_async(weight).await {
            Ok(Permit::new(self.clone(), weight))
        } else {
            Err(Refusal::Closed)
        }
    }
}
