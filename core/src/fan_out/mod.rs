//! One message, several things to do: named branches that run side by side inside the handler.
//!
//! A branch is polled by the future that [`FanOut::join`] returns and never outlives it. What is
//! deliberately absent: cancelling the siblings of a failed branch. They run to completion, because
//! each of them has effects of its own that another attempt would repeat.

mod error;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

pub use error::BranchError;
pub(crate) use error::describe;

use crate::isolate::{Isolated, poll_isolated};
use crate::{Delivery, Verdict};

/// Named branches for one delivery; their number is fixed by the type, and nothing is boxed.
///
/// # Examples
///
/// ```
/// use mayhem_core::{BranchError, Delivery, FanOut, Verdict};
///
/// async fn handle(delivery: &Delivery) -> Verdict {
///     FanOut::new(delivery)
///         .branch("restart", async { Ok(()) })
///         .branch("record", async { Err(BranchError::retry("the disk is slow")) })
///         .optional("notify", async { Ok(()) })
///         .join()
///         .await
///         .verdict()
/// }
/// # let _ = handle;
/// ```
#[derive(Debug)]
#[must_use = "branches do nothing until joined"]
pub struct FanOut<'a, B> {
    delivery: &'a Delivery,
    branches: B,
}

impl<'a> FanOut<'a, ()> {
    /// A fan-out without branches, whose verdict is an ack.
    pub fn new(delivery: &'a Delivery) -> Self {
        Self {
            delivery,
            branches: (),
        }
    }
}

impl<'a, B: Branches> FanOut<'a, B> {
    /// Adds a branch that must succeed for an ack.
    pub fn branch<F>(self, name: &'static str, future: F) -> FanOut<'a, (B, Branch<F>)>
    where
        F: Future<Output = Result<(), BranchError>>,
    {
        self.add(Branch {
            name,
            required: true,
            future,
        })
    }

    /// Adds a branch whose failure is reported and does not touch the verdict.
    pub fn optional<F>(self, name: &'static str, future: F) -> FanOut<'a, (B, Branch<F>)>
    where
        F: Future<Output = Result<(), BranchError>>,
    {
        self.add(Branch {
            name,
            required: false,
            future,
        })
    }

    /// Runs every branch to its end, side by side.
    ///
    /// A failed or panicked branch is reported at once as
    /// [`Event::BranchFailed`](crate::Event::BranchFailed), exactly once, and its siblings go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops every branch; those that had not ended are not reported.
    pub async fn join(self) -> Joined {
        Joined {
            failures: self.branches.join(self.delivery).await,
        }
    }

    fn add<F>(self, branch: Branch<F>) -> FanOut<'a, (B, Branch<F>)> {
        FanOut {
            delivery: self.delivery,
            branches: (self.branches, branch),
        }
    }
}

/// How a fan-out ended.
#[derive(Debug, Default)]
#[must_use]
pub struct Joined {
    /// The branches that failed, in the order in which they were added.
    pub failures: Vec<BranchFailure>,
}

impl Joined {
    /// Whether every required branch succeeded.
    pub fn is_ok(&self) -> bool {
        !self.failures.iter().any(|failure| failure.required)
    }

    /// What the failures of the required branches call for.
    ///
    /// The strongest decides: `Dead` (another attempt cannot succeed) before `Retry` or a panic
    /// (an attempt was made and must count) before `Postpone`, before an ack. Delays: the
    /// longest that was asked for. The reason of a dead letter names every branch that gave one.
    pub fn verdict(&self) -> Verdict {
        let required = || self.failures.iter().filter(|failure| failure.required);
        let dead: Vec<String> = required()
            .filter(|failure| matches!(failure.error, BranchError::Dead { .. }))
            .map(|failure| format!("{}: {}", failure.branch, failure.error.describe()))
            .collect();
        if !dead.is_empty() {
            return Verdict::Dead(dead.join("; "));
        }
        let retries = || {
            required().filter_map(|failure| match &failure.error {
                BranchError::Retry { after, .. } => Some(*after),
                BranchError::Panicked(_) => Some(None),
                _ => None,
            })
        };
        if retries().next().is_some() {
            return Verdict::Retry {
                after: retries().flatten().max(),
            };
        }
        let postponed = required().filter_map(|failure| match &failure.error {
            BranchError::Postpone { after, .. } => Some(*after),
            _ => None,
        });
        postponed
            .max()
            .map_or(Verdict::Ack, |after: Duration| Verdict::Postpone { after })
    }
}

/// A branch that failed.
#[derive(Debug)]
pub struct BranchFailure {
    /// The branch's name.
    pub branch: &'static str,
    /// Whether an ack needs it.
    pub required: bool,
    /// Why.
    pub error: BranchError,
}

/// One branch of a [`FanOut`].
#[derive(Debug)]
pub struct Branch<F> {
    name: &'static str,
    required: bool,
    future: F,
}

/// The branches of a [`FanOut`]: nested pairs, ending in `()`. Sealed.
pub trait Branches: sealed::Sealed {
    /// Runs them side by side and returns the failures.
    #[doc(hidden)]
    fn join(self, delivery: &Delivery) -> impl Future<Output = Vec<BranchFailure>>;
}

impl Branches for () {
    async fn join(self, _delivery: &Delivery) -> Vec<BranchFailure> {
        Vec::new()
    }
}

impl<B: Branches, F: Future<Output = Result<(), BranchError>>> Branches for (B, Branch<F>) {
    // One future per branch, pinned where it is: everything around it would be moved with it.
    async fn join(self, delivery: &Delivery) -> Vec<BranchFailure> {
        let (others, branch) = self;
        let Branch {
            name,
            required,
            future,
        } = branch;
        let mut others = pin!(others.join(delivery));
        let mut slot = pin!(Some(future));
        let mut failures = None;
        let mut failure = None;
        poll_fn(|cx| {
            if failures.is_none()
                && let Poll::Ready(others) = others.as_mut().poll(cx)
            {
                failures = Some(others);
            }
            if slot.is_some()
                && let Poll::Ready(ended) = poll_isolated(slot.as_mut(), cx)
            {
                failure = BranchFailure::new(delivery, name, required, ended);
            }
            if failures.is_none() || slot.is_some() {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let mut failures = failures.unwrap_or_default();
        failures.extend(failure);
        failures
    }
}

impl BranchFailure {
    /// What has to be said of a branch that has ended, which is told at once.
    fn new(
        delivery: &Delivery,
        branch: &'static str,
        required: bool,
        ended: Isolated<Result<(), BranchError>>,
    ) -> Option<Self> {
        let error = match ended {
            Isolated::Done(Ok(())) | Isolated::Cancelled => return None,
            Isolated::Done(Err(error)) => error,
            Isolated::Panicked(message) => BranchError::Panicked(message),
        };
        delivery.branch_failed(branch, error.describe(), required);
        Some(Self {
            branch,
            required,
            error,
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<B, F> Sealed for (B, super::Branch<F>) {}
}

#[cfg(test)]
mod tests;
