//! Whether a stream's builder has been told what a full stream does: a matter of its type.

use super::queue::Policy;

/// Marks a [`CallbackStreamBuilder`](super::CallbackStreamBuilder) whose overflow policy was not
/// chosen yet.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{CallbackStreamBuilder, Overflow, Push, Unchosen, callback_stream};
///
/// // What all streams of a program share, except what to do when one is full.
/// fn stream(name: &str) -> CallbackStreamBuilder<u32, Unchosen> {
///     callback_stream(name).capacity(1)
/// }
///
/// let (sink, _stream) = stream("doc").overflow(Overflow::DropNewest).build();
/// assert_eq!((sink.push(1), sink.push(2)), (Push::Queued, Push::Dropped(2)));
/// ```
#[derive(Debug)]
pub struct Unchosen(pub(super) ());

/// Marks a [`CallbackStreamBuilder`](super::CallbackStreamBuilder) whose overflow policy was
/// chosen.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{CallbackStreamBuilder, Chosen, Overflow, Push, callback_stream};
///
/// fn lossy(name: &str) -> CallbackStreamBuilder<u32, Chosen> {
///     callback_stream(name).overflow(Overflow::DropOldest)
/// }
///
/// let (sink, _stream) = lossy("doc").capacity(1).build();
/// assert_eq!((sink.push(1), sink.push(2)), (Push::Queued, Push::Displaced(1)));
/// ```
#[derive(Debug)]
pub struct Chosen(pub(super) Policy);
