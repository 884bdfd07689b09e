//! How futures in a portal end other than by returning, and how a portal ends.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;

use super::poll_once;
use crate::testing::{Dropped, Wakes, eventually};
use crate::{Close, JoinError, Portal, PortalHandle, SubmitError};

#[test]
fn a_call_that_waits_for_room_hears_of_the_close() {
    let (portal, driver) = Portal::builder().capacity(1).build();
    let stuck = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let caller = {
        let portal = portal.clone();
        thread::spawn(move || portal.call(async {}))
    };
    eventually("the call waits", || portal.shared.lock().waiting == 1);
    drop(driver);
    assert!(matches!(
        caller.join().unwrap(),
        Err(JoinError::PortalClosed)
    ));
    assert!(matches!(stuck.wait(), Err(JoinError::PortalClosed)));
}

#[test]
fn a_future_that_was_never_polled_is_gone_before_its_handle_hears_of_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (portal, driver) = Portal::builder().build();
    let (local, local_driver) = Portal::builder().build_local();
    let value = Dropped(Arc::clone(&drops));
    let sent = portal.run_coroutine_threadsafe(async move { drop(value) });
    let value = Dropped(Arc::clone(&drops));
    let made = local.spawn_from_within(move || async move { drop(value) });

    let heard = Arc::new(AtomicUsize::new(0));
    for handle in [sent.unwrap(), made.unwrap()] {
        let (drops, heard) = (Arc::clone(&drops), Arc::clone(&heard));
        handle.on_done(move |_| {
            let dropped = drops.load(Ordering::SeqCst);
            assert_eq!(dropped, heard.fetch_add(1, Ordering::SeqCst) + 1);
        });
    }
    drop(driver);
    drop(local_driver);
    assert_eq!(heard.load(Ordering::SeqCst), 2);
    let panics = [portal.stats(), local.stats()].map(|stats| stats.callbacks_panicked);
    assert_eq!(panics, [0, 0]);
}

#[test]
fn a_driver_dropped_unpolled_fails_every_waiter_and_every_later_submission() {
    let (portal, driver) = Portal::builder().build();
    let handles: Vec<_> = (0..3)
        .map(|_| portal.run_coroutine_threadsafe(async { 1 }).unwrap())
        .collect();
    let waiters: Vec<_> = handles
        .into_iter()
        .map(|handle| thread::spawn(move || handle.wait()))
        .collect();
    drop(driver);

    for waiter in waiters {
        assert!(matches!(
            waiter.join().unwrap(),
            Err(JoinError::PortalClosed)
        ));
    }
    let late = portal.run_coroutine_threadsafe(async {});
    assert!(matches!(late, Err(SubmitError::Closed(_))));
    let stats = portal.stats();
    assert_eq!((stats.accepted, stats.closed, stats.outstanding), (3, 3, 0));
}

#[test]
fn a_driver_dropped_halfway_fails_what_is_unfinished() {
    let (portal, driver) = Portal::builder().build();
    let done = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    let stuck = portal.run_coroutine_threadsafe(pending::<u32>()).unwrap();
    {
        let mut driver = Box::pin(driver);
        assert!(
            driver
                .poll_unpin(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    assert_eq!(done.wait().unwrap(), 1);
    assert!(matches!(stuck.wait(), Err(JoinError::PortalClosed)));
}

#[test]
fn cancelled_means_that_the_future_was_dropped() {
    let (portal, driver) = Portal::builder().build();
    let mut driver = pin!(driver);
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let running = portal
        .run_coroutine_threadsafe(async move {
            let _value = value;
            pending::<()>().await;
        })
        .unwrap();
    let (wakes, waker) = Wakes::new();
    assert!(poll_once(&mut driver, &waker).is_pending());

    let before = wakes.count();
    running.cancel();
    assert_eq!(wakes.count(), before + 1);
    // Asked, not yet done.
    let running = running.wait_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    assert!(poll_once(&mut driver, &waker).is_pending());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(running.wait(), Err(JoinError::Cancelled)));
    assert_eq!(portal.stats().cancelled, 1);
}

#[test]
fn a_future_cancelled_before_its_first_poll_is_never_polled() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal
        .run_coroutine_threadsafe(async { panic!("polled") })
        .unwrap();
    handle.cancel();
    drop(portal);
    block_on(driver);
    let outcome: Result<(), _> = handle.wait();
    assert!(matches!(outcome, Err(JoinError::Cancelled)));
}

#[test]
fn a_cancel_after_the_end_changes_nothing() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    drop(portal);
    block_on(driver);
    handle.cancel();
    assert_eq!(handle.wait().unwrap(), 1);
}

#[test]
fn a_destructor_that_waits_for_its_portal_does_not_hang_the_drop_of_the_driver() {
    let (portal, driver) = Portal::builder().build();
    let other = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    struct Waits(Option<PortalHandle<()>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            // Either it ended before us, or waiting for it here is refused.
            assert!(self.0.take().unwrap().wait().is_err());
        }
    }
    let waits = Waits(Some(other));
    let handle = portal
        .run_coroutine_threadsafe(async move {
            let _waits = waits;
            pending::<()>().await;
        })
        .unwrap();
    drop(driver);
    assert!(matches!(handle.wait(), Err(JoinError::PortalClosed)));
}

#[test]
fn a_destructor_that_panics_reaches_only_its_own_waiter() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("this destructor panics");
        }
    }
    let (portal, driver) = Portal::builder().build();
    let start = |bomb: Bomb| {
        portal
            .run_coroutine_threadsafe(async move {
                let _bomb = bomb;
                pending::<()>().await;
            })
            .unwrap()
    };
    let (first, second) = (start(Bomb), start(Bomb));
    let mut driver = Box::pin(driver);
    assert!(
        driver
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    first.cancel();
    assert!(
        driver
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert!(matches!(first.wait(), Err(JoinError::Panicked(_))));
    drop(driver);
    assert!(matches!(second.wait(), Err(JoinError::PortalClosed)));
}

#[test]
fn closing_drains_or_cancels() {
    for how in [Close::Drain, Close::Cancel] {
        let (portal, driver) = Portal::builder().build();
        let (release, is_released) = oneshot::channel::<()>();
        let handle = portal.run_coroutine_threadsafe(is_released).unwrap();
        let mut driver = pin!(driver);
        let (wakes, waker) = Wakes::new();
        assert!(poll_once(&mut driver, &waker).is_pending());

        let before = wakes.count();
        portal.close(how);
        assert_eq!(wakes.count(), before + 1);
        assert!(!portal.is_open());
        assert!(matches!(
            portal.run_coroutine_threadsafe(async {}),
            Err(SubmitError::Closed(_))
        ));
        match how {
            Close::Drain => {
                assert!(poll_once(&mut driver, &waker).is_pending());
                release.send(()).unwrap();
                assert!(poll_once(&mut driver, &waker).is_ready());
                assert_eq!(handle.wait().unwrap(), Ok(()));
            }
            Close::Cancel => {
                assert!(poll_once(&mut driver, &waker).is_ready());
                assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
            }
        }
    }
}

#[test]
fn a_drain_can_be_turned_into_a_cancel() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let mut driver = pin!(driver);
    portal.close(Close::Drain);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    portal.close(Close::Cancel);
    assert!(poll_once(&mut driver, Waker::noop()).is_ready());
    assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
}
