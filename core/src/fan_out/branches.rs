//! The branches as nested pairs, and how they are run.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::policy::Policy;
use super::{BranchError, BranchFailure};
use crate::Delivery;
use crate::isolate::{Isolated, leave, poll_isolated};

/// One branch of a [`FanOut`](super::FanOut).
#[derive(Debug)]
pub struct Branch<F> {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) future: F,
}

/// The branches of a [`FanOut`](super::FanOut): nested pairs, ending in `()`. Sealed.
pub trait Branches: sealed::Sealed {
    /// How many of them are not optional.
    #[doc(hidden)]
    fn required_count(&self) -> usize;

    /// Runs them side by side until they have ended or `policy` needs them no more.
    #[doc(hidden)]
    fn run<P: Policy>(self, delivery: &Delivery, policy: &P) -> impl Future<Output = Ended<P>>;
}

/// How some branches ended.
#[derive(Debug)]
pub struct Ended<P: Policy> {
    pub(super) failures: Vec<BranchFailure>,
    pub(super) dropped: P::Dropped,
}

impl Branches for () {
    fn required_count(&self) -> usize {
        0
    }

    async fn run<P: Policy>(self, _delivery: &Delivery, _policy: &P) -> Ended<P> {
        Ended {
            failures: Vec::new(),
            dropped: P::Dropped::default(),
        }
    }
}

impl<B: Branches, F: Future<Output = Result<(), BranchError>>> Branches for (B, Branch<F>) {
    fn required_count(&self) -> usize {
        self.0.required_count() + usize::from(self.1.required)
    }

    // One future per branch, pinned where it is: everything around it would be moved with it.
    async fn run<P: Policy>(self, delivery: &Delivery, policy: &P) -> Ended<P> {
        let (others, branch) = self;
        let Branch {
            name,
            required,
            future,
        } = branch;
        let required = policy.is_required(required);
        let mut others = pin!(others.run(delivery, policy));
        let mut slot = pin!(Some(future));
        let mut ended = None;
        let mut failure = None;
        let mut is_dropped = false;
        poll_fn(|cx| {
            if ended.is_none()
                && let Poll::Ready(others) = others.as_mut().poll(cx)
            {
                ended = Some(others);
            }
            if slot.is_some() && required && policy.is_satisfied() {
                let left = leave(slot.as_mut(), Isolated::Cancelled);
                failure = BranchFailure::new(delivery, name, false, left);
                is_dropped = true;
            } else if slot.is_some()
                && let Poll::Ready(done) = poll_isolated(slot.as_mut(), cx)
            {
                if required && matches!(done, Isolated::Done(Ok(()))) {
                    policy.succeeded();
                }
                failure = BranchFailure::new(delivery, name, required, done);
                // The others were polled before this one made them superfluous.
                if policy.is_satisfied()
                    && ended.is_none()
                    && let Poll::Ready(others) = others.as_mut().poll(cx)
                {
                    ended = Some(others);
                }
            }
            if ended.is_none() || slot.is_some() {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let mut ended = ended.unwrap_or_else(|| Ended {
            failures: Vec::new(),
            dropped: P::Dropped::default(),
        });
        ended.failures.extend(failure);
        if is_dropped {
            P::dropped(&mut ended.dropped, name);
        }
        ended
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<B, F> Sealed for (B, super::Branch<F>) {}
}
