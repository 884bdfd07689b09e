//! The readiness handshake: the starter always hears, whatever the task does.

use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::thread;

use futures::executor::block_on;

use crate::{Close, JoinError, Portal, StartError, Started};

#[test]
fn a_task_that_started_goes_on_beside_its_starter() {
    let (portal, driver) = Portal::builder().build();
    let driver = thread::spawn(move || block_on(driver));
    let (handle, value) = portal
        .start_task(async |started: Started<&str>| {
            started.started("ready");
            pending::<()>().await;
        })
        .unwrap();
    assert_eq!(value, "ready");
    assert!(!handle.is_done());
    portal.close(Close::Cancel);
    assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    driver.join().unwrap();
}

#[test]
fn a_task_that_ends_unstarted_gives_its_end_to_the_starter() {
    let (portal, driver) = Portal::builder().build();
    let driver = thread::spawn(move || block_on(driver));
    let returned = portal.start_task::<(), _, _>(|_started| async { 5 });
    let Err(StartError::NotStarted(handle)) = returned else {
        unreachable!("{returned:?}")
    };
    assert_eq!(handle.wait().unwrap(), 5);

    let panicked = portal.start_task::<(), _, _>(async |_| panic!("no port is free"));
    let Err(StartError::NotStarted(handle)) = panicked else {
        unreachable!("{panicked:?}")
    };
    let outcome: Result<(), _> = handle.wait();
    assert!(matches!(outcome, Err(JoinError::Panicked(_))));
    drop(portal);
    driver.join().unwrap();
}

#[test]
fn a_task_that_hides_its_promise_and_ends_does_not_hold_its_starter() {
    static HIDDEN: Mutex<Option<Started<u32>>> = Mutex::new(None);
    let (portal, driver) = Portal::builder().build();
    let driver = thread::spawn(move || block_on(driver));
    let hidden = portal.start_task(async |started| {
        *HIDDEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
    });
    assert!(matches!(hidden, Err(StartError::NotStarted(_))));
    // Too late, and harmless.
    HIDDEN.lock().unwrap().take().unwrap().started(1);
    drop((hidden, portal));
    driver.join().unwrap();
}

#[test]
fn a_driver_that_dies_does_not_hold_a_starter() {
    let (portal, driver) = Portal::builder().build();
    let starter = {
        let portal = portal.clone();
        thread::spawn(move || {
            portal.start_task(async |started: Started<()>| {
                let _started = started;
                pending::<()>().await;
            })
        })
    };
    crate::testing::eventually("it is submitted", || portal.stats().accepted == 1);
    drop(driver);
    match starter.join().unwrap() {
        Err(StartError::NotStarted(handle)) => {
            assert!(matches!(handle.wait(), Err(JoinError::PortalClosed)));
        }
        other => unreachable!("{other:?}"),
    }
    let late = portal.start_task(async |_: Started<()>| ());
    assert!(matches!(late, Err(StartError::PortalClosed)));
}

#[test]
fn a_starter_inside_the_own_driver_is_refused() {
    let (portal, driver) = Portal::builder().name("own").build();
    let inner = portal.clone();
    let handle = portal
        .run_coroutine_threadsafe(async move {
            let refused = inner.start_task(async |_: Started<()>| ());
            matches!(refused, Err(StartError::WouldDeadlock(it)) if it.portal == "own")
        })
        .unwrap();
    drop(portal);
    assert_eq!(block_on(driver).accepted, 1);
    assert!(handle.wait().unwrap());
}
