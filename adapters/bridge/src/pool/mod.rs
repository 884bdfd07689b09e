//! Blocking calls for async code: a bounded pool of named threads.
//!
//! Threads start when there is work for them and retire when idle. Accepted work runs, or is named
//! in the report of the shutdown; refused work is handed back. Bounded twice: by threads and by
//! waiting jobs.
//!
//! Deliberately absent: a global pool (whose threads are those?), priorities, and killing a thread
//! (impossible; a job is asked to stop through its [`JobContext`]).

mod builder;
mod ending;
mod error;
mod job;
mod limiter;
mod nested;
mod report;
mod room;
mod shared;
mod state;
mod token;
mod worker;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::inventory::ThreadInfo;
use crate::sync::Arc;

use job::Task;
use shared::{Bound, Refused, Shared};

pub use builder::BlockingPoolBuilder;
pub use error::{BlockingError, Busy, BusyReason, Cancelled};
pub use job::Job;
pub use limiter::{Limiter, LimiterStats};
pub use report::{PoolStats, ShutdownReport};
pub use token::{CancelToken, JobContext};

pub(crate) use nested::{Lineage, wait_helping};

/// A bounded pool of named threads for blocking work. Clones share the threads.
///
/// When the last clone is dropped the pool takes no more work; its threads finish what was
/// accepted and end, unwatched. Call [`shutdown`](Self::shutdown) to wait for them.
///
/// # Nesting
///
/// A job may wait for another job of its own pool, or of a pool with the same [`Limiter`], without
/// a thread or a permit to spare: what has not started when [`Job::wait`] is called, and has no
/// free thread coming, runs right there, on the waiting thread and under its permit. The same goes
/// for jobs that the waiting job reaches through a portal (`portal.call(async { pool.run_async(..)
/// .await })`), and for those that it polls itself (`block_on` in a job). Not covered, and so able
/// to wait for ever: a wait with a deadline (it ends with that), a wait by other means such as a
/// channel, a task that the portal's future has spawned elsewhere, and a circle over pools that
/// share neither threads nor limiter.
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
    last_handle: Arc<shared::LastHandle>,
}

impl BlockingPool {
    /// Starts configuring a pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().build();
    /// assert_eq!(pool.name(), "blocking");
    /// ```
    pub fn builder() -> BlockingPoolBuilder {
        BlockingPoolBuilder::new()
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
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, BusyReason};
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).queue(0).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let job = pool.run("first", move |_| is_finished.recv().is_err()).unwrap();
    /// let busy = pool.run("second", |_| 2).unwrap_err();
    /// assert!(matches!(busy.reason(), BusyReason::Full));
    /// drop(finish);
    /// assert!(job.wait().unwrap());
    /// ```
    pub fn run<F, R>(&self, label: impl Into<Cow<'static, str>>, work: F) -> Result<Job<R>, Busy<F>>
    where
        F: FnOnce(&JobContext) -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = Task::new(label.into(), &self.shared, work);
        room::submit(&self.shared, task, Bound::Queue).map_err(|refused| {
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
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let length = block_on(pool.run_async("read", |_| "a blocking read".len()));
    /// assert_eq!(length.unwrap(), 15);
    /// ```
    pub async fn run_async<F, R>(
        &self,
        label: impl Into<Cow<'static, str>>,
        work: F,
    ) -> Result<R, BlockingError>
    where
        F: FnOnce(&JobContext) -> R + Send + 'static,
        R: Send + 'static,
    {
        let task = Task::new(label.into(), &self.shared, work);
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
    /// Parks the thread up to `within`: not for an executor's thread, which has
    /// [`shutdown_async`](Self::shutdown_async). Called from a job of this pool it does not wait
    /// for that job's own thread, and names it as abandoned.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let job = pool.run("deaf", |cx| while !cx.is_cancelled() {}).unwrap();
    /// let report = pool.shutdown(Duration::from_millis(1));
    /// // At the deadline it was asked to stop, and named.
    /// assert_eq!(report.abandoned.len() + report.never_started.len(), 1);
    /// assert_eq!(job.wait().is_ok(), report.never_started.is_empty());
    /// ```
    pub fn shutdown(&self, within: Duration) -> ShutdownReport {
        self.shared.shutdown(within)
    }

    /// As [`shutdown`](Self::shutdown), for a task; the deadline is when `deadline` is ready, which
    /// is a timer of your executor's.
    ///
    /// # Cancel safety
    ///
    /// Dropped on the way, the pool is closed: what was accepted still runs, and another shutdown
    /// can wait for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("load", |_| 1).unwrap();
    /// // `smol::Timer::after(..)` or `tokio::time::sleep(..)`, where there is one.
    /// let deadline = std::future::pending::<()>();
    /// assert!(block_on(pool.shutdown_async(deadline)).is_clean());
    /// assert_eq!(block_on(job).unwrap(), 1);
    /// ```
    pub async fn shutdown_async(&self, deadline: impl Future) -> ShutdownReport {
        self.shared.shutdown_async(deadline).await
    }

    /// The pool's threads at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, ThreadKind};
    ///
    /// let pool = BlockingPool::builder().name("store").build();
    /// assert!(pool.threads().is_empty(), "none without work");
    /// pool.run("load", |_| ()).unwrap().wait().unwrap();
    /// let threads = pool.threads();
    /// assert_eq!((threads[0].name.as_str(), threads[0].kind), ("store-1", ThreadKind::Pool));
    /// ```
    pub fn threads(&self) -> Vec<ThreadInfo> {
        self.shared.threads()
    }

    /// Counts of this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// pool.run("load", |_| ()).unwrap().wait().unwrap();
    /// let stats = pool.stats();
    /// assert_eq!((stats.accepted, stats.finished, stats.running), (1, 1, 0));
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }

    /// The pool's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// assert_eq!(BlockingPool::builder().name("store").build().name(), "store");
    /// ```
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

#[cfg(test)]
mod tests;
