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
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a pool has at least one thread");
        self.threads = threads;
        self
    }

    /// How many jobs may wait for a thread (default 64); with 0 a job needs a free thread.
    #[must_use]
    pub fn queue(mut self, queue: usize) -> Self {
        self.queue = queue;
        self
    }

    /// How long a thread stays without work (default 10 s).
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Has every job of the pool hold a permit of `limiter` while it runs (default: none needed).
    ///
    /// Give the same limiter to several pools to bound what they run together.
    #[must_use]
    pub fn limiter(mut self, limiter: &Limiter) -> Self {
        self.limiter = Some(limiter.clone());
        self
    }

    /// Makes the pool. No thread starts before there is work.
    pub fn build(self) -> BlockingPool {
        let shared = Shared::new(self);
        let last_handle = LastHandle::new(Arc::clone(&shared));
        BlockingPool {
            shared,
            last_handle: Arc::new(last_handle),
        }
    }
}
