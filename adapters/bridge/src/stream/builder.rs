//! How a stream is configured.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

use super::choice::{Chosen, Unchosen};
use super::closing::{CloseHook, ClosePlace};
use super::flow::Flow;
use super::outcome::{CloseReason, Overflow};
use super::queue::{Hooks, Policy, Queue};
use super::{CallbackStream, Sink};
use crate::BlockingPool;
use crate::sync::Arc;

const CAPACITY_DEFAULT: usize = 1024;

/// Starts a bridge from callbacks to a stream; `name` is its name in the [`inventory`].
///
/// [`inventory`]: crate::inventory()
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{Overflow, Push, callback_stream};
///
/// let (sink, stream) =
///     callback_stream::<&str>("doc").capacity(2).overflow(Overflow::Fail).build();
/// assert_eq!(sink.push("a"), Push::Queued);
/// assert_eq!(sink.push("b"), Push::Queued);
/// assert_eq!(sink.push("c"), Push::Full("c"));
/// sink.finish();
/// assert_eq!(sink.push("d"), Push::Closed("d"));
/// assert_eq!(block_on(stream.collect::<Vec<_>>()), ["a", "b"]);
/// ```
pub fn callback_stream<T>(name: impl Into<String>) -> CallbackStreamBuilder<T, Unchosen> {
    CallbackStreamBuilder {
        name: name.into(),
        capacity: CAPACITY_DEFAULT,
        policy: Unchosen(()),
        on_close: None,
        hooks: Hooks::default(),
        flow: None,
    }
}

/// Configures a callback stream; see [`callback_stream`].
///
/// `build` exists only once a policy was chosen:
///
/// ```compile_fail
/// let (sink, stream) = mayhem_bridge::callback_stream::<u32>("no policy").build();
/// ```
pub struct CallbackStreamBuilder<T, Choice> {
    name: String,
    capacity: usize,
    policy: Choice,
    on_close: Option<CloseHook>,
    hooks: Hooks<T>,
    flow: Option<Flow>,
}

