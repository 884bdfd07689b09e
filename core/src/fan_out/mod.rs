//! One message, several things to do: named branches that run side by side inside the handler.
//!
//! A branch is polled by the future that the fan-out's verb returns and never outlives it:
//!
//! | verb | an ack needs | the others |
//! |---|---|---|
//! | [`FanOut::join`] | every branch | run to their end |
//! | [`FanOut::best_effort`] | none | run to their end |
//! | [`FanOut::any`] | one | are dropped once one has succeeded |
//! | [`FanOut::quorum`] | so many | are dropped once so many have succeeded |
//!
//! What is deliberately absent: cancelling the siblings of a failed branch, under any policy and
//! even when what is needed cannot be reached any more. They run to completion, because each of
//! them has effects of its own that another attempt would repeat, and an error that is worth
//! hearing of.

mod branches;
mod error;
mod policy;
mod raced;

use std::future::Future;
use std::time::Duration;

pub use branches::{Branch, Branches};
pub use error::BranchError;
pub(crate) use error::describe;
pub use raced::Raced;

use self::branches::Run;
use self::policy::{All, BestEffort, Quorum};
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
    /// Adds a branch that counts: an ack needs it, or enough of its kind.
    pub fn branch<F>(self, name: &'static str, future: F) -> FanOut<'a, Branch<B, F>>
    where
        F: Future<Output = Result<(), BranchError>>,
    {
        FanOut {
            delivery: self.delivery,
            branches: Branch::new(self.branches, name, true, future),
        }
    }

    /// Adds a branch whose failure is reported and does not touch the verdict.
    pub fn optional<F>(self, name: &'static str, future: F) -> FanOut<'a, Branch<B, F>>
    where
        F: Future<Output = Result<(), BranchError>>,
    {
        FanOut {
            delivery: self.delivery,
            branches: Branch::new(self.branches, name, false, future),
        }
    }

    /// Runs every branch to its end, side by side.
    ///
    /// A failed or panicked branch is reported at once as
    /// [`Event::BranchFailed`](crate::Event::BranchFailed), exactly once, and its siblings go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops every branch; those that had not ended are not reported.
    pub fn join(self) -> impl Future<Output = Joined> + use<'a, B> {
        Run::new(self.delivery, self.branches, All)
    }

    /// Runs every branch to its end, side by side, and needs none: each is an optional one.
    ///
    /// The verdict is an ack whatever fails. A failed or panicked branch is reported as by
    /// [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::{BranchError, Delivery, FanOut, Verdict};
    /// async fn announce(delivery: &Delivery) -> Verdict {
    ///     FanOut::new(delivery)
    ///         .branch("mail", async { Err(BranchError::retry("no route")) })
    ///         .branch("chat", async { Ok(()) })
    ///         .best_effort()
    ///         .await
    ///         .verdict()
    /// }
    /// # let _ = announce;
    /// ```
    pub fn best_effort(self) -> impl Future<Output = Joined> + use<'a, B> {
        Run::new(self.delivery, self.branches, BestEffort)
    }

    /// Runs the branches side by side until one has succeeded.
    ///
    /// A [`quorum`](Self::quorum) of one.
    ///
    /// # Panics
    ///
    /// When there is no branch but optional ones.
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::{BranchError, Delivery, FanOut, Verdict};
    /// async fn fetch(delivery: &Delivery) -> Verdict {
    ///     let raced = FanOut::new(delivery)
    ///         .branch("near", async { Err(BranchError::dead("not here")) })
    ///         .branch("far", async { Ok(()) })
    ///         .branch("archive", std::future::pending())
    ///         .any()
    ///         .await;
    ///     assert_eq!(raced.failures[0].branch, "near");
    ///     assert!(raced.dropped().eq(["archive"]));
    ///     raced.verdict()
    /// }
    /// # let _ = fetch;
    /// ```
    pub fn any(self) -> impl Future<Output = Raced> + use<'a, B> {
        self.quorum(1)
    }

    /// Runs the branches side by side until `count` of them have succeeded.
    ///
    /// The required branches that still run then are dropped before this returns, and named by
    /// [`Raced::dropped`]; those that were not polled yet are never polled. Optional branches do
    /// not count and are not dropped: they run to their end.
    ///
    /// When `count` cannot be reached any more, the rest runs to its end all the same; then the
    /// [verdict](Raced::verdict) follows from what failed. A failed or panicked branch is reported
    /// as by [`join`](Self::join), and so is a panic of the destructor of one that is dropped.
    ///
    /// # Panics
    ///
    /// When `count` is 0, or more than there are branches that are not optional.
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use mayhem_core::{BranchError, Delivery, FanOut, Verdict};
    /// async fn replicate(delivery: &Delivery) -> Verdict {
    ///     FanOut::new(delivery)
    ///         .branch("east", async { Ok(()) })
    ///         .branch("west", async { Err(BranchError::retry("no answer")) })
    ///         .branch("north", async { Ok(()) })
    ///         .quorum(2)
    ///         .await
    ///         .verdict()
    /// }
    /// # let _ = replicate;
    /// ```
    pub fn quorum(self, count: usize) -> impl Future<Output = Raced> + use<'a, B> {
        let branches = self.branches.required_count();
        assert!(
            (1..=branches).contains(&count),
            "a quorum of {count} among {branches} branches"
        );
        Run::new(self.delivery, self.branches, Quorum::new(count))
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
        if required().any(|failure| failure.error.is_dead()) {
            return Verdict::Dead(dead_reason(required()));
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
    /// Whether it counts: an ack needs it, or enough of its kind.
    pub required: bool,
    /// Why.
    pub error: BranchError,
}

/// Every branch that can never succeed, with its reason.
fn dead_reason<'a>(failures: impl Iterator<Item = &'a BranchFailure>) -> String {
    let dead = failures.filter(|failure| failure.error.is_dead());
    let reasons: Vec<String> = dead
        .map(|failure| format!("{}: {}", failure.branch, failure.error.describe()))
        .collect();
    reasons.join("; ")
}

#[cfg(test)]
mod tests;
