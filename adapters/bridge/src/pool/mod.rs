//! Blocking calls for async code: a bounded pool of named threads.
//!
//! Threads start when there is work for them and retire when idle. Accepted work runs, or is named
//! in the report of the shutdown; refused work is handed back. Bounded twice: by threads and by
//! waiting jobs.
//!
//! Deliberately absent: a global pool (whose threads are those?), priorities, and killing a thread
//! (impossible; a job is asked to stop through its [`JobContext`]).

mod job;
mod room;
mod shared;
mod worker;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::inventory::ThreadInfo;
use crate::panic::Panic;
use crate::sync::Arc;

use job::Task;
use shared::{LastHandle, Refused, Shared};

pub use job::{Job, JobContext};

const THREADS_DEFAULT: usize = 4;
const QUEUE_DEFAULT: usize = 64;
const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(10);

/// A bounded pool of named threads for blocking work. Clones share the threads.
///
/// When the last clone is dropped the pool takes no more work; its threads finish what was
/// accepted and end, unwatched. Call [`shutdown`](Self::shutdown) to wait for them.
///
/// A job that waits for another job of the same pool can wait for ever, once all threads do so:
/// nest pools, not jobs.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::BlockingPool;
/// use std::time::Duration;
///
/// let pool = BlockingPool::builder().name("store").threads(2).queue(64).build();
/// let job = pool.run("load", |_| 2 + 2).unwrap();
/// assert_eq!(block_on(job).unwrap(), 4);
/// assert_eq!(block_on(pool.run_async("load again", |_| 3 + 3)).unwrap(), 6);
///
/// let report = pool.shutdown(Duration::from_secs(5));
/// assert!(report.abandoned.is_empty() && report.never_started.is_empty());
/// ```
#[derive(Clone)]
pub struct BlockingPool {
    shared: Arc<Shared>,
    #[expect(dead_code, reason = "held for its drop, which closes the pool")]
    last_handle: Arc<LastHandle>,
}

impl BlockingPool {
    /// Starts configuring a pool.
    pub fn builder() -> BlockingPoolBuilder {
        BlockingPoolBuilder {
            name: "blocking".to_owned(),
            threads: THREADS_DEFAULT,
            queue: QUEUE_DEFAULT,
            keep_alive: KEEP_ALIVE_DEFAULT,
        }
    }

    /// Runs `work` on a thread of the pool; `label` names it in the inventory and in reports.
    ///
    /// Never waits. The job is a future, and a thread can wait for it; dropping it detaches: the
    /// work still runs.
    ///
    /// # Errors
    ///
    /// [`Busy`] hands `work` back: all threads are taken and the queue is full, the pool is shut
    /// down, or it has no thread and none could be started.
    pub fn run<F, R>(&self, label: impl Into<Cow<'static, str>>, work: F) -> Result<Job<R>, Busy<F>>
    where
        F: FnOnce(&JobContext) -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = Task::new(label.into(), Arc::clone(&self.shared.name), work);
        room::submit(&self.shared, task).map_err(|refused| {
            let Refused { job, reason } = refused;
            Busy {
                work: job.into_work(),
                reason,
            }
        })
    }

    /// Waits for room, runs `work` on a thread of the pool and returns what it returned.
    ///
    /// # Errors
    ///
    /// [`BlockingError::Panicked`] if `work` panicked. [`BlockingError::PoolClosed`] if the pool is
    /// shut down before the work started, [`BlockingError::Spawn`] if no thread could be started:
    /// then it did not run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the work was accepted drops the work unrun; after that the work
    /// runs to its end, and its result is dropped. It is never cut in the middle.
    pub async fn run_async<F, R>(
        &self,
        label: impl Into<Cow<'static, str>>,
        work: F,
    ) -> Result<R, BlockingError>
    where
        F: FnOnce(&JobContext) -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = Task::new(label.into(), Arc::clone(&self.shared.name), work);
        self.admit(task).await?.await
    }

    /// Takes no more work, finishes what was accepted, and waits for the threads, at most `within`.
    ///
    /// At the deadline the jobs that have not started are dropped and named in the report (their
    /// waiters get [`BlockingError::PoolClosed`]), and those that run are asked to stop through
    /// their [`JobContext`] and named as abandoned: their threads end when they return. Calling it
    /// again waits again for what was abandoned.
    ///
    /// # Blocking
    ///
    /// Parks the thread up to `within`: not for an executor's thread. Called from a job of this
    /// pool it does not wait for that job's own thread, and names it as abandoned.
    pub fn shutdown(&self, within: Duration) -> ShutdownReport {
        self.shared.shutdown(within)
    }

    /// The pool's threads at this moment.
    pub fn threads(&self) -> Vec<ThreadInfo> {
        self.shared.threads()
    }

    /// Counts of this moment.
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BlockingPool")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Configures a [`BlockingPool`].
#[derive(Clone, Debug)]
pub struct BlockingPoolBuilder {
    name: String,
    threads: usize,
    queue: usize,
    keep_alive: Duration,
}