impl<T, Choice> CallbackStreamBuilder<T, Choice> {
    /// How much the stream holds at most, however many sinks exist (default 1024): so many values,
    /// or, if it [weighs](Self::weigh) them, so much weight.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or more than `usize::MAX / 16`.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(2).overflow(Overflow::Fail).build();
    /// let other = sink.clone();
    /// assert_eq!((sink.push(1), other.push(2)), (Push::Queued, Push::Queued));
    /// assert_eq!(sink.clone().push(3), Push::Full(3));
    /// ```
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(
            capacity > 0 && capacity <= usize::MAX / 16,
            "a stream holds at least one value"
        );
        self.capacity = capacity;
        self
    }

    /// Counts the capacity in weight, for instance in bytes, and not in values.
    ///
    /// A value weighs at least 1. One that is heavier than the whole capacity counts as the whole
    /// capacity: it is taken when the stream is empty, alone. `weigh` runs once per push, on the
    /// pushing thread, under no lock; if it panics, so does the push. Such a stream pays one lock
    /// per receive: take from it by [`next_batch`](CallbackStream::next_batch).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream::<&str>("doc")
    ///     .capacity(10)
    ///     .weigh(|text| text.len())
    ///     .overflow(Overflow::Fail)
    ///     .build();
    /// assert_eq!(sink.push("seven.."), Push::Queued);
    /// assert_eq!(sink.push("four"), Push::Full("four"));
    /// assert_eq!(sink.push("3.."), Push::Queued);
    /// assert_eq!(sink.stats().weight, 10);
    /// ```
    #[must_use]
    pub fn weigh(mut self, weigh: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.hooks.weigh = Some(Box::new(weigh));
        self
    }

    /// What a push does when the stream is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    /// use std::time::Duration;
    ///
    /// let patience = Overflow::BlockFor(Duration::from_millis(1));
    /// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(patience).build();
    /// assert_eq!(sink.push(1), Push::Queued);
    /// assert_eq!(sink.push(2), Push::TimedOut(2));
    /// ```
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> CallbackStreamBuilder<T, Chosen> {
        self.hooks.key = None;
        self.chosen(Policy::Overflow(overflow))
    }

    /// Holds one value per key, the latest: a push takes the place in line of the value with the
    /// same key, which comes back as [`Push::Displaced`](crate::Push::Displaced).
    ///
    /// If the stream is full and no value has the key, the oldest value of all is displaced; with
    /// room for every key no key is ever lost. `key` runs as [`weigh`](Self::weigh) does. Keys are
    /// compared by 128 bits of keyed hash.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{Push, callback_stream};
    ///
    /// let (sink, stream) = callback_stream::<(&str, u32)>("prices")
    ///     .capacity(64)
    ///     .keep_latest_by(|(symbol, _)| *symbol)
    ///     .build();
    /// assert_eq!(sink.push(("oil", 70)), Push::Queued);
    /// assert_eq!(sink.push(("tin", 30)), Push::Queued);
    /// assert_eq!(sink.push(("oil", 71)), Push::Displaced(("oil", 70)));
    /// drop(sink);
    /// assert_eq!(block_on(stream.collect::<Vec<_>>()), [("oil", 71), ("tin", 30)]);
    /// ```
    #[must_use]
    pub fn keep_latest_by<K: Hash>(
        mut self,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> CallbackStreamBuilder<T, Chosen> {
        // Hashed here, on the pushing thread, so that no code of the key's runs under the lock.
        // Two independent halves: 128 bits do not collide by chance, and not by design either.
        let (high, low) = (RandomState::new(), RandomState::new());
        self.hooks.key = Some(Box::new(move |value| {
            let key = key(value);
            u128::from(high.hash_one(&key)) << 64 | u128::from(low.hash_one(&key))
        }));
        self.chosen(Policy::KeepLatest)
    }

    /// Tells the SDK to pause at `high` and to resume at `low`, by its own flow control.
    ///
    /// `on_pause` is called once the stream holds `high` or more (permits count as held),
    /// `on_resume` once it holds `low` or less. They alternate exactly, beginning with `on_pause`;
    /// never run at the same time, nor under a lock; and are called no more after the close. Both
    /// run on the thread that crossed the mark, or that is calling the other one: a pushing thread
    /// or the consumer's. They must not block; what blocks belongs into a
    /// [`BlockingPool`]. A panic in them is logged and counted.
    ///
    /// # Panics
    ///
    /// If `low` is not less than `high`; in [`build`](CallbackStreamBuilder::build) if `high` is
    /// more than the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (told, calls) = mpsc::channel();
    /// let told_too = told.clone();
    /// let (sink, mut stream) = callback_stream("doc")
    ///     .capacity(4)
    ///     .overflow(Overflow::Fail)
    ///     .watermarks(1, 3, move || told.send("pause").unwrap(), move || {
    ///         told_too.send("resume").unwrap();
    ///     })
    ///     .build();
    /// (0..4).for_each(|value| assert!(sink.push(value).is_queued()));
    /// assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["pause"]);
    /// let mut batch = Vec::new();
    /// block_on(stream.next_batch(&mut batch, 2));
    /// assert_eq!(calls.try_iter().count(), 0);
    /// block_on(stream.next_batch(&mut batch, 1));
    /// assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["resume"]);
    /// ```
    #[must_use]
    pub fn watermarks(
        mut self,
        low: usize,
        high: usize,
        on_pause: impl Fn() + Send + Sync + 'static,
        on_resume: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        assert!(low < high, "the low watermark lies below the high one");
        self.flow = Some(Flow::new(low, high, on_pause, on_resume));
        self
    }

    /// Runs `hook` exactly once, when the stream stops taking values, on a thread of its own.
    ///
    /// This is the place to unregister the callback or drop the SDK's client: both tend to join
    /// the SDK's threads, which deadlocks on an executor's thread or inside a callback. A panic of
    /// the hook is logged. If the thread cannot be started, the hook runs where the stream was
    /// closed: exactly once outranks where.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{CloseReason, Overflow, callback_stream};
    /// use std::sync::mpsc;
    ///
    /// let (told, was_told) = mpsc::channel();
    /// let (_sink, stream) = callback_stream::<u32>("doc")
    ///     .overflow(Overflow::Block)
    ///     .on_close(move |reason| told.send(reason).unwrap())
    ///     .build();
    /// drop(stream);
    /// assert_eq!(was_told.recv().unwrap(), CloseReason::StreamDropped);
    /// ```
    #[must_use]
    pub fn on_close(mut self, hook: impl FnOnce(CloseReason) + Send + 'static) -> Self {
        self.on_close = Some(CloseHook {
            run: Box::new(hook),
            place: ClosePlace::OwnThread,
        });
        self
    }

    /// Like [`on_close`](Self::on_close), as a job of `pool`; a thread of its own if that is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Overflow, callback_stream};
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("sdk").threads(1).build();
    /// let (_sink, stream) = callback_stream::<u32>("doc")
    ///     .overflow(Overflow::Block)
    ///     .on_close_in(&pool, |_reason| println!("unsubscribed"))
    ///     .build();
    /// drop(stream);
    /// assert!(pool.shutdown(Duration::from_secs(5)).is_clean());
    /// assert_eq!(pool.stats().finished, 1);
    /// ```
    #[must_use]
    pub fn on_close_in(
        mut self,
        pool: &BlockingPool,
        hook: impl FnOnce(CloseReason) + Send + 'static,
    ) -> Self {
        let place = ClosePlace::Pool(pool.clone());
        self.on_close = Some(CloseHook {
            run: Box::new(hook),
            place,
        });
        self
    }

    /// Hands every value that is pushed after the close to `hook`; the push says
    /// [`Late`](crate::Push::Late).
    ///
    /// Without a hook such a value comes back as [`Closed`](crate::Push::Closed). Counted either
    /// way. Runs on the pushing thread, under no lock; a panic in it is logged and counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, Push, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc")
    ///     .overflow(Overflow::Block)
    ///     .on_late(|value: u32| println!("too late: {value}"))
    ///     .build();
    /// drop(stream);
    /// assert_eq!(sink.push(7), Push::Late);
    /// assert_eq!(sink.stats().late, 1);
    /// ```
    #[must_use]
    pub fn on_late(mut self, hook: impl Fn(T) + Send + Sync + 'static) -> Self {
        self.hooks.on_late = Some(Box::new(hook));
        self
    }

    fn chosen(self, policy: Policy) -> CallbackStreamBuilder<T, Chosen> {
        CallbackStreamBuilder {
            name: self.name,
            capacity: self.capacity,
            policy: Chosen(policy),
            on_close: self.on_close,
            hooks: self.hooks,
            flow: self.flow,
        }
    }
}

