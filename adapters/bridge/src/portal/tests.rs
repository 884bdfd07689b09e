use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::join;

use super::{Close, JoinError, Portal, SubmitError};
use crate::testing::{Dropped, Grenade, Wakes, eventually};

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
fn a_destructor_that_waits_for_its_portal_does_not_hang_the_drop_of_the_driver() {
    let (portal, driver) = Portal::builder().build();
    let other = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    struct Waits(Option<super::PortalHandle<()>>);
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
