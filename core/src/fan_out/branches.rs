//! The branches, one around the other, and how they are run.
//!
//! Every branch stays where it was put when it was added: what is moved into a future of its own
//! would be there twice, as its argument and as its state.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::policy::Policy;
use super::{BranchError, BranchFailure};
use crate::Delivery;
use crate::isolate::{Isolated, leave, poll_isolated};

pin_project! {
    /// One branch of a [`FanOut`](super::FanOut), and those that were added before it.
    #[derive(Debug)]
    pub struct Branch<B, F> {
        #[pin]
        others: B,
        name: &'static str,
        required: bool,
        // None once it has ended.
        #[pin]
        future: Option<F>,
    }
}

/// The branches of a [`FanOut`](super::FanOut): each a [`Branch`] around the others, ending in
/// `()`. Sealed.
pub trait Branches: sealed::Sealed {
    /// How many they are.
    #[doc(hidden)]
    const COUNT: usize;

    /// How many of them are not optional.
    #[doc(hidden)]
    fn required_count(&self) -> usize;

    /// Polls those that run, in the order in which they were added, and drops those that are not
    /// needed any more; returns whether none runs any more.
    #[doc(hidden)]
    fn poll<P: Policy>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        state: &mut State<'_, P>,
    ) -> bool;
}

/// What the branches of one fan-out share.
#[doc(hidden)]
#[derive(Debug)]
pub struct State<'a, P> {
    delivery: &'a Delivery,
    policy: P,
    /// Each with its place among the branches.
    failures: Vec<(usize, BranchFailure)>,
}

pin_project! {
    /// Runs branches side by side until they have ended or `policy` needs them no more.
    #[derive(Debug)]
    pub(super) struct Run<'a, B, P> {
        #[pin]
        branches: B,
        state: State<'a, P>,
        has_ended: bool,
    }
}

impl<'a, B: Branches, P: Policy> Run<'a, B, P> {
    pub(super) fn new(delivery: &'a Delivery, branches: B, policy: P) -> Self {
        Self {
            branches,
            state: State {
                delivery,
                policy,
                failures: Vec::new(),
            },
            has_ended: false,
        }
    }
}

impl<B: Branches, P: Policy> Future for Run<'_, B, P> {
    type Output = P::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let state = this.state;
        if *this.has_ended || !this.branches.poll(cx, state) {
            return Poll::Pending;
        }
        *this.has_ended = true;
        let failures = in_order(std::mem::take(&mut state.failures));
        Poll::Ready(state.policy.conclude(failures))
    }
}

impl Branches for () {
    const COUNT: usize = 0;

    fn required_count(&self) -> usize {
        0
    }

    fn poll<P: Policy>(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _state: &mut State<'_, P>,
    ) -> bool {
        true
    }
}

impl<B: Branches, F: Future<Output = Result<(), BranchError>>> Branch<B, F> {
    pub(super) fn new(others: B, name: &'static str, required: bool, future: F) -> Self {
        Self {
            others,
            name,
            required,
            future: Some(future),
        }
    }
}

impl<B: Branches, F: Future<Output = Result<(), BranchError>>> Branches for Branch<B, F> {
    const COUNT: usize = B::COUNT + 1;

    fn required_count(&self) -> usize {
        self.others.required_count() + usize::from(self.required)
    }

    fn poll<P: Policy>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        state: &mut State<'_, P>,
    ) -> bool {
        let mut this = self.project();
        let mut have_ended = this.others.as_mut().poll(cx, state);
        if this.future.is_none() {
            return have_ended;
        }
        let required = state.policy.is_required(*this.required);
        if required && state.policy.is_satisfied() {
            let left = leave(this.future, Isolated::Cancelled);
            state.fail(B::COUNT, this.name, false, left);
            state.policy.dropped(this.name);
            return have_ended;
        }
        match poll_isolated(this.future.as_mut(), cx, Result::err) {
            Poll::Pending => return false,
            Poll::Ready(Isolated::Done(None)) if !required => {}
            Poll::Ready(Isolated::Done(None)) => {
                state.policy.succeeded();
                // The others were polled before this one made them superfluous.
                if state.policy.is_satisfied() && !have_ended {
                    have_ended = this.others.poll(cx, state);
                }
            }
            Poll::Ready(ended) => state.fail(B::COUNT, this.name, required, ended),
        }
        have_ended
    }
}

impl<P> State<'_, P> {
    /// Notes what has to be said of the branch at `place`, which has ended, and tells it at once.
    #[cold]
    fn fail(
        &mut self,
        place: usize,
        branch: &'static str,
        required: bool,
        ended: Isolated<Option<BranchError>>,
    ) {
        let error = match ended {
            Isolated::Done(None) | Isolated::Cancelled => return,
            Isolated::Done(Some(error)) => error,
            Isolated::Panicked(message) => BranchError::Panicked(message),
        };
        self.delivery
            .branch_failed(branch, error.describe(), required);
        let failure = BranchFailure {
            branch,
            required,
            error,
        };
        self.failures.push((place, failure));
    }
}

/// Failures in the order in which their branches were added.
fn in_order(mut failures: Vec<(usize, BranchFailure)>) -> Vec<BranchFailure> {
    if failures.is_empty() {
        return Vec::new();
    }
    failures.sort_by_key(|(place, _)| *place);
    failures.into_iter().map(|(_, failure)| failure).collect()
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<B, F> Sealed for super::Branch<B, F> {}
}
