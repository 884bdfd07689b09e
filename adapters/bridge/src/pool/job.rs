//! One job: what its owner holds, and what the pool runs.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::nested::{self, Place};
use super::shared::Shared;
use super::{BlockingError, CancelToken, JobContext};
use crate::context::warn_if_driving;
use crate::panic::{contain, discard};
use crate::slot::Slot;
use crate::sync::{Arc, Instant, unique_id};

/// A job of a [`BlockingPool`](crate::BlockingPool): a future of its result.
///
/// Dropping it detaches: the work still runs, its result is dropped. With
/// [`abandon_on_cancel`](Self::abandon_on_cancel), dropping it cancels.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{BlockingError, BlockingPool};
///
/// let pool = BlockingPool::builder().name("doc").threads(1).build();
/// let job = pool.run("sum", |_| (1..=4).sum::<u32>()).unwrap();
/// assert_eq!(block_on(job).unwrap(), 10);
/// let broken = pool.run("broken", |_| -> u32 { panic!("no disk") }).unwrap();
/// assert!(matches!(broken.wait(), Err(BlockingError::Panicked(_))));
/// ```
#[must_use = "the result of the work is in here; drop it to detach"]
pub struct Job<R> {
    context: Arc<JobContext>,
    slot: Arc<Slot<Result<R, BlockingError>>>,
    /// Where it was last awaited, if that was in the name of another job.
    awaited: Option<Place>,
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
    /// Parks the thread: for plain threads, and for jobs. In a job of the same pool, or of one with
    /// the same [`Limiter`](crate::Limiter), it runs the work right here if it has not started and
    /// no free thread is coming for it: see [`BlockingPool`](crate::BlockingPool#nesting). On an
    /// executor's thread it waits as well, and a warning is logged once per thread: see
    /// [`ContextProbe`](crate::ContextProbe).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let inner = pool.clone();
    /// // In a job, for a job of the same pool, which has one thread: it is enough for both.
    /// let outer = pool.run("outer", move |_| inner.run("inner", |_| 7).unwrap().wait().unwrap());
    /// assert_eq!(outer.unwrap().wait().unwrap(), 7);
    /// ```
    pub fn wait(self) -> Result<R, BlockingError> {
        self.run_here_if_nobody_will();
        if !self.slot.is_done() {
            warn_if_driving(self.context.pool());
        }
        // Without a deadline the wait ends only with an outcome; only we could have taken it.
        nested::wait_helping(&self.slot).unwrap_or(Err(BlockingError::PoolClosed))
    }

    /// Waits for the result, at most `patience`.
    ///
    /// # Errors
    ///
    /// Gives the job back when the time has passed; nothing is lost.
    ///
    /// # Blocking
    ///
    /// Parks the thread up to `patience`, in a job too: it runs nothing here, for that could take
    /// longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::Duration;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let job = pool.run("slow", move |_| is_finished.recv().is_err()).unwrap();
    /// let job = job.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// drop(finish);
    /// assert!(job.wait().unwrap());
    /// ```
    pub fn wait_timeout(self, patience: Duration) -> Result<Result<R, BlockingError>, Self> {
        if !self.slot.is_done() {
            warn_if_driving(self.context.pool());
        }
        let deadline = Instant::now().checked_add(patience);
        self.slot.wait_until(deadline).ok_or(self)
    }

    /// Cancels the job if it has not started: it will not run, its work is dropped here, and the
    /// result is [`BlockingError::Cancelled`]. If it has started, asks it to stop through its
    /// [`JobContext`]; the result is then what it returns, or, with
    /// [`abandon_on_cancel`](Self::abandon_on_cancel), [`BlockingError::Abandoned`] at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingError, BlockingPool};
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let running = pool.run("runs", move |_| is_finished.recv().is_err()).unwrap();
    /// let queued = pool.run("has not started", |_| ()).unwrap();
    /// queued.cancel();
    /// assert!(matches!(queued.wait(), Err(BlockingError::Cancelled)));
    /// drop(finish);
    /// assert!(running.wait().unwrap());
    /// ```
    pub fn cancel(&self) {
        self.context.token().cancel();
    }

    /// The job's cancel token: cancels it from elsewhere, while it is awaited here.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run("load", |_| 1).unwrap();
    /// let token = job.cancel_token();
    /// assert_eq!(job.wait().unwrap(), 1);
    /// // After the end it changes nothing any more.
    /// token.cancel();
    /// assert_eq!(pool.stats().cancelled, 0);
    /// ```
    pub fn cancel_token(&self) -> CancelToken {
        self.context.cancel_token()
    }

