//! What a fan-out waits for, as types, so that waiting for all pays nothing for the others.

use super::raced::Raced;
use super::{BranchFailure, Joined};

/// When a fan-out has what it needs, whose names it keeps, and what it comes to.
pub trait Policy {
    /// What it comes to.
    type Output;

    /// It has ended, with these failures.
    fn conclude(&mut self, failures: Vec<BranchFailure>) -> Self::Output;

    /// Whether a branch that was added as `required` is one for this policy.
    fn is_required(&self, required: bool) -> bool {
        required
    }

    /// Whether the required branches that still run are not needed any more.
    fn is_satisfied(&self) -> bool {
        false
    }

    /// A required branch has succeeded.
    fn succeeded(&mut self) {}

    /// A required branch that still ran was dropped.
    fn dropped(&mut self, _branch: &'static str) {}
}

/// Waits for every branch.
#[derive(Debug)]
pub(super) struct All;

/// Waits for every branch, and needs none.
#[derive(Debug)]
pub(super) struct BestEffort;

/// Waits until enough of the required branches have succeeded, or none runs any more.
#[derive(Debug)]
pub(super) struct Quorum {
    /// How many more would have to succeed.
    missing: usize,
    /// The branches that were dropped because they were not needed any more.
    dropped: Names,
}

/// Names in the order in which they were pushed; the first few need no memory of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    count: usize,
    first: [&'static str; INLINE_COUNT],
    more: Vec<&'static str>,
}

impl Policy for All {
    type Output = Joined;

    fn conclude(&mut self, failures: Vec<BranchFailure>) -> Joined {
        Joined { failures }
    }
}

impl Policy for BestEffort {
    type Output = Joined;

    fn conclude(&mut self, failures: Vec<BranchFailure>) -> Joined {
        Joined { failures }
    }

    fn is_required(&self, _required: bool) -> bool {
        false
    }
}

impl Quorum {
    pub(super) fn new(count: usize) -> Self {
        Self {
            missing: count,
            dropped: Names::default(),
        }
    }
}

impl Policy for Quorum {
    type Output = Raced;

    fn conclude(&mut self, failures: Vec<BranchFailure>) -> Raced {
        Raced {
            failures,
            missing: self.missing,
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    fn is_satisfied(&self) -> bool {
        self.missing == 0
    }

    fn succeeded(&mut self) {
        // Never below zero: a branch is only polled while some are missing.
        self.missing -= 1;
    }

    fn dropped(&mut self, branch: &'static str) {
        self.dropped.push(branch);
    }
}

impl Names {
    fn push(&mut self, name: &'static str) {
        match self.first.get_mut(self.count) {
            Some(place) => *place = name,
            None => self.more.push(name),
        }
        self.count += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        let first = &self.first[..self.count.min(INLINE_COUNT)];
        first.iter().chain(&self.more).copied()
    }
}

/// Enough for the losers of eight branches; more allocate.
const INLINE_COUNT: usize = 7;
