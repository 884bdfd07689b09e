//! The lead of a batch: it waits until the batch is to be handled, and drives the function.
//!
//! There is always one who has it: a handler, or one that is just being told. Dropped, it goes on
//! to the next of the batch, as far as it has come.

use std::convert::identity;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::LEFT_OUT;
use super::batch::{Batch, Members};
use crate::control::Shared;
use crate::isolate::{Isolated, panic_message, poll_isolated};
use crate::signal::{Signal, Wait};
use crate::{Delivery, Verdict};

/// What one of a batch is told.
pub(super) enum Told<B> {
    /// It leads from now on.
    Lead(Lead<B>),
    /// How it ended.
    Ended(Ended),
}

/// A verdict, or the message of the function's panic.
pub(super) type Ended = Result<Verdict, String>;

/// The lead of a batch.
pub(super) struct Lead<B> {
    /// None once it is over, or somebody else's.
    stage: Option<Stage<B>>,
}

enum Stage<B> {
    Gathering(Gathering<B>),
    Handling(Handling<B>),
}

struct Gathering<B> {
    batch: Arc<Batch<B>>,
    /// Whose seat leads.
    leader: usize,
    shared: Arc<Shared>,
    /// Made at the first poll.
    timer: Option<BoxFuture<'static, ()>>,
    complete: Wait<Arc<Signal>>,
    draining: Wait<Arc<Signal>>,
}

struct Handling<B> {
    function: Pin<Box<Option<B>>>,
    members: Members<B>,
}

impl<B> Lead<B> {
    /// The lead of a new batch, for the first that is in it.
    pub(super) fn new(batch: Arc<Batch<B>>, shared: Arc<Shared>) -> Self {
        let gathering = Gathering {
            leader: 0,
            timer: None,
            complete: Wait::new(batch.complete()),
            draining: Wait::new(Arc::clone(&shared.draining)),
            batch,
            shared,
        };
        Self {
            stage: Some(Stage::Gathering(gathering)),
        }
    }

    /// Resolves to how the one that leads has ended, after all others have been told.
    pub(super) fn poll<F>(
        &mut self,
        cx: &mut Context<'_>,
        within: Duration,
        function: &F,
    ) -> Poll<Ended>
    where
        F: Fn(Vec<Delivery>) -> B,
        B: Future<Output = Vec<Verdict>>,
    {
        if let Some(Stage::Gathering(gathering)) = &mut self.stage {
            ready!(gathering.poll(cx, within));
            let (deliveries, mut members) = gathering.batch.close(gathering.leader);
            self.stage = None;
            if deliveries.is_empty() {
                return Poll::Ready(Ok(LEFT_OUT));
            }
            // Unwind safe: nothing of what the call has touched is used after a panic.
            match catch_unwind(AssertUnwindSafe(|| function(deliveries))) {
                Ok(future) => {
                    let function = Box::pin(Some(future));
                    self.stage = Some(Stage::Handling(Handling { function, members }));
                }
                Err(payload) => return Poll::Ready(members.end(Err(panic_message(payload)))),
            }
        }
        let Some(Stage::Handling(handling)) = &mut self.stage else {
            return Poll::Pending;
        };
        let verdicts = match ready!(poll_isolated(handling.function.as_mut(), cx, identity)) {
            Isolated::Done(verdicts) => Ok(verdicts),
            Isolated::Panicked(message) => Err(message),
            // Not reached: nobody asks for its end.
            Isolated::Cancelled => Ok(Vec::new()),
        };
        let ended = handling.members.end(verdicts);
        self.stage = None;
        Poll::Ready(ended)
    }
}

impl<B> Gathering<B> {
    /// Resolves when the batch is to be handled.
    fn poll(&mut self, cx: &mut Context<'_>, within: Duration) -> Poll<()> {
        let clock = &self.shared.clock;
        let timer = self
            .timer
            .get_or_insert_with(|| clock.sleep_until(clock.now() + within));
        let is_due = self.complete.poll_unpin(cx).is_ready()
            || self.draining.poll_unpin(cx).is_ready()
            || timer.poll_unpin(cx).is_ready();
        if is_due {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<B> Stage<B> {
    /// Where the next is told to lead, from now on its leader; none if nobody is left.
    fn next(&mut self) -> Option<oneshot::Sender<Told<B>>> {
        match self {
            Self::Gathering(gathering) => {
                let (leader, told) = gathering.batch.next()?;
                gathering.leader = leader;
                Some(told)
            }
            Self::Handling(handling) => handling.members.next(),
        }
    }
}

impl<B> Drop for Lead<B> {
    fn drop(&mut self) {
        let Some(mut stage) = self.stage.take() else {
            return;
        };
        while let Some(told) = stage.next() {
            let lead = Self { stage: Some(stage) };
            // Given back if that one has left meanwhile.
            let Err(Told::Lead(mut lead)) = told.send(Told::Lead(lead)) else {
                return;
            };
            let Some(same) = lead.stage.take() else {
                return;
            };
            stage = same;
        }
    }
}
