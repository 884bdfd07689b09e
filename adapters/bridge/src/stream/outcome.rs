//! What a push, a permit or an ended stream says.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::sync::Arc;

/// What a push does when the stream is full. There is no default: every choice loses something.
///
/// One more policy keeps the latest value of each key:
/// [`keep_latest_by`](crate::CallbackStreamBuilder::keep_latest_by).
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let full = |overflow| {
///     let (sink, _stream) = callback_stream("doc").capacity(1).overflow(overflow).build();
///     (sink.push("old"), sink.push("new")).1
/// };
/// assert_eq!(full(Overflow::Fail), Push::Full("new"));
/// assert_eq!(full(Overflow::DropNewest), Push::Dropped("new"));
/// assert_eq!(full(Overflow::DropOldest), Push::Displaced("old"));
/// ```
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
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let (sink, stream) = callback_stream("doc").capacity(1).overflow(Overflow::Fail).build();
/// assert_eq!(sink.push("first"), Push::Queued);
/// assert_eq!(sink.push("second"), Push::Full("second"));
/// drop(stream);
/// // What the callback is to tell its SDK.
/// let is_to_be_sent_again = match sink.push("third") {
///     Push::Full(_) | Push::TimedOut(_) | Push::WouldDeadlock(_) => true,
///     _ => false,
/// };
/// assert!(!is_to_be_sent_again, "it is closed");
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a value that was not queued is in here"]
#[non_exhaustive]
pub enum Push<T> {
    /// It is in the stream.
    Queued,
    /// It is in the stream; this older one was displaced ([`Overflow::DropOldest`], or the value
    /// of the same key).
    Displaced(T),
    /// It is in the stream; these older ones, oldest first, had to go for it, as it weighs more
    /// than each of them ([`Overflow::DropOldest`] on a stream that weighs its values).
    DisplacedMany(Vec<T>),
    /// The stream is full and new values are dropped ([`Overflow::DropNewest`]).
    Dropped(T),
    /// The stream is full ([`Overflow::Fail`], or [`Sink::try_push`](crate::Sink::try_push)).
    Full(T),
    /// The stream stayed full for as long as the push may wait ([`Overflow::BlockFor`]).
    TimedOut(T),
    /// The stream takes no more values: it was finished, failed, closed or dropped.
    Closed(T),
    /// The stream takes no more values, and this one went to the
    /// [`on_late`](crate::CallbackStreamBuilder::on_late) hook.
    Late,
    /// Waiting for room would park a thread that drives an executor, or the consumer's own.
    WouldDeadlock(T),
}

impl<T> Push<T> {
    /// Whether the pushed value is in the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Push;
    ///
    /// assert!(Push::<u32>::Queued.is_queued());
    /// assert!(Push::Displaced(1).is_queued(), "an older value went for it");
    /// assert!(!Push::Full(1).is_queued());
    /// ```
    pub fn is_queued(&self) -> bool {
        matches!(
            self,
            Self::Queued | Self::Displaced(_) | Self::DisplacedMany(_)
        )
    }

    /// The value that came back: the pushed one, or the (oldest) one it displaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Push;
    ///
    /// assert_eq!(Push::Full(2).into_value(), Some(2));
    /// assert_eq!(Push::DisplacedMany(vec![3, 4]).into_value(), Some(3));
    /// assert_eq!(Push::<u32>::Queued.into_value(), None);
    /// ```
    pub fn into_value(self) -> Option<T> {
        self.into_values().next()
    }

    /// All values that came back: the pushed one, or those it displaced, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream::<Vec<u8>>("doc")
    ///     .capacity(8)
    ///     .weigh(Vec::len)
    ///     .overflow(Overflow::DropOldest)
    ///     .build();
    /// assert_eq!(sink.push(vec![1; 3]), Push::Queued);
    /// assert_eq!(sink.push(vec![2; 3]), Push::Queued);
    /// let displaced: Vec<_> = sink.push(vec![3; 8]).into_values().collect();
    /// assert_eq!(displaced, [vec![1; 3], vec![2; 3]]);
    /// ```
    pub fn into_values(self) -> impl Iterator<Item = T> {
        let (one, many) = match self {
            Self::Queued | Self::Late => (None, Vec::new()),
            Self::Displaced(value)
            | Self::Dropped(value)
            | Self::Full(value)
            | Self::TimedOut(value)
            | Self::Closed(value)
            | Self::WouldDeadlock(value) => (Some(value), Vec::new()),
            Self::DisplacedMany(values) => (None, values),
        };
        one.into_iter().chain(many)
    }
}

/// Why no room was reserved.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, Refusal, callback_stream};
///
/// let (sink, stream) = callback_stream::<u32>("doc").overflow(Overflow::Fail).build();
/// drop(stream);
/// let refusal = sink.permit(1).unwrap_err();
/// assert_eq!(refusal, Refusal::Closed);
/// assert_eq!(refusal.to_string(), "the stream takes no more values");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The stream is full, and its policy does not wait.
    Full,
    /// The stream stayed full for as long as its policy waits.
    TimedOut,
    /// The stream takes no more values.
    Closed,
    /// Waiting for room would park a thread that drives an executor, or the consumer's own.
    WouldDeadlock,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the stream is full",
            Self::TimedOut => "the stream stayed full for too long",
            Self::Closed => "the stream takes no more values",
            Self::WouldDeadlock => "waiting for room here would deadlock",
        })
    }
}

