//! Work that survives the cancellation of its handler.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;

use super::Delivery;
use crate::control::Notice;
use crate::isolate::{Isolated, Unwatched, isolate};

impl Delivery {
    /// Starts work that goes on when the handler is cancelled, until the end of the grace.
    ///
    /// The delivery is settled after its shielded work has ended, and its lease is extended until
    /// then. Work that is still going on when the grace is over is dropped, and its delivery ends
    /// as abandoned. If shielded work panics, an ack turns into a retry. It is polled by the
    /// consumer itself, in either mode of handlers, and must not block.
    ///
    /// Once the grace is over, or the delivery has ended and only a view of it was kept, nothing is
    /// started and the result is [`ShieldError::Abandoned`].
    pub fn shield<F>(&self, future: F) -> Shielded<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            let (result, panicked) = match isolate(&Unwatched, future).await {
                Isolated::Done(output) => (Ok(output), None),
                Isolated::Panicked(message) => {
                    (Err(ShieldError::Panicked(message.clone())), Some(message))
                }
                Isolated::Cancelled => (Err(ShieldError::Abandoned), None),
            };
            // Ignored: the handler no longer waits for the result.
            let _ = sender.send(result);
            panicked
        };
        self.notify(Notice::Shield {
            delivery: self.scope.handle,
            work: work.boxed(),
        });
        Shielded { receiver }
    }
}

/// The result of shielded work: see [`Delivery::shield`].
///
/// # Cancel safety
///
/// Cancel safe: dropping it does not stop the work.
#[derive(Debug)]
pub struct Shielded<T> {
    receiver: oneshot::Receiver<Result<T, ShieldError>>,
}

impl<T> Future for Shielded<T> {
    type Output = Result<T, ShieldError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.receiver
            .poll_unpin(cx)
            .map(|sent| sent.unwrap_or(Err(ShieldError::Abandoned)))
    }
}

/// Why shielded work has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShieldError {
    /// It panicked, with this message.
    Panicked(String),
    /// The grace was over before it ended, or its delivery before it began.
    Abandoned,
}

impl fmt::Display for ShieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "shielded work panicked: {message}"),
            Self::Abandoned => f.write_str("shielded work was abandoned"),
        }
    }
}

impl Error for ShieldError {}
