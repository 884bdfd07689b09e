//! Waiting for room in a pool, in the order of arrival, without a thread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::job::{Job, Task};
use super::nested::is_nested_in;
use super::shared::{Bound, Refused, Shared};
use super::{BlockingError, BlockingPool, BusyReason, JobContext};
use crate::panic::discard;
use crate::sync::{Arc, bug, unique_id};

impl BlockingPool {
    /// Submits a task as soon as there is room.
    pub(super) fn admit<F, R>(&self, task: Box<Task<F, R>>) -> Admission<F, R> {
        Admission {
            shared: Arc::clone(&self.shared),
            task: Some(task),
            ticket: unique_id(),
        }
    }
}

/// Submits a task now, or gives it back.
pub(super) fn submit<F, R>(
    shared: &Arc<Shared>,
    task: Box<Task<F, R>>,
    bound: Bound,
) -> Result<Job<R>, Refused<Task<F, R>>>
where
    F: FnOnce(&JobContext) -> R + Send + 'static,
    R: Send + 'static,
{
    let on_accept = task.on_accept();
    shared.enter_queue(task, bound).map(|()| on_accept())
}

/// Resolves to the job once the pool has taken it.
pub(super) struct Admission<F, R> {
    shared: Arc<Shared>,
    task: Option<Box<Task<F, R>>>,
    ticket: u64,
}

impl<F, R> Future for Admission<F, R>
where
    F: FnOnce(&JobContext) -> R + Send + 'static,
    R: Send + 'static,
{
    type Output = Result<Job<R>, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let admission = &mut *self;
        // A job that waits for room behind itself would wait for ever; it lends its own place.
        let bound = match is_nested_in(&admission.shared) {
            true if !bug("a_nested_job_waits_for_room") => Bound::Lent,
            true | false => Bound::Queue,
        };
        let mut is_queued = false;
        loop {
            // Polled after completion only by a broken executor: it then waits for ever.
            let Some(task) = admission.task.take() else {
                return Poll::Pending;
            };
            let refused = match submit(&admission.shared, task, bound) {
                Ok(job) => return Poll::Ready(Ok(job)),
                Err(refused) => refused,
            };
            match refused.reason {
                BusyReason::ShutDown => return Poll::Ready(Err(BlockingError::PoolClosed)),
                BusyReason::SpawnFailed(error) => {
                    return Poll::Ready(Err(BlockingError::Spawn(error)));
                }
                BusyReason::Full => admission.task = Some(refused.job),
            }
            if is_queued {
                return Poll::Pending;
            }
            // Queued, and then tried once more: room may have come in between.
            let stale = admission
                .shared
                .wait_for_room(admission.ticket, cx.waker().clone());
            discard(stale);
            is_queued = true;
        }
    }
}

impl<F, R> Drop for Admission<F, R> {
    fn drop(&mut self) {
        self.shared.stop_waiting(self.ticket);
    }
}
