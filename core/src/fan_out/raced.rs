//! How a fan-out ended that needed only some of its branches.

use std::time::Duration;

use super::policy::Names;
use super::{BranchError, BranchFailure, dead_reason};
use crate::Verdict;

/// How [`FanOut::any`](super::FanOut::any) or [`FanOut::quorum`](super::FanOut::quorum) ended.
#[derive(Debug)]
#[must_use]
pub struct Raced {
    /// The branches that failed, in the order in which they were added.
    pub failures: Vec<BranchFailure>,
    /// How many required branches would have had to succeed and did not; 0 when enough did.
    pub missing: usize,
    pub(super) dropped: Names,
}

impl Raced {
    /// Whether enough branches succeeded.
    pub fn is_ok(&self) -> bool {
        self.missing == 0
    }

    /// The branches that were dropped because enough others had succeeded, in the order in which
    /// they were added.
    pub fn dropped(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.dropped.iter()
    }

    /// An ack if enough branches succeeded; otherwise what their failures call for.
    ///
    /// `Dead` when so many branches can never succeed that no other attempt could bring enough
    /// together, with a reason that names each of them. Otherwise `Retry` if any branch made an
    /// attempt that failed or panicked, and `Postpone` if all were put off. The delay is the
    /// shortest after which enough branches may be asked again: for [`any`](super::FanOut::any)
    /// the shortest that one asked for.
    pub fn verdict(&self) -> Verdict {
        if self.is_ok() {
            return Verdict::Ack;
        }
        let required = || self.failures.iter().filter(|failure| failure.required);
        // When each may be asked again; one that left it open comes first.
        let mut delays: Vec<Option<Duration>> = required()
            .filter_map(|failure| match &failure.error {
                BranchError::Retry { after, .. } => Some(*after),
                BranchError::Postpone { after, .. } => Some(Some(*after)),
                BranchError::Panicked(_) => Some(None),
                BranchError::Dead { .. } => None,
            })
            .collect();
        delays.sort_unstable();
        let Some(after) = delays.get(self.missing - 1).copied() else {
            return Verdict::Dead(dead_reason(required()));
        };
        let is_put_off =
            |failure: &BranchFailure| matches!(failure.error, BranchError::Postpone { .. });
        let was_attempted =
            |failure: &BranchFailure| !is_put_off(failure) && !failure.error.is_dead();
        match after {
            Some(after) if !required().any(was_attempted) => Verdict::Postpone { after },
            after => Verdict::Retry { after },
        }
    }
}

#[cfg(test)]
mod tests;
