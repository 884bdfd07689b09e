//! A submitted future: the job the driver polls, and the handle its owner holds.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;

use super::JoinError;
use super::shared::{End, Permit, Shared};
use crate::context::warn_if_driving;
use crate::panic::{Panic, contain, discard, wake};
use crate::slot::Slot;
use crate::sync::{Arc, Instant, Mutex};

/// The result of a future that runs in a portal, for the thread or the task that wants it.
///
/// It is a future itself, for a waiter on another executor (or on the same one). Dropping it
/// detaches: the future runs on and its result is dropped. To stop it, call
/// [`cancel`](Self::cancel).
#[must_use = "the result of the future is in here; drop it to detach"]
pub struct PortalHandle<T> {
    inner: Arc<Inner<T>>,
    shared: Arc<Shared>,
}

impl<T> PortalHandle<T> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// [`JoinError::Cancelled`], [`JoinError::Panicked`] and [`JoinError::PortalClosed`] say how
    /// the future ended; it has been dropped by then. [`JoinError::WouldDeadlock`] if this thread
    /// is polling this portal's driver: then the future goes on, unheard.
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only.
    pub fn wait(self) -> Result<T, JoinError> {
        // Without a deadline the handle does not come back.
        self.wait_until(None)
            .unwrap_or(Err(JoinError::PortalClosed))
    }

    /// Waits for the result, at most `patience`.
    ///
    /// # Errors
    ///
    /// Gives the handle back when the time has passed. The inner result is as that of
    /// [`wait`](Self::wait).
    ///
    /// # Blocking
    ///
    /// Parks the thread: for plain threads only.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::Portal;
    /// use std::time::Duration;
    ///
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// // Nobody drives it yet.
    /// let handle = handle.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// drop(portal);
    /// futures::executor::block_on(driver);
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// ```
    pub fn wait_timeout(self, patience: Duration) -> Result<Result<T, JoinError>, Self> {
        self.wait_until(Some(patience))
    }

    /// Asks the driver to drop the future. The handle completes, with [`JoinError::Cancelled`],
    /// only after the future was dropped; or with its result, if that came first.
    pub fn cancel(&self) {
        self.inner.cancel();
    }

    /// Whether the result is there (or was taken).
    pub fn is_done(&self) -> bool {
        self.inner.slot.is_done()
    }

    fn wait_until(self, patience: Option<Duration>) -> Result<Result<T, JoinError>, Self> {
        if let Some(outcome) = self.inner.slot.take() {
            return Ok(outcome);
        }
        if let Some(deadlock) = self.shared.deadlock() {
            return Ok(Err(JoinError::WouldDeadlock(deadlock)));
        }
        warn_if_driving(&self.shared.name);
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        self.inner.slot.wait_until(deadline).ok_or(self)
    }
}

impl<T> Future for PortalHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.slot.poll_take(cx)
    }
}

impl<T> Drop for PortalHandle<T> {
    fn drop(&mut self) {
        self.inner.slot.abandon();
    }
}

impl<T> fmt::Debug for PortalHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PortalHandle")
            .field("portal", &self.shared.name)
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// Makes the two ends of a submission.
pub(super) fn job<F>(permit: Permit, future: F) -> (BoxFuture<'static, ()>, PortalHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let inner = Arc::new(Inner {
        slot: Slot::new(),
        wish: Mutex::new(Wish::default()),
    });
    let shared = Arc::clone(&permit.shared);
    let completer = Completer {
        inner: Arc::clone(&inner),
        permit: Some(permit),
    };
    (
        Box::pin(run(completer, future)),
        PortalHandle { inner, shared },
    )
}

/// Polls the future to its end, whichever that is. If this is dropped on the way, first the future
/// goes and then the completer, which tells the handle.
async fn run<F>(completer: Completer<F::Output>, future: F)
where
    F: Future,
{
    let mut future = pin!(Some(future));
    let outcome = poll_fn(|cx| {
        if completer.inner.is_cancelled(cx) {
            return Poll::Ready(Err(JoinError::Cancelled));
        }
        // It is there until the block below, which is reached only after this is ready.
        let Some(future) = future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        match contain(|| future.poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(JoinError::Panicked(panic))),
        }
    })
    .await;
    // Dropped before the news: whoever hears of the end can rely on the future's destructors.
    let outcome = match contain(|| future.set(None)) {
        Ok(()) => outcome,
        Err(panic) => Err(also_panicked(outcome, panic)),
    };
    completer.complete(outcome);
}

/// The outcome of a future whose destructor panicked: that panic, unless it panicked before.
fn also_panicked<T>(outcome: Result<T, JoinError>, panic: Panic) -> JoinError {
    match outcome {
        Err(JoinError::Panicked(first)) => JoinError::Panicked(first),
        other => {
            discard(other);
            JoinError::Panicked(panic)
        }
    }
}

struct Inner<T> {
    slot: Slot<Result<T, JoinError>>,
    wish: Mutex<Wish>,
}

/// Whether the owner wants the future stopped, and whom to wake for it.
#[derive(Default)]
struct Wish {
    is_cancelled: bool,
    job: Option<Waker>,
}

impl<T> Inner<T> {
    fn cancel(&self) {
        let mut wish = self.wish.lock();
        wish.is_cancelled = true;
        let job = wish.job.take();
        drop(wish);
        wake(job);
    }

    /// Whether to stop; if not, a later cancel wakes the job.
    fn is_cancelled(&self, cx: &Context<'_>) -> bool {
        let wish = self.wish.lock();
        if wish.is_cancelled {
            return true;
        }
        if wish
            .job
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            return false;
        }
        drop(wish);
        // Cloned without the lock; then looked at once more.
        let waker = cx.waker().clone();
        let mut wish = self.wish.lock();
        let stale = wish.job.replace(waker);
        let is_cancelled = wish.is_cancelled;
        drop(wish);
        discard(stale);
        is_cancelled
    }
}

/// Tells the handle, on every path: with the outcome, or, if dropped before, why there is none.
struct Completer<T> {
    inner: Arc<Inner<T>>,
    permit: Option<Permit>,
}

impl<T> Completer<T> {
    fn complete(mut self, outcome: Result<T, JoinError>) {
        let end = match &outcome {
            Ok(_) => End::Completed,
            Err(JoinError::Panicked(_)) => End::Panicked,
            Err(JoinError::Cancelled) => End::Cancelled,
            Err(_) => End::Closed,
        };
        self.finish(outcome, end);
    }

    fn finish(&mut self, outcome: Result<T, JoinError>, end: End) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        // First the place, then the news: whoever hears the result finds room.
        permit.end(end);
        let job = self.inner.wish.lock().job.take();
        discard(job);
        self.inner.slot.complete(outcome);
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let Some(permit) = &self.permit else { return };
        if permit.shared.is_cancelling() || self.inner.wish.lock().is_cancelled {
            self.finish(Err(JoinError::Cancelled), End::Cancelled);
        } else {
            self.finish(Err(JoinError::PortalClosed), End::Closed);
        }
    }
}
