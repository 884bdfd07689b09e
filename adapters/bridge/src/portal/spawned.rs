//! A job as a task of its own, on the executor the driver was given.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

use super::shared::Shared;
use crate::panic::{contain, discard};
use crate::sync::{Arc, unique_id};

/// Polls a job until it ends, or until the portal does. However the task goes, the job is dropped
/// here, which completes its handle.
pub(super) struct Spawned {
    shared: Arc<Shared>,
    id: u64,
    job: Option<BoxFuture<'static, ()>>,
}

impl Spawned {
    pub(super) fn new(shared: Arc<Shared>, job: BoxFuture<'static, ()>) -> Self {
        Self {
            shared,
            id: unique_id(),
            job: Some(job),
        }
    }
}

impl Future for Spawned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.keeps_spawned(self.id, cx.waker())
            && let Some(job) = &mut self.job
            && let Ok(Poll::Pending) = contain(|| job.as_mut().poll(cx))
        {
            return Poll::Pending;
        }
        discard(self.job.take());
        Poll::Ready(())
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.shared.forget_spawned(self.id);
        // Contained: the executor that drops us is not to be harmed by somebody's destructor.
        discard(self.job.take());
    }
}
