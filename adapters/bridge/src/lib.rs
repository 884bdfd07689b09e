//! From blocking, callback-based code with threads of its own into async code, on any executor.
//!
//! ```text
//! vendor thread ─ callback ─→ Sink::push ─ one short lock ─→ CallbackStream   (values come in)
//! any thread ─ run_coroutine_threadsafe ─→ Portal ─→ Driver, on your executor (calls come in)
//! async code ─ run / run_async ─→ BlockingPool ─→ a named thread of its own   (calls go out)
//! inventory(): every thread of the process: whose it is, what it does, since when
//! ```
//!
//! | you have | take |
//! |---|---|
//! | an SDK that calls you back from its own threads | [`callback_stream`] |
//! | an SDK that calls you back once | [`callback_once`] |
//! | a plain thread that must run async code and wait for it | [`Portal`] |
//! | async code that must call something blocking | [`BlockingPool`] |
//! | a process with too many threads | [`inventory()`] |
//! | an adapter to test, and no SDK at hand | [`testing`] |
//!
//! Nothing here knows an executor. A [`CallbackStream`] is a [`Stream`](futures::Stream); a
//! [`Driver`] is one future that you spawn wherever you like; a [`Job`] is a future. There is no
//! hidden thread and no timer: a thread exists because a pool, a [`PortalProvider`] or a
//! close hook needs it, and [`inventory()`] shows it.
//!
//! Three rules hold everywhere. Nothing accepted is forgotten: it completes, or its owner is told.
//! No lock is held while your code runs: callbacks, wakers, destructors. A panic in your code
//! becomes a value.
//!
//! Two guides lie beside this crate, in `docs`: `wrap-your-sdk.md`, with adapters for a queue, a
//! file watcher and a C library, and `plug-in-your-executor.md`. `comparison.md` compares.
//!
//! # Examples
//!
//! An SDK's callback turned into a stream:
//!
//! ```
//! use futures::{StreamExt, executor::block_on};
//! use mayhem_bridge::{Overflow, callback_stream};
//!
//! // The SDK: it owns its threads, blocks, and knows nothing of async.
//! fn subscribe(callback: impl Fn(u32) + Send + 'static) -> std::thread::JoinHandle<()> {
//!     std::thread::spawn(move || (1..=3).for_each(callback))
//! }
//!
//! let (sink, stream) =
//!     callback_stream::<u32>("readings").capacity(256).overflow(Overflow::Block).build();
//! let sdk = subscribe(move |reading| {
//!     // Blocks the SDK's thread while the consumer is 256 readings behind: back-pressure.
//!     let _ = sink.push(reading);
//! });
//! // The SDK drops its callback at the end, and with it the last sink: the stream ends.
//! assert_eq!(block_on(stream.collect::<Vec<_>>()), [1, 2, 3]);
//! sdk.join().unwrap();
//! ```

mod sync;
pub mod testing;

mod context;
mod panic;

mod inventory;
mod slot;

mod pool;
mod portal;
mod stream;

pub use context::{ContextProbe, driving};
pub use inventory::{
    DriverGuard, ThreadClaim, ThreadInfo, ThreadKind, ThreadState, claim_threads, inventory,
    register_driver,
};
pub use panic::Panic;
pub use pool::{
    BlockingError, BlockingPool, BlockingPoolBuilder, Busy, BusyReason, CancelToken, Cancelled,
    Job, JobContext, Limiter, LimiterStats, PoolStats, ShutdownReport,
};
pub use portal::{
    Close, Deadlock, Driver, JoinError, LocalDriver, LocalPortal, Portal, PortalBuilder,
    PortalHandle, PortalProvider, PortalStats, StartError, Started, SubmitError, Unwound,
};
pub use stream::{
    Abandoned, CallbackOnce, CallbackStream, CallbackStreamBuilder, Cause, Chosen, CloseReason,
    Overflow, Permit, Push, Refusal, Reply, Sink, StreamStats, Unchosen, callback_once,
    callback_stream,
};

#[cfg(mayhem_model)]
#[doc(hidden)]
pub use sync::model;