impl BlockingPoolBuilder {
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

    /// Makes the pool. No thread starts before there is work.
    pub fn build(self) -> BlockingPool {
        let shared = Shared::new(
            Arc::from(self.name),
            self.threads,
            self.queue,
            self.keep_alive,
        );
        let last_handle = LastHandle::new(Arc::clone(&shared));
        BlockingPool {
            shared,
            last_handle: Arc::new(last_handle),
        }
    }
}

/// Work that a pool did not take, handed back.
pub struct Busy<F> {
    work: F,
    reason: BusyReason,
}

impl<F> Busy<F> {
    /// The work, as it was given.
    pub fn into_job(self) -> F {
        self.work
    }

    /// Why it was not taken.
    pub fn reason(&self) -> &BusyReason {
        &self.reason
    }
}

impl<F> fmt::Debug for Busy<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Busy").field(&self.reason).finish()
    }
}

impl<F> fmt::Display for Busy<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(formatter)
    }
}

impl<F> std::error::Error for Busy<F> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            BusyReason::SpawnFailed(error) => Some(error),
            BusyReason::Full | BusyReason::ShutDown => None,
        }
    }
}

/// Why a pool did not take a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum BusyReason {
    /// All threads work and the queue is full.
    Full,
    /// The pool takes no more work.
    ShutDown,
    /// The pool has no thread and the operating system did not give it one.
    SpawnFailed(io::Error),
}

impl fmt::Display for BusyReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the pool's threads and its queue are full",
            Self::ShutDown => "the pool is shut down",
            Self::SpawnFailed(_) => "no thread could be started",
        })
    }
}

/// Why a job has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockingError {
    /// The work panicked.
    Panicked(Panic),
    /// The job was cancelled before it started; it did not run.
    Cancelled,
    /// The pool was shut down before the job started; it did not run.
    PoolClosed,
    /// No thread could be started; the job did not run.
    Spawn(io::Error),
}

impl fmt::Display for BlockingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(formatter, "the job {panic}"),
            Self::Cancelled => formatter.write_str("the job was cancelled before it started"),
            Self::PoolClosed => {
                formatter.write_str("the pool was shut down before the job started")
            }
            Self::Spawn(_) => formatter.write_str("no thread could be started for the job"),
        }
    }
}

impl std::error::Error for BlockingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn(error) => Some(error),
            Self::Panicked(_) | Self::Cancelled | Self::PoolClosed => None,
        }
    }
}

/// A job was asked to stop; see [`JobContext::check_cancelled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the job was asked to stop")
    }
}

impl std::error::Error for Cancelled {}

/// What a pool's shutdown found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many threads ended and were joined.
    pub joined: usize,
    /// The labels of the jobs that were accepted and did not start.
    pub never_started: Vec<String>,
    /// The threads that did not return in time, each with its job.
    pub abandoned: Vec<ThreadInfo>,
}

impl ShutdownReport {
    /// Whether every accepted job ran and every thread ended.
    pub fn is_clean(&self) -> bool {
        self.never_started.is_empty() && self.abandoned.is_empty()
    }
}

/// A pool's counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Threads that exist.
    pub threads: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Callers of `run_async` that wait for room.
    pub waiting: usize,
    /// Jobs accepted since the pool was made.
    pub accepted: u64,
    /// Jobs that have run to their end, panics included.
    pub finished: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs cancelled before they started.
    pub cancelled: u64,
    /// Jobs that the shutdown dropped unrun.
    pub never_started: u64,
}

#[cfg(test)]
mod tests;
