//! Why a job was not taken, and why it has no result.

use std::fmt;
use std::io;

use crate::panic::Panic;

/// Work that a pool did not take, handed back.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::BlockingPool;
/// use std::time::Duration;
///
/// let pool = BlockingPool::builder().name("doc").build();
/// let _ = pool.shutdown(Duration::ZERO);
/// let busy = pool.run("late", |_| 7).unwrap_err();
/// assert_eq!(busy.to_string(), "the pool is shut down");
/// // The work comes back, to be run elsewhere.
/// let elsewhere = BlockingPool::builder().name("elsewhere").build();
/// assert_eq!(elsewhere.run("late", busy.into_job()).unwrap().wait().unwrap(), 7);
/// ```
pub struct Busy<F> {
    pub(super) work: F,
    pub(super) reason: BusyReason,
}

impl<F> Busy<F> {
    /// The work, as it was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// assert!(pool.shutdown(Duration::ZERO).is_clean());
    /// let text = String::from("moved into the work, and not lost");
    /// let busy = pool.run("late", move |_| text.len()).unwrap_err();
    /// let elsewhere = BlockingPool::builder().name("elsewhere").build();
    /// assert_eq!(elsewhere.run("late", busy.into_job()).unwrap().wait().unwrap(), 33);
    /// ```
    pub fn into_job(self) -> F {
        self.work
    }

    /// Why it was not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, BusyReason};
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// assert!(pool.shutdown(Duration::ZERO).is_clean());
    /// let busy = pool.run("late", |_| ()).unwrap_err();
    /// assert!(matches!(busy.reason(), BusyReason::ShutDown));
    /// ```
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
///
/// # Examples
///
/// ```
/// use mayhem_bridge::BusyReason;
///
/// // What is worth trying again, and what never will be.
/// let is_worth_a_retry = |reason: &BusyReason| !matches!(reason, BusyReason::ShutDown);
/// assert!(is_worth_a_retry(&BusyReason::Full));
/// assert!(!is_worth_a_retry(&BusyReason::ShutDown));
/// assert_eq!(BusyReason::Full.to_string(), "the pool's threads and its queue are full");
/// ```
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
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingError, BlockingPool};
///
/// let pool = BlockingPool::builder().name("doc").build();
/// let outcome = pool.run("boom", |_| panic!("no disk")).unwrap().wait();
/// let error: BlockingError = outcome.map(|()| ()).unwrap_err();
/// assert_eq!(error.to_string(), "the job panicked: no disk");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockingError {
    /// The work panicked.
    Panicked(Panic),
    /// The job was cancelled before it started; it did not run.
    Cancelled,
    /// The job was cancelled while it ran, under
    /// [`abandon_on_cancel`](crate::Job::abandon_on_cancel): it runs on, and its result will be
    /// dropped.
    Abandoned,
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
            Self::Abandoned => formatter.write_str("the job was abandoned while it ran"),
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
            Self::Panicked(_) | Self::Cancelled | Self::Abandoned | Self::PoolClosed => None,
        }
    }
}

/// A job was asked to stop: see
/// [`JobContext::check_cancelled`](crate::JobContext::check_cancelled).
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, Cancelled, JobContext};
///
/// // Between two steps that take long.
/// fn copy(cx: &JobContext) -> Result<u32, Cancelled> {
///     (0..3).try_fold(0, |copied, _| cx.check_cancelled().map(|()| copied + 1))
/// }
///
/// let pool = BlockingPool::builder().name("doc").build();
/// assert_eq!(pool.run("copy", copy).unwrap().wait().unwrap(), Ok(3));
/// assert_eq!(Cancelled.to_string(), "the job was asked to stop");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the job was asked to stop")
    }
}

impl std::error::Error for Cancelled {}
