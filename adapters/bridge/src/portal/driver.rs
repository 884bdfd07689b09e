//! The one future that runs everything a portal accepted.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::PortalStats;
use super::shared::{Phase, Shared};
use crate::context::{Place, enter};
use crate::panic::discard;
use crate::sync::Arc;

/// How many futures one poll admits, and how many it lets end, before other tasks get their turn.
const BUDGET: usize = 64;

/// Runs what its [`Portal`](super::Portal) accepts, on whatever executor polls it.
///
/// Ends when the portal is closed (or its last clone dropped) and nothing is left, with the final
/// counts. Dropping it, polled or not, drops what was accepted and completes every handle with
/// [`JoinError::PortalClosed`](super::JoinError::PortalClosed).
///
/// # Cancel safety
///
/// Dropping it is the end of the portal, in order: nobody waits for ever.
#[must_use = "nothing runs until an executor polls the driver"]
pub struct Driver {
    shared: Arc<Shared>,
    admitted: VecDeque<BoxFuture<'static, ()>>,
    jobs: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            admitted: VecDeque::new(),
            jobs: FuturesUnordered::new(),
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> Poll<PortalStats> {
        let mut waker = None;
        loop {
            let phase = self.take_queue();
            if phase == Phase::Cancelling {
                self.drop_jobs();
            }
            let admitted = self.admitted.len().min(BUDGET);
            self.jobs.extend(self.admitted.drain(..admitted));
            let mut ended = 0;
            while ended < BUDGET && matches!(self.jobs.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                ended += 1;
            }
            if ended == BUDGET || !self.admitted.is_empty() {
                // The budget is used up and there is more: other tasks first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }

            let mut state = self.shared.lock();
            if !state.queue.is_empty() || state.phase != phase {
                continue;
            }
            if state.phase != Phase::Open && state.is_idle() {
                drop(state);
                return Poll::Ready(self.shared.stats());
            }
            if state
                .driver
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
            {
                return Poll::Pending;
            }
            if waker.is_some() {
                let stale = std::mem::replace(&mut state.driver, waker);
                drop(state);
                discard(stale);
                return Poll::Pending;
            }
            drop(state);
            // Cloned without the lock, for a waker is user code; then everything is looked at
            // once more, for a job or the end may have come meanwhile.
            waker = Some(cx.waker().clone());
        }
    }

    /// Takes over what was accepted since; what is known of the portal's phase.
    fn take_queue(&mut self) -> Phase {
        let mut state = self.shared.lock();
        if self.admitted.is_empty() {
            std::mem::swap(&mut state.queue, &mut self.admitted);
        } else {
            self.admitted.append(&mut state.queue);
        }
        state.phase
    }

    /// Drops every job, one by one: the panic of one destructor must not keep another's handle
    /// waiting.
    fn drop_jobs(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        jobs.into_iter().for_each(discard);
        std::mem::take(&mut self.admitted)
            .into_iter()
            .for_each(discard);
    }
}

impl Future for Driver {
    type Output = PortalStats;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PortalStats> {
        let driver = &mut *self;
        let shared = Arc::clone(&driver.shared);
        let _polling = Polling::begin(&shared);
        driver.poll_jobs(cx)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        // As in a poll: a destructor that waits for this portal would wait for ever.
        let _polling = Polling::begin(&shared);
        let unseen = shared.driver_is_gone();
        self.drop_jobs();
        unseen.into_iter().for_each(discard);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Driver")
            .field("portal", &self.shared.name)
            .field("stats", &self.shared.stats())
            .finish_non_exhaustive()
    }
}

/// While it lives, this thread is known to be inside the portal, here and in the inventory.
struct Polling<'a> {
    shared: &'a Shared,
    _inside: crate::context::Inside,
}

impl<'a> Polling<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.presence.begin();
        Self {
            shared,
            _inside: enter(Place::Portal(shared.id)),
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.shared.presence.end();
    }
}
