//! A scripted stand-in for an SDK, to test adapters without the SDK and without sleeps.
//!
//! ```text
//! script: deliver, fail, close: each on a named thread, in the order written
//! step() ─→ that thread calls the callback ─→ it has returned, or it waits for room: known at once
//! ```
//!
//! The threads are real ones and the callback really runs on them, but one step at a time: `step`
//! comes back when the call has returned or is parked in a push. So a test says "the third message
//! finds the stream full" and asserts it, whatever the machine is busy with.
//!
//! Deliberately absent: virtual time ([`Overflow::BlockFor`](crate::Overflow::BlockFor) waits
//! really), and any way to run two calls truly at the same time: for that there are model checkers.
//!
//! # Examples
//!
//! An adapter that is to feel back-pressure, and to hand on the SDK's error after the messages:
//!
//! ```
//! use futures::{StreamExt, executor::block_on};
//! use mayhem_bridge::testing::{Call, FakeSdk, Step};
//! use mayhem_bridge::{CallbackStream, CloseReason, Overflow, callback_stream};
//!
//! // The adapter under test.
//! fn adapt(sdk: &FakeSdk<u32>) -> CallbackStream<u32> {
//!     let (sink, stream) =
//!         callback_stream("readings").capacity(2).overflow(Overflow::Block).build();
//!     sdk.subscribe(move |call| match call {
//!         Call::Message(reading) => drop(sink.push(reading)),
//!         Call::Error(error) => sink.fail(error),
//!         Call::Closed => sink.finish(),
//!     });
//!     stream
//! }
//!
//! let sdk = FakeSdk::new();
//! sdk.deliver("reader-1", 20).deliver("reader-2", 21).deliver("reader-1", 22);
//! sdk.fail("reader-2", "link lost");
//! let mut stream = adapt(&sdk);
//!
//! assert_eq!(sdk.step(), Step::Returned);
//! assert_eq!(sdk.step(), Step::Returned);
//! assert_eq!(sdk.step(), Step::Blocked);
//! assert_eq!(block_on(stream.next()), Some(20));
//! sdk.wait_until_idle();
//! assert_eq!(sdk.run(), Step::Ended);
//! assert_eq!(block_on(stream.by_ref().collect::<Vec<_>>()), [21, 22]);
//! assert!(matches!(stream.close_reason(), Some(CloseReason::Failed(_))));
//! ```

mod control;
mod parked;
mod script;
mod sdk;
mod stepping;
mod threads;
#[cfg(test)]
mod unit;

pub use control::FakeControl;
pub use script::{Call, Outcome, Record, Step};
pub use sdk::FakeSdk;

pub(crate) use parked::park;
#[cfg(test)]
pub(crate) use unit::{Dropped, Grenade, Wakes, eventually};

#[cfg(test)]
mod tests;
