//! Local portals: futures that stay on one thread, which must not wait for its portal.

use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;

use super::poll_once;
use crate::testing::Dropped;
use crate::{Deadlock, JoinError, Portal, StartError, Started, SubmitError, Unwound};

#[test]
fn a_future_that_is_not_send_is_made_polled_and_dropped_on_the_drivers_thread() {
    struct Here(thread::ThreadId, Rc<()>);
    impl Drop for Here {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0);
        }
    }
    let (portal, driver) = Portal::builder().build_local();
    let caller = thread::spawn(move || {
        let make = || {
            let here = Here(thread::current().id(), Rc::new(()));
            async move {
                super::once_pending().await;
                drop(Rc::clone(&here.1));
                here.0
            }
        };
        let finished = portal.spawn_from_within(make).unwrap().wait().unwrap();
        let stuck = portal
            .spawn_from_within(|| {
                let here = Here(thread::current().id(), Rc::new(()));
                async move {
                    let _here = here;
                    pending::<()>().await;
                }
            })
            .unwrap();
        let unwound = stuck.cancel_and_wait(Duration::from_secs(60));
        assert!(matches!(unwound, Unwound::Gone(Err(JoinError::Cancelled))));
        finished
    });
    block_on(driver);
    assert_eq!(caller.join().unwrap(), thread::current().id());
}

#[test]
fn a_local_portal_runs_futures_that_are_send_as_well_in_order() {
    let (portal, driver) = Portal::builder().build_local();
    let order = Arc::new(AtomicUsize::new(0));
    let (first, second) = (Arc::clone(&order), Arc::clone(&order));
    let made =
        portal.spawn_from_within(move || async move { first.fetch_add(1, Ordering::SeqCst) });
    let sent =
        portal.run_coroutine_threadsafe(async move { second.fetch_add(1, Ordering::SeqCst) });
    drop(portal);
    assert_eq!(block_on(driver).completed, 2);
    assert_eq!(
        (made.unwrap().wait().unwrap(), sent.unwrap().wait().unwrap()),
        (0, 1)
    );
}

#[test]
fn a_closure_that_panics_is_a_future_that_panicked() {
    let (portal, driver) = Portal::builder().build_local();
    let handle = portal
        .spawn_from_within(|| -> std::future::Ready<()> { panic!("cannot make it") })
        .unwrap();
    drop(portal);
    assert_eq!(block_on(driver).panicked, 1);
    assert!(
        matches!(handle.wait(), Err(JoinError::Panicked(it)) if it.message() == "cannot make it")
    );
}

#[test]
fn a_closure_cancelled_before_its_turn_is_never_called() {
    let (portal, driver) = Portal::builder().build_local();
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let handle = portal
        .spawn_from_within(move || -> std::future::Ready<()> { panic!("called with {value:?}") })
        .unwrap();
    handle.cancel();
    drop(portal);
    assert_eq!(block_on(driver).cancelled, 1);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
}

#[test]
fn a_full_or_closed_local_portal_hands_the_closure_back() {
    let (portal, driver) = Portal::builder().capacity(1).build_local();
    portal.spawn_from_within(pending::<()>).unwrap().detach();
    let refused = portal.spawn_from_within(|| async { 3 }).unwrap_err();
    assert!(matches!(refused, SubmitError::Full(_)));
    drop(driver);
    let refused = portal.spawn_from_within(refused.into_future()).unwrap_err();
    assert!(matches!(refused, SubmitError::Closed(_)));
    assert_eq!(block_on(refused.into_future()()), 3);
}

#[test]
fn waiting_on_the_thread_of_a_local_driver_is_detected_outside_of_its_poll() {
    let (portal, driver) = Portal::builder().name("pinned").capacity(1).build_local();
    let is_right = |it: &Deadlock| {
        it.portal == "pinned" && Some(it.thread.as_str()) == thread::current().name()
    };
    assert!(matches!(portal.call(async {}), Err(JoinError::WouldDeadlock(it)) if is_right(&it)));
    let started = portal.start_task(async |_: Started<()>| ());
    assert!(matches!(started, Err(StartError::WouldDeadlock(it)) if is_right(&it)));

    let handle = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    let refused = portal.submit_timeout(async { 2 }, Duration::from_secs(3600));
    assert!(matches!(refused, Err(SubmitError::WouldDeadlock(_, it)) if is_right(&it)));
    let waited = handle.wait_timeout(Duration::from_secs(3600)).unwrap();
    assert!(matches!(waited, Err(JoinError::WouldDeadlock(it)) if is_right(&it)));

    // What needs no waiting is not refused.
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    let handle = portal.submit_timeout(async { 2 }, Duration::ZERO).unwrap();
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert_eq!(handle.wait().unwrap(), 2);
}

#[test]
fn other_threads_may_wait_for_a_local_portal_and_it_for_theirs() {
    let (portal, driver) = Portal::builder().build_local();
    let (other, other_driver) = Portal::builder().build();
    let other_thread = thread::spawn(move || block_on(other_driver));
    let caller = thread::spawn(move || portal.call(async { 1 }).unwrap());
    // This thread is pinned, to another portal.
    assert_eq!(other.call(async { 2 }).unwrap(), 2);
    drop(other);
    block_on(driver);
    assert_eq!(caller.join().unwrap(), 1);
    other_thread.join().unwrap();
}

#[test]
fn a_closed_local_portal_is_told_as_closed_on_its_own_thread() {
    let (portal, driver) = Portal::builder().build_local();
    let handle = portal.spawn_from_within(pending::<()>).unwrap();
    drop(driver);
    assert!(matches!(
        portal.call(async {}),
        Err(JoinError::PortalClosed)
    ));
    assert!(matches!(handle.wait(), Err(JoinError::PortalClosed)));
}
