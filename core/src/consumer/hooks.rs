//! Hooks: what is to be done once nothing is handled any more.
//!
//! They run one after the other, when the ledger is closed and the handlers are gone, inside
//! `run()`. What is deliberately absent: hooks between the phases of a stop. A handler's own work
//! belongs into the handler, where it is drained.

use std::convert::identity;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Receiver;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::builder::Builder;
use super::engine::drop_quietly;
use super::shutdown::GIVE_UP;
use crate::broker::Cause;
use crate::fan_out::describe;
use crate::isolate::{Isolated, leave, poll_isolated};
use crate::{Clock, HookEnd, HookOutcome, Plan};

impl<B, C, H> Builder<B, C, H> {
    /// Adds something to do after the stop: flush metrics, close the database.
    ///
    /// Hooks run in the order in which they were added, one at a time, when every delivery has its
    /// end, the handlers and the function that made them have been dropped, and the phase is
    /// [`Phase::Closed`](crate::Phase::Closed); then [`run`](crate::Consumer::run) returns. They
    /// run however the consumer came to its end, also after a failure; only where `run()` itself is
    /// dropped they are dropped with it. Each may take as long as `within`; it is dropped then, and
    /// the next one begins. How each one ended stands in [`Report::hooks`](crate::Report::hooks): a
    /// failure or a panic of one hinders none of the others.
    ///
    /// A third [`stop`](crate::Control::stop) gives up the hooks as well, whenever it comes: the
    /// one that is running is dropped and the rest are skipped. The first two change nothing here.
    ///
    /// Of handlers that are tasks of an executor, one that was abandoned may still be running
    /// while the hooks do.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Consumer, Delivery, Verdict};
    /// use std::time::Duration;
    ///
    /// # async fn flush() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn close() {}
    /// let builder = Consumer::builder()
    ///     .handler(async |_: &Delivery| Verdict::Ack)
    ///     .after_stop("flush metrics", Duration::from_secs(2), async {
    ///         flush().await?;
    ///         Ok(())
    ///     })
    ///     .after_stop("close the database", Duration::from_secs(5), async {
    ///         close().await;
    ///         Ok(())
    ///     });
    /// # drop(builder);
    /// ```
    pub fn after_stop(
        mut self,
        name: &'static str,
        within: Duration,
        hook: impl Future<Output = Result<(), Cause>> + Send + 'static,
    ) -> Self {
        // Described in the future itself, where a panic of the error's is contained.
        let work = hook.map(|result| result.map_err(|cause| describe(cause.as_ref())));
        let work = work.boxed();
        self.settings.hooks.push(Hook { name, within, work });
        self
    }
}

/// Something to do after the stop.
pub(super) struct Hook {
    name: &'static str,
    within: Duration,
    work: Work,
}

/// The hooks of a consumer that has come to its end.
pub(super) struct Hooks<'a> {
    pub(super) clock: &'a dyn Clock,
    /// How often the consumer was told to stop.
    pub(super) requests: u32,
    pub(super) stops: Pin<Box<Receiver<Plan>>>,
}

impl Hooks<'_> {
    /// Runs the hooks; returns how they ended.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future drops the hooks that have not ended.
    pub(super) async fn run(mut self, hooks: Vec<Hook>) -> Vec<HookEnd> {
        let mut ends = Vec::with_capacity(hooks.len());
        for Hook { name, within, work } in hooks {
            let outcome = self.run_one(within, work).await;
            ends.push(HookEnd { name, outcome });
        }
        ends
    }

    async fn run_one(&mut self, within: Duration, work: Work) -> HookOutcome {
        if poll_fn(|cx| Poll::Ready(self.is_given_up(cx))).await {
            drop_quietly(work);
            return HookOutcome::Skipped;
        }
        let mut late = self.clock.sleep_until(self.clock.now() + within);
        let mut slot = pin!(Some(work));
        let ended = poll_fn(|cx| {
            if let Poll::Ready(ended) = poll_isolated(slot.as_mut(), cx, identity) {
                return Poll::Ready(ended.into());
            }
            let outcome = if self.is_given_up(cx) {
                HookOutcome::Abandoned
            } else if late.poll_unpin(cx).is_ready() {
                HookOutcome::TimedOut
            } else {
                return Poll::Pending;
            };
            Poll::Ready(match leave(slot.as_mut(), Isolated::Done(())) {
                Isolated::Panicked(message) => HookOutcome::Panicked(message),
                _ => outcome,
            })
        });
        ended.await
    }

    /// Whether the consumer was told so often to stop that it gives up.
    fn is_given_up(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(_)) = self.stops.poll_next_unpin(cx) {
            self.requests += 1;
        }
        self.requests >= GIVE_UP
    }
}

impl From<Isolated<Result<(), String>>> for HookOutcome {
    fn from(ended: Isolated<Result<(), String>>) -> Self {
        match ended {
            Isolated::Done(Ok(())) => Self::Done,
            Isolated::Done(Err(error)) => Self::Failed(error),
            Isolated::Panicked(message) => Self::Panicked(message),
            Isolated::Cancelled => Self::Abandoned,
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

type Work = BoxFuture<'static, Result<(), String>>;
