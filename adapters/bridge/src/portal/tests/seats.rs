//! Wakers of jobs: who is woken is polled, and nobody else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::poll_once;
use crate::testing::Wakes;
use crate::{Close, Portal};

/// Counts its polls, leaves its waker, and is never ready.
fn counting(
    polls: &Arc<AtomicUsize>,
    waker: &Arc<Mutex<Option<Waker>>>,
) -> impl Future<Output = ()> + Send + 'static {
    let (polls, waker) = (Arc::clone(polls), Arc::clone(waker));
    poll_fn(move |cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        *waker.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    })
}

#[test]
fn a_job_is_polled_when_it_was_woken_and_only_then() {
    let (portal, driver) = Portal::builder().build();
    let mut driver = pin!(driver);
    let jobs: Vec<_> = (0..3).map(|_| (Arc::default(), Arc::default())).collect();
    let handles: Vec<_> = jobs
        .iter()
        .map(|(polls, waker)| {
            portal
                .run_coroutine_threadsafe(counting(polls, waker))
                .unwrap()
        })
        .collect();
    let polls = || {
        jobs.iter()
            .map(|(polls, _)| polls.load(Ordering::SeqCst))
            .collect::<Vec<_>>()
    };
    let (wakes, waker) = Wakes::new();
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(polls(), [1, 1, 1]);

    // Many wakes before the poll are one wake of the driver and one poll.
    for _ in 0..5 {
        jobs[1].1.lock().unwrap().as_ref().unwrap().wake_by_ref();
    }
    assert_eq!(wakes.count(), 1);
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(polls(), [1, 2, 1]);
    // A poll without a wake polls none of them.
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(polls(), [1, 2, 1]);
    drop(handles);
}

#[test]
fn a_waker_that_outlives_its_job_is_harmless() {
    let (portal, driver) = Portal::builder().build();
    let mut driver = pin!(driver);
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let first = portal
        .run_coroutine_threadsafe(poll_fn(move |cx| {
            *keep.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(1)
        }))
        .unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(first.wait().unwrap(), 1);
    let stale = kept.lock().unwrap().take().unwrap();
    // An empty seat.
    stale.wake_by_ref();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    // The next one in the seat bears a poll too many.
    let polls = Arc::default();
    let next = portal
        .run_coroutine_threadsafe(counting(&polls, &Arc::default()))
        .unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    stale.wake_by_ref();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 2);

    portal.close(Close::Cancel);
    assert!(poll_once(&mut driver, Waker::noop()).is_ready());
    assert!(next.wait().is_err());
    // Nobody is there any more.
    stale.wake();
}

#[test]
fn a_job_that_wakes_itself_does_not_wake_the_driver_that_polls_it() {
    let (portal, driver) = Portal::builder().build();
    let mut driver = pin!(driver);
    let (wakes, waker) = Wakes::new();
    let mut turns = 10;
    let handle = portal
        .run_coroutine_threadsafe(poll_fn(move |cx| {
            turns -= 1;
            if turns == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
        .unwrap();
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(wakes.count(), 0);
    handle.wait().unwrap();
}
