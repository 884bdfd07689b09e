//! One job: what runs, what it can ask, and what its owner holds.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::shared::Shared;
use super::{BlockingError, Cancelled};
use crate::panic::contain;
use crate::slot::Slot;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Instant, Weak};

/// A job of a [`BlockingPool`](crate::BlockingPool): a future of its result.
///
/// Dropping it detaches: the work still runs, its result is dropped.
#[must_use = "the result of the work is in here; drop it to detach"]
pub struct Job<R> {
    id: u64,
    context: Arc<JobContext>,
    slot: Arc<Slot<Result<R, BlockingError>>>,
    pool: Weak<Shared>,
}

impl<R> Job<R> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// As the future: see [`BlockingError`].
    ///
    /// # Blocking
    ///
    /// Parks the thread. Not for an executor's thread, and not for a job of the same pool: when
    /// all its threads wait like that, they wait for ever.
    pub fn wait(self) -> Result<R, BlockingError> {
        let outcome = self.slot.wait_until(None);
        // Without a deadline the wait ends only with an outcome; only we could have taken it.
        outcome.unwrap_or(Err(BlockingError::PoolClosed))
    }

    /// Waits for the result, at most `patience`.
    ///
    /// # Errors
    ///
    /// Gives the job back when the time has passed; nothing is lost.
    ///
    /// # Blocking
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, patience: Duration) -> Result<Result<R, BlockingError>, Self> {
        let deadline = Instant::now().checked_add(patience);
        self.slot.wait_until(deadline).ok_or(self)
    }

    /// Cancels the job if it has not started: it will not run, and its work is dropped here. If it
    /// has started, asks it to stop through its [`JobContext`]; the result is then what it returns.
    pub fn cancel(&self) {
        self.context.cancel();
        if let Some(pool) = self.pool.upgrade() {
            pool.cancel(self.id);
        }
    }

    /// Whether the result is there (or was taken).
    pub fn is_done(&self) -> bool {
        self.slot.is_done()
    }

    /// The label given to `run`.
    pub fn label(&self) -> &str {
        &self.context.label
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, BlockingError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll_take(cx)
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        self.slot.abandon();
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Job")
            .field("label", &self.context.label)
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// What a running job can ask.
#[derive(Debug)]
pub struct JobContext {
    label: Cow<'static, str>,
    pool: Arc<str>,
    is_cancelled: AtomicBool,
}

impl JobContext {
    /// Whether the job was asked to stop, by its owner or by the pool's shutdown.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Ends the job early, with `?`, if it was asked to stop.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingPool, Cancelled};
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("endless", |cx| -> Result<(), Cancelled> {
    ///     loop {
    ///         cx.check_cancelled()?;
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// let job = job.unwrap();
    /// while pool.stats().running == 0 {
    ///     std::thread::yield_now();
    /// }
    /// job.cancel();
    /// assert_eq!(job.wait().unwrap(), Err(Cancelled));
    /// ```
    pub fn check_cancelled(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// The job's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The pool's name.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    pub(super) fn cancel(&self) {
        // Release: what the canceller did before is seen by a job that sees the flag.
        self.is_cancelled.store(true, Ordering::Release);
    }

    pub(super) fn label_cow(&self) -> Cow<'static, str> {
        self.label.clone()
    }
}

/// A job as its maker knows it, with the types of its work and its result.
pub(super) struct Task<F, R> {
    context: Arc<JobContext>,
    work: F,
    slot: Arc<Slot<Result<R, BlockingError>>>,
}

impl<F, R> Task<F, R> {
    pub(super) fn new(label: Cow<'static, str>, pool: Arc<str>, work: F) -> Box<Self> {
        let is_cancelled = AtomicBool::new(false);
        let context = Arc::new(JobContext {
            label,
            pool,
            is_cancelled,
        });
        Box::new(Self {
            context,
            work,
            slot: Arc::new(Slot::new()),
        })
    }

    /// What makes the owner's end of the task, once the pool has accepted it. Not before: a [`Job`]
    /// that is dropped abandons its result.
    pub(super) fn on_accept(&self, pool: &Arc<Shared>) -> impl FnOnce(u64) -> Job<R> + use<F, R> {
        let (context, slot) = (Arc::clone(&self.context), Arc::clone(&self.slot));
        let pool = Arc::downgrade(pool);
        move |id| Job {
            id,
            context,
            slot,
            pool,
        }
    }

    pub(super) fn into_work(self) -> F {
        self.work
    }
}

/// A job as the pool knows it.
pub(super) trait Runnable: Send {
    fn context(&self) -> &Arc<JobContext>;

    /// Runs the work, and hands its outcome to the closure that is returned: called after the
    /// thread is free again, it tells whoever waits. The flag says whether the work panicked.
    fn run(self: Box<Self>) -> (bool, Box<dyn FnOnce() + Send>);

    /// Completes the job unrun and drops its work.
    fn refuse(self: Box<Self>, error: BlockingError);
}

impl<F, R> Runnable for Task<F, R>
where
    F: FnOnce(&JobContext) -> R + Send,
    F: 'static,
    R: Send + 'static,
{
    fn context(&self) -> &Arc<JobContext> {
        &self.context
    }

    fn run(self: Box<Self>) -> (bool, Box<dyn FnOnce() + Send>) {
        let Self {
            context,
            work,
            slot,
        } = *self;
        let outcome = contain(move || work(&context)).map_err(BlockingError::Panicked);
        let panicked = outcome.is_err();
        (panicked, Box::new(move || slot.complete(outcome)))
    }

    fn refuse(self: Box<Self>, error: BlockingError) {
        let Self { work, slot, .. } = *self;
        // First the work, then the news: whoever hears of it can rely on its destructors.
        crate::panic::discard(work);
        slot.complete(Err(error));
    }
}
