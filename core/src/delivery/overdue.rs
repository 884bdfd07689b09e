//! A handler that takes too long is told.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Delivery;
use crate::signal::{Signal, Wait};

impl Delivery {
    /// Whether the handler has taken longer than [`Timeout::soft`](crate::Timeout::soft): it is
    /// cancelled soon.
    pub fn is_overdue(&self) -> bool {
        let aside = self.scope.aside.get();
        aside.is_some_and(|aside| aside.overdue.is_set())
    }

    /// Resolves when the handler has taken longer than [`Timeout::soft`](crate::Timeout::soft), and
    /// never without a timeout.
    pub fn overdue(&self) -> Overdue {
        Overdue {
            wait: Wait::new(Due(self.clone())),
        }
    }

    pub(crate) fn set_overdue(&self) {
        self.scope.aside().overdue.set();
    }
}

/// Resolves when a handler takes too long: see [`Delivery::overdue`].
///
/// # Cancel safety
///
/// Cancel safe: dropping it only stops the waiting.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Overdue {
    wait: Wait<Due>,
}

impl Future for Overdue {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.wait).poll(cx)
    }
}

#[derive(Debug)]
struct Due(Delivery);

impl AsRef<Signal> for Due {
    fn as_ref(&self) -> &Signal {
        &self.0.scope.aside().overdue
    }
}
