//! Handlers, and the two ways to run them: inside `run()`, or as tasks of an executor.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::task::{FutureObj, Spawn};

use crate::delivery::SpawnedWatch;
use crate::isolate::{Isolated, Unwatched, isolate};
use crate::{Delivery, Verdict};

/// Handles one message at a time; many calls run side by side, up to the consumer's concurrency.
///
/// Every `async |delivery: &Delivery| -> Verdict` closure or function is one. It may be `!Send`;
/// then so is the consumer's `run()`. The delivery is settled by the verdict after the future has
/// ended: a panic, a cancel and an early return all lead to a nack, never to an ack.
/// [`Batched`](crate::Batched) is one that handles several messages in one call.
///
/// # Examples
///
/// What goes around every handler is a function:
///
/// ```
/// use mayhem_core::{Delivery, Handler, Verdict};
///
/// /// Only messages that say something come to the handler.
/// fn filled(handler: impl Handler) -> impl Handler {
///     async move |delivery: &Delivery| {
///         if delivery.payload().is_empty() {
///             return Verdict::Dead("it is empty".to_owned());
///         }
///         handler.handle(delivery).await
///     }
/// }
/// # let _ = filled(async |_: &Delivery| Verdict::Ack);
/// ```
pub trait Handler {
    /// Handles `delivery`.
    ///
    /// # Cancel safety
    ///
    /// The consumer drops the future to cancel it, at any of its await points. Work that must not
    /// be cut there goes into [`Delivery::shield`].
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Verdict>;
}

impl<F: AsyncFn(&Delivery) -> Verdict> Handler for F {
    // The function's own future: one around it would keep what it is given a second time.
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Verdict> {
        self(delivery)
    }
}

/// How handlers are run: [`Inline`] or [`Spawned`]. Sealed.
pub trait Execution: sealed::Sealed {
    /// Whether the handler runs in the future that `execute` returns.
    #[doc(hidden)]
    const IS_INLINE: bool;

    /// Runs the handler of one delivery to its end.
    #[doc(hidden)]
    fn execute(&self, delivery: Delivery) -> impl Future<Output = Finish>;
}

/// Handlers polled by the consumer's own future.
pub struct Inline<H>(pub(crate) H);

/// Handlers that are tasks of an executor.
pub struct Spawned<S, F> {
    pub(crate) spawn: S,
    pub(crate) handler: Arc<F>,
}

/// How a handler ended.
#[doc(hidden)]
#[derive(Debug)]
pub enum Finish {
    /// With a verdict.
    Verdict(Verdict),
    /// With a panic of this message.
    Panicked(String),
    /// Cancelled by the consumer.
    Cancelled,
    /// Its executor dropped it.
    Dropped,
    /// Its executor did not take it.
    Refused,
    /// Its executor came to it when its lease was lost.
    NotBegun,
}

impl<H: Handler> Execution for Inline<H> {
    const IS_INLINE: bool = true;

    // Its slot contains panics, drops it when it is cancelled and times its polls.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async function would keep its arguments twice"
    )]
    fn execute(&self, delivery: Delivery) -> impl Future<Output = Finish> {
        async move { Finish::Verdict(self.0.handle(&delivery).await) }
    }
}

impl<S, F> Execution for Spawned<S, F>
where
    S: Spawn,
    F: for<'a> Fn(&'a Delivery) -> BoxFuture<'a, Verdict> + Send + Sync + 'static,
{
    const IS_INLINE: bool = false;

    async fn execute(&self, delivery: Delivery) -> Finish {
        let (handler, view) = (Arc::clone(&self.handler), delivery.clone());
        let (task, ended) = task(delivery, async move { handler(&view).await });
        let spawning = async { self.spawn.spawn_obj(FutureObj::new(Box::new(task))) };
        match isolate(&Unwatched, spawning).await {
            Isolated::Done(Ok(())) => ended.await.unwrap_or(Finish::Dropped),
            _ => Finish::Refused,
        }
    }
}

/// The task that handles a delivery, and what tells how the handler ended.
pub(crate) fn task(
    delivery: Delivery,
    handling: impl Future<Output = Verdict>,
) -> (impl Future<Output = ()>, oneshot::Receiver<Finish>) {
    let (sender, ended) = oneshot::channel();
    let task = async move {
        let watch = SpawnedWatch::new(&delivery);
        // Lost before the executor came to it, it is somebody else's by now.
        let finish = if delivery.is_lease_lost() {
            Finish::NotBegun
        } else {
            isolate(&watch, handling).await.into()
        };
        // Ignored: the consumer has given the delivery up.
        let _ = sender.send(finish);
    };
    (task, ended)
}

impl<H> fmt::Debug for Inline<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").finish_non_exhaustive()
    }
}

impl<S, F> fmt::Debug for Spawned<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").finish_non_exhaustive()
    }
}

impl From<Verdict> for Finish {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

impl<T: Into<Finish>> From<Isolated<T>> for Finish {
    fn from(isolated: Isolated<T>) -> Self {
        match isolated {
            Isolated::Done(output) => output.into(),
            Isolated::Panicked(message) => Self::Panicked(message),
            Isolated::Cancelled => Self::Cancelled,
        }
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<H> Sealed for super::Inline<H> {}
    impl<S, F> Sealed for super::Spawned<S, F> {}
}