impl Error for Refusal {}

/// Why a stream stopped taking values. The first reason wins.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
///
/// let (sink, stream) = callback_stream::<u32>("doc").overflow(Overflow::Fail).build();
/// sink.finish();
/// drop(stream);
/// // The first reason wins.
/// assert_eq!(sink.close_reason(), Some(CloseReason::Finished));
/// assert_eq!(CloseReason::StreamDropped.to_string(), "the stream was dropped");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Sink::finish`](crate::Sink::finish) was called.
    Finished,
    /// [`Sink::fail`](crate::Sink::fail) was called, with this cause.
    Failed(Cause),
    /// [`Sink::close_now`](crate::Sink::close_now) was called.
    ClosedNow,
    /// The last sink was dropped.
    SinksDropped,
    /// The stream was dropped.
    StreamDropped,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::ClosedNow => "closed at once",
            Self::SinksDropped => "the last sink was dropped",
            Self::StreamDropped => "the stream was dropped",
        })
    }
}

/// The SDK's error that ended a stream; shared by all who ask for it.
///
/// Gives the error itself by `Deref`, for instance to `downcast_ref` it. Two are equal if they are
/// the same error, not if they read the same.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
/// use std::io;
///
/// let (sink, stream) = callback_stream::<u32>("doc").overflow(Overflow::Fail).build();
/// sink.fail(io::Error::from(io::ErrorKind::ConnectionReset));
/// let Some(CloseReason::Failed(cause)) = stream.close_reason() else { unreachable!() };
/// let error = cause.downcast_ref::<io::Error>().unwrap();
/// assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
/// ```
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    pub(super) fn new(error: Box<dyn Error + Send + Sync>) -> Self {
        Self(Arc::from(error))
    }
}

impl Deref for Cause {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// A stream's ledger at one moment.
///
/// `queued` = `received` + `displaced` + `discarded` + `depth`, always.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, StreamStats, callback_stream};
///
/// let (sink, mut stream) =
///     callback_stream("doc").capacity(3).overflow(Overflow::DropOldest).build();
/// (1..=4).for_each(|value| drop(sink.push(value)));
/// block_on(stream.next());
/// let StreamStats { queued, received, displaced, discarded, depth, .. } = stream.stats();
/// assert_eq!([queued, received, displaced, discarded], [4, 1, 1, 0]);
/// assert_eq!(queued, received + displaced + discarded + depth as u64);
/// ```
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
    /// What those values weigh together; the same as `depth` if the stream does not weigh.
    pub weight: usize,
    /// What permits hold reserved. `weight` + `reserved` never exceeds the capacity.
    pub reserved: usize,
    /// Pushes and permits refused because the stream was full (`Dropped`, `Full`, `TimedOut`).
    pub refused: u64,
    /// Pushes and permits refused because the stream was closed.
    pub late: u64,
    /// Pushes and permits refused as `WouldDeadlock`.
    pub deadlocks: u64,
    /// Threads that wait for room now, those included that were told and are not awake yet.
    pub blocked_now: usize,
    /// Panics caught by [`Sink::guard`](crate::Sink::guard) and in the stream's hooks.
    pub panics: u64,
    /// Whether the SDK was last told to pause, by the watermarks.
    pub is_paused: bool,
}
