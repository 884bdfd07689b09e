//! The fake SDK: real threads, one step at a time.

use std::fmt;
use std::sync::Arc;

use super::control::FakeControl;
use super::script::{Call, Record};
use super::threads::{Callback, Line, Shared, Status};

/// An SDK with threads and a callback, that does what its script says; see the
/// [module](crate::testing).
///
/// `M` is its message, `R` what its callback returns. It owns its threads and its callback;
/// dropping it drops both, as soon as calls that are still running return.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{FakeSdk, Step};
/// use mayhem_bridge::{Overflow, callback_stream};
///
/// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
/// let sdk = FakeSdk::new();
/// sdk.deliver("reader", 1).deliver("reader", 2);
/// sdk.subscribe(move |call| drop(sink.push(call)));
/// assert_eq!(sdk.step(), Step::Returned);
/// // The second finds the stream full: known, and not guessed after a sleep.
/// assert_eq!(sdk.step(), Step::Blocked);
/// ```
pub struct FakeSdk<M, R = ()> {
    shared: Arc<Shared<M, R>>,
}

impl<M: Send + 'static, R: Send + 'static> FakeSdk<M, R> {
    /// An SDK without script, threads and callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// assert_eq!(sdk.step(), Step::Ended);
    /// ```
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared::new()),
        }
    }

    /// Adds to the script: `thread` delivers a message. Threads start when they are first needed.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{Call, FakeSdk, Outcome};
    ///
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("reader-1", 1).deliver("reader-2", 2);
    /// sdk.subscribe(|call| call);
    /// sdk.run_all();
    /// let records = sdk.take_records();
    /// assert_eq!(records[1].thread, "reader-2");
    /// assert_eq!(records[1].outcome, Outcome::Returned(Call::Message(2)));
    /// ```
    pub fn deliver(&self, thread: impl Into<String>, message: M) -> &Self {
        self.add(thread.into(), Call::Message(message))
    }

    /// Adds to the script: `thread` reports an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::testing::{Call, FakeSdk};
    /// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream::<u32>("doc").overflow(Overflow::Block).build();
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.fail("reader", "link lost");
    /// sdk.subscribe(move |call| match call {
    ///     Call::Error(error) => sink.fail(error),
    ///     other => unreachable!("{other:?}"),
    /// });
    /// sdk.run_all();
    /// assert_eq!(block_on(stream.next()), None);
    /// assert!(matches!(stream.close_reason(), Some(CloseReason::Failed(_))));
    /// ```
    pub fn fail(&self, thread: impl Into<String>, error: impl Into<String>) -> &Self {
        self.add(thread.into(), Call::Error(error.into()))
    }

    /// Adds to the script: `thread` reports that the subscription is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{Call, FakeSdk, Outcome};
    ///
    /// let sdk = FakeSdk::<u32, _>::new();
    /// sdk.close("reader");
    /// sdk.subscribe(|call| call);
    /// sdk.run_all();
    /// assert_eq!(sdk.take_records()[0].outcome, Outcome::Returned(Call::Closed));
    /// ```
    pub fn close(&self, thread: impl Into<String>) -> &Self {
        self.add(thread.into(), Call::Closed)
    }

    /// Sets the callback; one that was set before is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Outcome};
    ///
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("reader", 1);
    /// sdk.subscribe(|_| "first");
    /// sdk.subscribe(|_| "second");
    /// sdk.run_all();
    /// assert_eq!(sdk.take_records()[0].outcome, Outcome::Returned("second"));
    /// ```
    pub fn subscribe(&self, callback: impl Fn(Call<M>) -> R + Send + Sync + 'static) {
        let callback: Callback<M, R> = Arc::new(callback);
        let before = self.shared.lock().callback.replace(callback);
        // Outside the lock: a callback owns sinks, and their drop may run hooks.
        drop(before);
    }

    /// The calls that have returned since this was last asked, in the order they did.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.deliver("reader", 1).deliver("reader", 2);
    /// sdk.subscribe(|_| {});
    /// assert_eq!(sdk.step(), Step::Returned);
    /// assert_eq!(sdk.take_records()[0].line, 0);
    /// assert_eq!(sdk.step(), Step::Returned);
    /// assert_eq!(sdk.take_records()[0].line, 1);
    /// ```
    pub fn take_records(&self) -> Vec<Record<R>> {
        std::mem::take(&mut self.shared.lock().records)
    }

    /// What an adapter may call back: for its hooks, which must not own the SDK that owns them.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::FakeSdk;
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// let (pause, resume) = (sdk.control(), sdk.control());
    /// let (sink, stream) = callback_stream("doc")
    ///     .overflow(Overflow::Block)
    ///     .watermarks(0, 2, move || pause.pause(), move || resume.resume())
    ///     .build();
    /// sdk.deliver("reader", 1).deliver("reader", 2).deliver("reader", 3);
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// let _ = sdk.run();
    /// // The adapter has told the SDK to pause at two.
    /// assert_eq!((sdk.take_records().len(), stream.stats().is_paused), (2, true));
    /// ```
    pub fn control(&self) -> FakeControl<M, R> {
        FakeControl::new(Arc::downgrade(&self.shared))
    }

    pub(super) fn shared(&self) -> &Arc<Shared<M, R>> {
        &self.shared
    }

    fn add(&self, thread: String, call: Call<M>) -> &Self {
        let mut state = self.shared.lock();
        let number = state.lines;
        state.lines += 1;
        state.script.push_back(Line {
            number,
            thread,
            call,
        });
        self
    }
}

impl<M: Send + 'static, R: Send + 'static> Default for FakeSdk<M, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M, R> Drop for FakeSdk<M, R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_ended = true;
        let callback = state.callback.take();
        let idle = state
            .threads
            .iter_mut()
            .filter(|it| it.status == Status::Idle);
        let idle: Vec<_> = idle.filter_map(|thread| thread.handle.take()).collect();
        drop(state);
        self.shared.changed.notify_all();
        drop(callback);
        // Those in a call end when it returns; to wait for them here could be to wait for ever.
        for thread in idle {
            // Ignored: the callback's panics are caught, and a panic of ours has been printed.
            let _ = thread.join();
        }
    }
}

impl<M, R> fmt::Debug for FakeSdk<M, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        formatter
            .debug_struct("FakeSdk")
            .field("threads", &state.threads.len())
            .field("lines_left", &state.script.len())
            .field("is_paused", &state.is_paused)
            .finish_non_exhaustive()
    }
}
