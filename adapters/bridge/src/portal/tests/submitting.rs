//! Submissions that wait for room.

use std::future::pending;
use std::pin::pin;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::block_on;

use super::poll_once;
use crate::testing::eventually;
use crate::{Portal, SubmitError};

#[test]
fn a_submission_waits_for_room_and_gets_it() {
    let (portal, driver) = Portal::builder().capacity(1).build();
    let (release, is_released) = oneshot::channel::<()>();
    let first = portal.run_coroutine_threadsafe(is_released).unwrap();
    let waiter = {
        let portal = portal.clone();
        thread::spawn(move || {
            portal
                .submit_timeout(async { 2 }, Duration::MAX)
                .unwrap()
                .wait()
        })
    };
    eventually("it waits", || portal.shared.lock().waiting == 1);
    release.send(()).unwrap();
    drop(portal);
    assert_eq!(block_on(driver).completed, 2);
    assert_eq!(
        (first.wait().unwrap(), waiter.join().unwrap().unwrap()),
        (Ok(()), 2)
    );
}

#[test]
fn a_submission_that_waits_too_long_has_its_future_back() {
    let (portal, _driver) = Portal::builder().capacity(1).build();
    portal
        .run_coroutine_threadsafe(pending::<()>())
        .unwrap()
        .detach();
    let refused = portal
        .submit_timeout(async { 2 }, Duration::from_millis(1))
        .unwrap_err();
    assert!(matches!(&refused, SubmitError::Full(_)));
    assert_eq!(block_on(refused.into_future()), 2);
    assert_eq!(portal.stats().accepted, 1);
}

#[test]
fn a_submission_inside_the_own_driver_is_refused_only_if_it_would_wait() {
    let (portal, driver) = Portal::builder().name("own").capacity(2).build();
    let inner = portal.clone();
    let handle = portal
        .run_coroutine_threadsafe(async move {
            let fits = inner.submit_timeout(pending::<()>(), Duration::from_secs(3600));
            let waits = inner.submit_timeout(async {}, Duration::from_secs(3600));
            (
                fits.is_ok(),
                waits.map(drop).map_err(|error| error.to_string()),
            )
        })
        .unwrap();
    let mut driver = pin!(driver);
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    let (fits, waits) = handle.wait().unwrap();
    assert!(fits);
    let thread = thread::current();
    let thread = thread.name().unwrap();
    assert_eq!(
        waits.unwrap_err(),
        format!("thread {thread} polls portal own and must not wait for it")
    );
}

#[test]
fn a_submission_that_waits_hears_of_the_close() {
    let (portal, driver) = Portal::builder().capacity(1).build();
    portal
        .run_coroutine_threadsafe(pending::<()>())
        .unwrap()
        .detach();
    let waiter = {
        let portal = portal.clone();
        thread::spawn(move || portal.submit_timeout(async {}, Duration::MAX).map(drop))
    };
    eventually("it waits", || portal.shared.lock().waiting == 1);
    drop(driver);
    assert!(matches!(
        waiter.join().unwrap(),
        Err(SubmitError::Closed(_))
    ));
}
