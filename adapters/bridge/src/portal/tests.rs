mod ending;
mod handles;
mod local;
mod providing;
mod seats;
mod spawning;
mod starting;
mod submitting;

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::join;

use super::{JoinError, Portal, SubmitError};
use crate::testing::{Grenade, Wakes};

/// Polls the driver once, by hand.
fn poll_once<F: Future>(future: &mut Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn a_thread_gets_the_result_of_an_async_call() {
    let (portal, driver) = Portal::builder().build();
    let caller = thread::spawn(move || portal.call(async { 6 * 7 }));
    let stats = block_on(driver);
    assert_eq!(caller.join().unwrap().unwrap(), 42);
    assert_eq!(
        (stats.accepted, stats.completed, stats.outstanding),
        (1, 1, 0)
    );
}

#[test]
fn a_full_portal_hands_the_future_back_and_has_room_when_one_ends() {
    let (portal, driver) = Portal::builder().capacity(2).build();
    let mut driver = pin!(driver);
    let (release, is_released) = oneshot::channel::<()>();
    let first = portal.run_coroutine_threadsafe(is_released).unwrap();
    let second = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let refused = portal
        .run_coroutine_threadsafe(std::future::ready(3))
        .unwrap_err();
    assert!(matches!(&refused, SubmitError::Full(_)));

    // Admitted is not finished: a portal with two futures at work is full as well.
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    let refused = portal
        .run_coroutine_threadsafe(refused.into_future())
        .unwrap_err();
    release.send(()).unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(first.wait().unwrap(), Ok(()));
    let third = portal
        .run_coroutine_threadsafe(refused.into_future())
        .unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(third.wait().unwrap(), 3);
    drop(second);
}

#[test]
fn a_call_waits_for_room() {
    let (portal, driver) = Portal::builder().capacity(1).build();
    let callers: Vec<_> = (0..8)
        .map(|value| {
            let portal = portal.clone();
            thread::spawn(move || portal.call(async move { value }).unwrap())
        })
        .collect();
    drop(portal);
    assert_eq!(block_on(driver).completed, 8);
    let values: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    assert_eq!(values, (0..8).collect::<Vec<_>>());
}

#[test]
fn a_panic_reaches_the_waiter_and_no_one_else() {
    let (portal, driver) = Portal::builder().build();
    let bad = portal
        .run_coroutine_threadsafe(async { panic!("bad job") })
        .unwrap();
    let good = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    drop(portal);
    let stats = block_on(driver);
    let bad: Result<(), _> = bad.wait();
    assert!(matches!(bad, Err(JoinError::Panicked(panic)) if panic.message() == "bad job"));
    assert_eq!(good.wait().unwrap(), 1);
    assert_eq!((stats.panicked, stats.completed), (1, 1));
}

#[test]
fn waiting_for_the_own_portal_inside_its_poll_is_detected() {
    let (portal, driver) = Portal::builder().name("ingest").build();
    let other = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let third = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let handle = portal
        .run_coroutine_threadsafe(async move {
            let waited = other.wait_timeout(Duration::from_secs(3600));
            (waited.map_err(drop), third.wait())
        })
        .unwrap();
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());

    let (timed, untimed) = handle.wait().unwrap();
    for outcome in [timed.unwrap(), untimed] {
        let Err(JoinError::WouldDeadlock(deadlock)) = outcome else {
            unreachable!()
        };
        assert_eq!(deadlock.portal, "ingest");
        assert_eq!(Some(deadlock.thread.as_str()), thread::current().name());
    }
}

#[test]
fn waiting_for_another_portal_inside_a_poll_is_allowed() {
    let (outer, outer_driver) = Portal::builder().name("outer").build();
    let (inner, inner_driver) = Portal::builder().name("inner").build();
    let other = thread::spawn(move || block_on(inner_driver));
    let handle = outer
        .run_coroutine_threadsafe(async move { inner.call(async { 5 }).unwrap() })
        .unwrap();
    drop(outer);
    block_on(outer_driver);
    assert_eq!(handle.wait().unwrap(), 5);
    assert_eq!(other.join().unwrap().completed, 1);
}

#[test]
fn a_handle_is_a_future_on_the_same_and_on_another_executor() {
    let (portal, driver) = Portal::builder().build();
    let first = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    let second = portal
        .run_coroutine_threadsafe(async move { first.await.unwrap() + 1 })
        .unwrap();
    drop(portal);
    let (value, _) = block_on(join(second, driver));
    assert_eq!(value.unwrap(), 2);
}

#[test]
fn a_dropped_handle_detaches() {
    let (portal, driver) = Portal::builder().build();
    let (told, was_told) = oneshot::channel();
    drop(
        portal
            .run_coroutine_threadsafe(async move { told.send(7) })
            .unwrap(),
    );
    drop(portal);
    assert_eq!(block_on(driver).completed, 1);
    assert_eq!(block_on(was_told), Ok(7));
}

#[test]
fn a_waker_that_panics_does_not_harm_the_other_futures() {
    let (portal, driver) = Portal::builder().build();
    let mut first = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    let second = portal.run_coroutine_threadsafe(async { 2 }).unwrap();
    let grenade = Waker::from(Arc::new(Grenade));
    assert!(
        first
            .poll_unpin(&mut Context::from_waker(&grenade))
            .is_pending()
    );
    drop(portal);
    assert_eq!(block_on(driver).completed, 2);
    assert_eq!(first.wait().unwrap(), 1);
    assert_eq!(second.wait().unwrap(), 2);
}

#[test]
fn one_poll_admits_and_ends_a_bounded_number() {
    let (portal, driver) = Portal::builder().build();
    let handles: Vec<_> = (0..200)
        .map(|value| {
            portal
                .run_coroutine_threadsafe(async move { value })
                .unwrap()
        })
        .collect();
    let mut driver = pin!(driver);
    let (wakes, waker) = Wakes::new();
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(portal.stats().completed, 64);
    // It asks for its next turn itself.
    assert_eq!(wakes.count(), 1);
    drop(portal);
    assert_eq!(block_on(driver).completed, 200);
    for (value, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap(), value);
    }
}

#[test]
fn a_future_that_always_wakes_itself_does_not_starve_the_rest() {
    let (portal, driver) = Portal::builder().build();
    let busy = portal
        .run_coroutine_threadsafe(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }))
        .unwrap();
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    let quick = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(quick.wait().unwrap(), 1);
    drop(busy);
}

/// Is pending at the first poll, with a wake, and ready at the second.
async fn once_pending() {
    let mut is_second = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