impl<T> CallbackStreamBuilder<T, Chosen> {
    /// Makes the two ends. Clone the sink for every thread; the stream is one task's.
    ///
    /// # Panics
    ///
    /// If the stream shall both weigh its values and keep the latest by key (a lighter value's
    /// place in line has no room for a heavier one), or if the high watermark is more than the
    /// capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) = callback_stream("doc").overflow(Overflow::Block).build();
    /// assert!(sink.push(7).is_queued());
    /// assert_eq!(block_on(stream.next()), Some(7));
    /// ```
    pub fn build(self) -> (Sink<T>, CallbackStream<T>) {
        let is_keyed = self.policy.0 == Policy::KeepLatest;
        assert!(
            !(is_keyed && self.hooks.weigh.is_some()),
            "a stream that keeps the latest by key does not weigh"
        );
        assert!(
            self.flow.as_ref().is_none_or(|it| it.high <= self.capacity),
            "the high watermark lies within the capacity"
        );
        let queue = Arc::new(Queue::new(
            Arc::from(self.name),
            self.capacity,
            self.policy.0,
            self.hooks,
            self.flow,
            self.on_close,
        ));
        (Sink::new(Arc::clone(&queue)), CallbackStream::new(queue))
    }
}

impl<T, Choice: fmt::Debug> fmt::Debug for CallbackStreamBuilder<T, Choice> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallbackStreamBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
