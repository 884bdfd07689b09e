//! Room in the stream that is reserved before there is a value for it.

use std::fmt;

use super::outcome::Push;
use super::sink::Sink;

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
    pub fn send(mut self, value: T) -> Push<T> {
        // The user's code first: if it panics, the permit is still whole and gives its room back.
        let mark = self.sink.queue().mark(&value);
        let reserved = std::mem::take(&mut self.weight);
        self.sink.queue().push_reserved(value, mark, reserved)
    }

    /// How much room it holds.
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