    /// Whether the owner of a cancelled job does not wait until its work returns (default: no).
    ///
    /// With `true`, a cancel of the running job ends the wait for it at once, with
    /// [`BlockingError::Abandoned`], and dropping this handle before the end cancels the job. A
    /// thread cannot be stopped, so the work goes on until it returns: until then its thread and
    /// its permit of a [`Limiter`](crate::Limiter) stay taken, [`PoolStats::abandoned`] counts it,
    /// and the inventory and the shutdown's report show the thread as
    /// [`Abandoned`](crate::ThreadState::Abandoned), with its label.
    ///
    /// [`PoolStats::abandoned`]: crate::PoolStats::abandoned
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::block_on;
    /// use mayhem_bridge::{BlockingError, BlockingPool};
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let job = pool.run("deaf", move |_| is_finished.recv().unwrap_or(())).unwrap();
    /// let job = job.abandon_on_cancel(true);
    /// while pool.stats().running == 0 {
    ///     std::thread::yield_now();
    /// }
    ///
    /// job.cancel();
    /// assert!(matches!(block_on(job), Err(BlockingError::Abandoned)));
    /// assert_eq!((pool.stats().running, pool.stats().abandoned), (1, 1));
    /// drop(finish);
    /// # assert!(pool.shutdown(std::time::Duration::from_secs(60)).is_clean());
    /// # assert_eq!(pool.stats().abandoned, 0);
    /// ```
    pub fn abandon_on_cancel(self, abandons: bool) -> Self {
        self.context.token().set_abandons(abandons);
        self
    }

    /// Whether the result is there (or was taken).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    /// let job = pool.run("slow", move |_| is_finished.recv().is_err()).unwrap();
    /// assert!(!job.is_done());
    /// drop(finish);
    /// while !job.is_done() {
    ///     std::thread::yield_now();
    /// }
    /// assert!(job.wait().unwrap());
    /// ```
    pub fn is_done(&self) -> bool {
        self.slot.is_done()
    }

    /// The label given to `run`.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    ///
    /// let pool = BlockingPool::builder().name("doc").build();
    /// let job = pool.run(format!("load {}", 7), |_| ()).unwrap();
    /// assert_eq!(job.label(), "load 7");
    /// ```
    pub fn label(&self) -> &str {
        self.context.label()
    }

    fn run_here_if_nobody_will(&self) {
        if let Some(pool) = self.context.token().pool() {
            nested::run_here_if_nobody_will(&pool, self.context.token().id());
        }
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = self.slot.poll_take(cx);
        if outcome.is_ready() {
            return outcome;
        }
        let Some(pool) = self.context.token().pool() else {
            return outcome;
        };
        // Only now, with the waker in its place: whoever runs it now also tells us.
        let awaited = nested::await_in_the_name_of_a_job(&pool, self.context.token().id());
        if let Some(place) = awaited {
            self.awaited = Some(place);
        }
        self.slot.poll_take(cx)
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        if let Some(place) = self.awaited.take() {
            place.leave(self.context.token().id());
        }
        if self.context.token().abandons() && !self.slot.is_done() {
            self.context.token().cancel();
        }
        self.slot.abandon();
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Job")
            .field("label", &self.label())
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// A job as its maker knows it, with the types of its work and its result.
pub(super) struct Task<F, R> {
    context: Arc<JobContext>,
    work: F,
    slot: Arc<Slot<Result<R, BlockingError>>>,
}

impl<F, R> Task<F, R> {
    pub(super) fn new(label: Cow<'static, str>, pool: &Arc<Shared>, work: F) -> Box<Self> {
        Box::new(Self {
            context: JobContext::new(label, pool, unique_id()),
            work,
            slot: Arc::new(Slot::new()),
        })
    }

    /// What makes the owner's end of the task, once the pool has accepted it. Not before: a [`Job`]
    /// that is dropped abandons its result.
    pub(super) fn on_accept(&self) -> impl FnOnce() -> Job<R> + use<F, R> {
        let (context, slot) = (Arc::clone(&self.context), Arc::clone(&self.slot));
        move || Job {
            context,
            slot,
            awaited: None,
        }
    }

    pub(super) fn into_work(self) -> F {
        self.work
    }
}

/// A job as the pool knows it.
pub(super) trait Runnable: Send {
    fn context(&self) -> &Arc<JobContext>;

    /// Whoever waits for it.
    fn owner(&self) -> Arc<dyn Owner>;

    /// Runs the work, and hands its outcome to the closure that is returned: called after the
    /// thread is free again, it tells whoever waits. The flag says whether the work panicked.
    fn run(self: Box<Self>) -> (bool, Box<dyn FnOnce() + Send>);

    /// Completes the job unrun and drops its work.
    fn refuse(self: Box<Self>, error: BlockingError);
}

/// The owner of a running job, as the pool knows it.
pub(super) trait Owner: Send + Sync {
    /// Ends the wait for the job, whose outcome will be dropped.
    fn give_up(&self);
}

impl<R: Send> Owner for Slot<Result<R, BlockingError>> {
    fn give_up(&self) {
        self.complete(Err(BlockingError::Abandoned));
    }
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

    fn owner(&self) -> Arc<dyn Owner> {
        Arc::clone(&self.slot) as Arc<dyn Owner>
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
        discard(work);
        slot.complete(Err(error));
    }
}
