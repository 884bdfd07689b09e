//! What an owner can do with a handle: cancel and wait, be called back, let go.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use futures::{FutureExt, channel::oneshot};

use super::poll_once;
use crate::testing::{Dropped, eventually};
use crate::{Close, JoinError, Portal, PortalHandle, Unwound};

/// A future that never ends and counts its drop.
fn held(portal: &Portal) -> (PortalHandle<()>, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let handle = portal.run_coroutine_threadsafe(async move {
        let _value = value;
        pending::<()>().await;
    });
    (handle.unwrap(), drops)
}

#[test]
fn a_cancel_that_is_waited_for_has_dropped_the_future() {
    let (portal, driver) = Portal::builder().build();
    let (handle, drops) = held(&portal);
    drop(portal);
    let driver = thread::spawn(move || block_on(driver));
    let unwound = handle.cancel_and_wait(Duration::from_secs(60));
    assert!(matches!(unwound, Unwound::Gone(Err(JoinError::Cancelled))));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(driver.join().unwrap().cancelled, 1);
}

#[test]
fn a_cancel_that_is_late_gives_the_handle_back() {
    let (portal, driver) = Portal::builder().build();
    let (handle, drops) = held(&portal);
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    let Unwound::Late(handle) = handle.cancel_and_wait(Duration::from_millis(1)) else {
        unreachable!("nobody polls the driver")
    };
    assert_eq!(drops.load(Ordering::SeqCst), 0);

    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
}

#[test]
fn a_cancel_after_the_result_has_the_result() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    drop(portal);
    block_on(driver);
    let unwound = handle.cancel_and_wait(Duration::ZERO);
    assert!(matches!(unwound, Unwound::Gone(Ok(7))));
}

#[test]
fn a_cancel_inside_the_own_driver_is_asked_for_but_not_waited_for() {
    let (portal, driver) = Portal::builder().name("own").build();
    let (other, drops) = held(&portal);
    let handle = portal
        .run_coroutine_threadsafe(async move { other.cancel_and_wait(Duration::from_secs(3600)) })
        .unwrap();
    drop(portal);
    block_on(driver);
    let Ok(Unwound::WouldDeadlock(other, deadlock)) = handle.wait() else {
        unreachable!("the driver cannot wait for itself")
    };
    assert_eq!(deadlock.portal, "own");
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(other.wait(), Err(JoinError::Cancelled)));
}

#[test]
fn a_callback_sees_the_outcome_on_the_driver_before_the_waiter_has_it() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    let (told, was_told) = mpsc::channel();
    handle.on_done(move |outcome| {
        let seen = *outcome.as_ref().unwrap();
        told.send((seen, thread::current().id())).unwrap();
    });
    drop(portal);
    let driver = thread::spawn(move || {
        block_on(driver);
        thread::current().id()
    });
    assert_eq!(handle.wait().unwrap(), 7);
    // No waiting: what comes before the waiter's wake is there.
    let (seen, thread) = was_told.try_recv().unwrap();
    assert_eq!((seen, thread), (7, driver.join().unwrap()));
}

#[test]
fn a_callback_on_what_is_done_runs_at_once_and_leaves_the_outcome() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    drop(portal);
    block_on(driver);
    let here = thread::current().id();
    let calls = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let calls = Arc::clone(&calls);
        handle.on_done(move |outcome| {
            assert_eq!(
                (*outcome.as_ref().unwrap(), thread::current().id()),
                (7, here)
            );
            calls.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_callback_runs_for_every_end_even_without_the_handle() {
    let (portal, driver) = Portal::builder().build();
    let (told, was_told) = mpsc::channel();
    let tell = |handle: PortalHandle<()>| {
        let told = told.clone();
        handle.on_done(move |outcome| told.send(format!("{outcome:?}")).unwrap());
        handle.detach();
    };
    tell(portal.run_coroutine_threadsafe(async {}).unwrap());
    tell(
        portal
            .run_coroutine_threadsafe(async { panic!("bad") })
            .unwrap(),
    );
    let cancelled = portal.run_coroutine_threadsafe(pending()).unwrap();
    cancelled.cancel();
    tell(cancelled);
    let mut driver = Box::pin(driver);
    assert!(poll_once(&mut driver.as_mut(), Waker::noop()).is_pending());
    tell(portal.run_coroutine_threadsafe(pending()).unwrap());
    drop(driver);
    let told: Vec<String> = was_told.try_iter().collect();
    assert_eq!(
        told,
        [
            "Ok(())",
            "Err(Panicked(Panic(\"bad\")))",
            "Err(Cancelled)",
            "Err(PortalClosed)"
        ]
    );
}

#[test]
fn a_callback_that_panics_is_counted_and_harms_nobody() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    handle.on_done(|_| panic!("a bad callback"));
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&calls);
    handle.on_done(move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
    });
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    handle.on_done(|_| panic!("another one, here"));
    assert_eq!(portal.stats().callbacks_panicked, 2);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_callback_may_use_the_portal_but_not_wait_for_it() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    let (told, was_told) = oneshot::channel();
    let inner = portal.clone();
    handle.on_done(move |_| {
        let refused = inner.call(async {});
        let next = inner.run_coroutine_threadsafe(async { 8 }).unwrap();
        told.send((matches!(refused, Err(JoinError::WouldDeadlock(_))), next))
            .unwrap();
    });
    drop(portal);
    block_on(driver);
    let (is_refused, next) = was_told.now_or_never().unwrap().unwrap();
    assert!(is_refused);
    assert_eq!((handle.wait().unwrap(), next.wait().unwrap()), (7, 8));
}

#[test]
fn a_handle_that_aborts_cancels_on_drop_and_not_when_detached() {
    let (portal, driver) = Portal::builder().build();
    let (aborting, aborted_drops) = held(&portal);
    let (detached, detached_drops) = held(&portal);
    drop(aborting.abort_on_drop());
    detached.abort_on_drop().detach();
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(aborted_drops.load(Ordering::SeqCst), 1);
    assert_eq!(detached_drops.load(Ordering::SeqCst), 0);
    assert_eq!(portal.stats().cancelled, 1);
    portal.close(Close::Cancel);
    assert!(poll_once(&mut driver, Waker::noop()).is_ready());
    assert_eq!(detached_drops.load(Ordering::SeqCst), 1);
}

#[test]
fn the_longest_poll_is_known() {
    let (portal, driver) = Portal::builder().build();
    let slow = Duration::from_millis(3);
    // The sleep is the work that is measured; it decides nothing else.
    let handle = portal.run_coroutine_threadsafe(async move { thread::sleep(slow) });
    drop(portal);
    let stats = block_on(driver);
    handle.unwrap().wait().unwrap();
    assert!(stats.poll_max >= slow, "{stats:?}");
}

#[test]
fn a_portal_that_spins_loses_nothing() {
    let (portal, driver) = Portal::builder().spin(1000).build();
    let driver = thread::spawn(move || block_on(driver));
    for value in 0..2000 {
        assert_eq!(portal.call(async move { value }).unwrap(), value);
    }
    eventually("nothing is left", || portal.stats().outstanding == 0);
    drop(portal);
    assert_eq!(driver.join().unwrap().completed, 2000);
}
