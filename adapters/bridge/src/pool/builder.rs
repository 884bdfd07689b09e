//! How a pool is configured.

use std::time::Duration;

use super::BlockingPool;
use super::limiter::Limiter;
use super::shared::{LastHandle, Shared};
use crate::sync::Arc;

const THREADS_DEFAULT: usize = 4;
const QUEUE_DEFAULT: usize = 64;
const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(10);

/// Configures a [`BlockingPool`].
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, Limiter};
/// use std::time::Duration;
///
/// let limiter = Limiter::new(3);
/// let pool = BlockingPool::builder()
///     .name("store")
///     .threads(2)
///     .queue(64)
///     .keep_alive(Duration::from_secs(1))
///     .limiter(&limiter)
///     .build();
/// let name = pool.run("name", |_| std::thread::current().name().map(str::to_owned)).unwrap();
/// assert_eq!(name.wait().unwrap().as_deref(), Some("store-1"));
/// ```
#[derive(Clone, Debug)]
pub struct BlockingPoolBuilder {
    pub(super) name: String,
    pub(super) threads: usize,
    pub(super) queue: usize,
    pub(super) keep_alive: Duration,
    pub(super) limiter: Option<Limiter>,
}

impl BlockingPoolBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "blocking".to_owned(),
            threads: THREADS_DEFAULT,
            queue: QUEUE_DEFAULT,
            keep_alive: KEEP_ALIVE_DEFAULT,
            limiter: None,
        }
    }

    /// The pool's name (default `blocking`); its threads are called `NAME-1`, `NAME-2`, …
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("store").build();
    /// assert_eq!(pool.name(), "store");
    /// pool.run("load", |_| ()).unwrap().wait().unwrap();
    /// assert_eq!(pool.threads()[0].name, "store-1");
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many threads there are at most (default 4).
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let jobs = [1, 2, 3].map(|value| pool.run("load", move |_| value).unwrap());
    /// assert_eq!(jobs.map(|job| job.wait().unwrap()), [1, 2, 3]);
    /// assert_eq!(pool.stats().threads, 1);
    /// ```
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a pool has at least one thread");
        self.threads = threads;
        self
    }

    /// How many jobs may wait for a thread (default 64); with 0 a job needs a free thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).queue(1).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let running = pool.run("runs", move |_| is_finished.recv().is_err()).unwrap();
    /// let queued = pool.run("waits", |_| true).unwrap();
    /// assert!(pool.run("has no place", |_| true).is_err());
    /// drop(finish);
    /// assert!(running.wait().unwrap() && queued.wait().unwrap());
    /// ```
    #[must_use]
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = queue;
        self
    }

    /// How long a thread stays without work (default 10 s).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::Duration;
    ///
    /// // For calls that come once a day: no thread in between.
    /// let pool = BlockingPool::builder().name("doc").keep_alive(Duration::ZERO).build();
    /// pool.run("nightly", |_| ()).unwrap().wait().unwrap();
    /// while pool.stats().threads > 0 {
    ///     std::thread::yield_now();
    /// }
    /// pool.run("nightly", |_| ()).unwrap().wait().unwrap();
    /// assert_eq!(pool.stats().finished, 2);
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Has every job of the pool hold a permit of `limiter` while it runs (default: none needed).
    ///
    /// Give the same limiter to several pools to bound what they run together.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Limiter};
    ///
    /// let disk = Limiter::new(1);
    /// let pool = BlockingPool::builder().name("doc").threads(8).limiter(&disk).build();
    /// let seen = disk.clone();
    /// let held = pool.run("write", move |_| seen.stats().held).unwrap();
    /// assert_eq!(held.wait().unwrap(), 1);
    /// ```
    #[must_use]
    pub fn limiter(mut self, limiter: &Limiter) -> Self {
        self.limiter = Some(limiter.clone());
        self
    }

    /// Makes the pool. No thread starts before there is work.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// assert_eq!(pool.stats().threads, 0);
    /// pool.run("first", |_| ()).unwrap().wait().unwrap();
    /// assert_eq!(pool.stats().threads, 1);
    /// ```
    pub fn build(self) -> BlockingPool {
        let shared = Shared::new(self);
        let last_handle = LastHandle::new(Arc::clone(&shared));
        BlockingPool {
            shared,
            last_handle: Arc::new(last_handle),
        }
    }
}
