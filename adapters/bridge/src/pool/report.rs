//! What a pool tells of itself: its counts, and what its shutdown found.

use crate::inventory::ThreadInfo;

/// What a pool's shutdown found.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::BlockingPool;
/// use std::time::Duration;
///
/// let pool = BlockingPool::builder().name("doc").threads(1).build();
/// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
/// let deaf = pool.run("deaf", move |_| is_finished.recv().is_err()).unwrap();
/// while pool.stats().running == 0 {
///     std::thread::yield_now();
/// }
/// let behind = pool.run("behind it", |_| true).unwrap();
/// let report = pool.shutdown(Duration::ZERO);
/// assert_eq!(report.never_started, ["behind it"]);
/// assert_eq!(report.abandoned[0].job.as_deref(), Some("deaf"));
/// drop(finish);
/// assert!(deaf.wait().unwrap() && behind.wait().is_err());
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many threads ended and were joined.
    pub joined: usize,
    /// The labels of the jobs that were accepted and did not start.
    pub never_started: Vec<String>,
    /// The threads that did not return in time, each with its job; those whose job was given up
    /// by its owner are in the state [`Abandoned`](crate::ThreadState::Abandoned).
    pub abandoned: Vec<ThreadInfo>,
}

impl ShutdownReport {
    /// Whether every accepted job ran and every thread ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("load", |_| 7).unwrap();
    /// assert!(pool.shutdown(Duration::from_secs(60)).is_clean());
    /// assert_eq!(job.wait().unwrap(), 7);
    /// ```
    pub fn is_clean(&self) -> bool {
        self.never_started.is_empty() && self.abandoned.is_empty()
    }
}

/// A pool's counts at one moment.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, PoolStats};
/// use std::time::Duration;
///
/// let pool = BlockingPool::builder().name("doc").build();
/// let _ = pool.run("boom", |_| panic!("no disk")).unwrap();
/// assert!(pool.shutdown(Duration::from_secs(60)).is_clean());
/// // At the end the books balance.
/// let PoolStats { accepted, finished, cancelled, never_started, .. } = pool.stats();
/// assert_eq!(accepted, finished + cancelled + never_started);
/// assert_eq!(pool.stats().panicked, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Threads that exist.
    pub threads: usize,
    /// Jobs that run.
    pub running: usize,
    /// Of those, jobs whose owner has given them up: see
    /// [`abandon_on_cancel`](crate::Job::abandon_on_cancel).
    pub abandoned: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Callers of `run_async` that wait for room.
    pub waiting: usize,
    /// Jobs accepted since the pool was made.
    pub accepted: u64,
    /// Jobs that have run to their end, panics included.
    pub finished: u64,
    /// Of those, jobs that ran on the thread of the job that waited for them.
    pub nested: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs cancelled before they started.
    pub cancelled: u64,
    /// Jobs that the shutdown dropped unrun.
    pub never_started: u64,
}
