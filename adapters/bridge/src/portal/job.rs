//! An accepted future, from the driver's side: polled to its end, whichever that is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::error::JoinError;
use super::shared::{End, Entry, Shared};
use crate::panic::{Panic, contain, discard, wake};
use crate::pool::Lineage;
use crate::slot::Slot;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, bug};

/// What a job and its handle share: the outcome on the way out, the wish to stop on the way in.
pub(super) struct Ticket<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot<Result<T, JoinError>>,
    is_cancelled: AtomicBool,
    /// The job's waker, for a cancel.
    job: Mutex<Option<Waker>>,
}

impl<T> Ticket<T> {
    /// Asks the job to stop, and wakes it for that.
    pub(super) fn cancel(&self) {
        // Release, and before the lock: a job that leaves its waker after this looks again.
        self.is_cancelled.store(true, Ordering::Release);
        let job = self.job.lock().take();
        if bug("a_cancel_is_told_before_the_drop") {
            self.slot.complete(Err(JoinError::Cancelled));
        }
        wake(job);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Has a later cancel wake the job.
    fn note_waker(&self, waker: &Waker) {
        let known = self.job.lock();
        if known.as_ref().is_some_and(|it| it.will_wake(waker)) {
            return;
        }
        drop(known);
        // Cloned without the lock, for a waker is user code.
        let waker = waker.clone();
        let stale = self.job.lock().replace(waker);
        discard(stale);
    }
}

/// A place taken, until something ends in it. Dropped before that, it tells the handle why there
/// is no result.
pub(super) struct Permit<T> {
    ticket: Arc<Ticket<T>>,
    is_ended: bool,
    /// The ticket may hold a waker of ours.
    has_waker: bool,
    /// The pool's job that has submitted this, if it was one.
    lineage: Option<Lineage>,
}

impl<T> Permit<T> {
    /// To be made right after a successful `reserve`.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let ticket = Ticket {
            shared: Arc::clone(shared),
            slot: Slot::new(),
            is_cancelled: AtomicBool::new(false),
            job: Mutex::new(None),
        };
        Self {
            ticket: Arc::new(ticket),
            is_ended: false,
            has_waker: false,
            lineage: Lineage::current(),
        }
    }

    pub(super) fn ticket(&self) -> Arc<Ticket<T>> {
        Arc::clone(&self.ticket)
    }

    fn end(&mut self, outcome: Result<T, JoinError>) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let end = match &outcome {
            Ok(_) => End::Completed,
            Err(JoinError::Panicked(_)) => End::Panicked,
            Err(JoinError::Cancelled) => End::Cancelled,
            Err(_) => End::Closed,
        };
        if self.has_waker {
            let job = self.ticket.job.lock().take();
            discard(job);
        }
        // First the place, then the news: whoever hears the result finds room.
        self.ticket.shared.end(end);
        self.ticket.slot.complete(outcome);
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        let is_cancelled = self.ticket.is_cancelled() || self.ticket.shared.is_cancelling();
        self.end(Err(if is_cancelled {
            JoinError::Cancelled
        } else {
            JoinError::PortalClosed
        }));
    }
}

/// A job made of a future that may move between threads.
pub(super) fn job<F>(permit: Permit<F::Output>, future: F) -> Entry
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let work = future;
    Entry::Job(Box::pin(run(Accepted { work, permit })))
}

/// A job whose future is made on the driver's thread, at its first poll.
pub(super) fn job_within<M, F>(permit: Permit<F::Output>, make: M) -> Entry
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let accepted = Accepted { work: make, permit };
    Entry::Make(Box::new(move || Box::pin(run(accepted.into_future()))))
}

/// A future, or what makes it, and the place it was accepted into.
///
/// In this order, and never apart before the first poll: if they are dropped unpolled, first the
/// work goes and then the place, which tells the handle.
struct Accepted<W, T> {
    work: W,
    permit: Permit<T>,
}

impl<W, T> Accepted<W, T> {
    /// Has the future made by its first poll, inside the job, where a panic is contained.
    fn into_future<F>(self) -> Accepted<impl Future<Output = T>, T>
    where
        W: FnOnce() -> F,
        F: Future<Output = T>,
    {
        let Self { work: make, permit } = self;
        let work = async move { make().await };
        Accepted { work, permit }
    }
}

/// Polls the future to its end. If this is dropped on the way, first the future goes and then the
/// place, as before.
async fn run<F: Future>(accepted: Accepted<F, F::Output>) {
    let Accepted {
        work: future,
        mut permit,
    } = accepted;
    let mut future = pin!(Some(future));
    let outcome = poll_fn(|cx| poll_once(&mut permit, future.as_mut().as_pin_mut(), cx)).await;
    // Dropped before the news: whoever hears of the end can rely on the future's destructors.
    let outcome = match contain(|| future.set(None)) {
        Ok(()) => outcome,
        Err(panic) => Err(also_panicked(outcome, panic)),
    };
    permit.end(outcome);
}

fn poll_once<F: Future>(
    permit: &mut Permit<F::Output>,
    future: Option<std::pin::Pin<&mut F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, JoinError>> {
    // It is there until this has been ready.
    let Some(future) = future else {
        return Poll::Pending;
    };
    if permit.ticket.is_cancelled() {
        return Poll::Ready(Err(JoinError::Cancelled));
    }
    // A pool's job that waits for this may have to run what the future asks of the pool.
    let acting = permit.lineage.as_ref().map(Lineage::enter);
    let polled = contain(|| future.poll(cx));
    drop(acting);
    match polled {
        Ok(Poll::Ready(value)) => return Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => {}
        Err(panic) => return Poll::Ready(Err(JoinError::Panicked(panic))),
    }
    permit.has_waker = true;
    permit.ticket.note_waker(cx.waker());
    // Once more: a cancel that came before the waker has woken nobody.
    if permit.ticket.is_cancelled() && !bug("a_cancel_finds_no_waker") {
        return Poll::Ready(Err(JoinError::Cancelled));
    }
    Poll::Pending
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
