//! Portals whose jobs are tasks of their own.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::task::{FutureObj, Spawn, SpawnError};

use super::poll_once;
use crate::{Close, JoinError, Portal};

/// Keeps the tasks it is given, unpolled.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Shelf {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap().push(future);
        Ok(())
    }
}

impl Shelf {
    fn take(&self) -> Vec<FutureObj<'static, ()>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Takes no task.
struct Refuses;

impl Spawn for Refuses {
    fn spawn_obj(&self, _: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        Err(SpawnError::shutdown())
    }
}

#[test]
fn jobs_run_in_parallel() {
    let pool = ThreadPool::builder().pool_size(2).create().unwrap();
    let (portal, driver) = Portal::builder().build();
    let barrier = Arc::new(Barrier::new(2));
    let handles: Vec<_> = (0..2)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            // Passes only if both are being polled at the same time.
            portal
                .run_coroutine_threadsafe(async move { barrier.wait().is_leader() })
                .unwrap()
        })
        .collect();
    drop(portal);
    assert_eq!(block_on(driver.spawner(pool)).completed, 2);
    handles
        .into_iter()
        .for_each(|handle| assert!(handle.wait().is_ok()));
}

#[test]
fn many_threads_use_spawned_jobs_and_a_drain_waits_for_all_of_them() {
    let pool = ThreadPool::builder().pool_size(2).create().unwrap();
    let (portal, driver) = Portal::builder().capacity(3).build();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let portal = portal.clone();
            thread::spawn(move || {
                for call in 0..200 {
                    let value = caller * 1000 + call;
                    let answer = portal.call(async move {
                        super::once_pending().await;
                        value
                    });
                    assert_eq!(answer.unwrap(), value);
                }
            })
        })
        .collect();
    drop(portal);
    assert_eq!(block_on(driver.spawner(pool)).completed, 800);
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
}

#[test]
fn a_task_that_its_executor_drops_completes_its_handle() {
    let shelf = Shelf::default();
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    let mut driver = pin!(driver.spawner(shelf.clone()));
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    assert!(!handle.is_done());
    drop(shelf.take());
    assert!(matches!(handle.wait(), Err(JoinError::PortalClosed)));
    assert_eq!(portal.stats().outstanding, 0);
}

#[test]
fn a_task_that_its_executor_refuses_completes_its_handle() {
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
    drop(portal);
    assert_eq!(block_on(driver.spawner(Refuses)).closed, 1);
    assert!(matches!(handle.wait(), Err(JoinError::PortalClosed)));
}

#[test]
fn the_end_of_the_portal_wakes_and_ends_every_task() {
    for is_dropped in [false, true] {
        let mut pool = LocalPool::new();
        let shelf = Shelf::default();
        let (portal, driver) = Portal::builder().build();
        let handle = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
        let mut driver = Box::pin(driver.spawner(shelf.clone()));
        assert!(poll_once(&mut driver.as_mut(), Waker::noop()).is_pending());
        for task in shelf.take() {
            pool.spawner().spawn_obj(task).unwrap();
        }
        pool.run_until_stalled();
        assert!(!handle.is_done());

        if is_dropped {
            drop(driver);
        } else {
            portal.close(Close::Cancel);
            assert!(poll_once(&mut driver.as_mut(), Waker::noop()).is_pending());
        }
        // Nothing but the portal's wake makes the pool poll it again.
        pool.run_until_stalled();
        match handle.wait() {
            Err(JoinError::PortalClosed) => assert!(is_dropped),
            Err(JoinError::Cancelled) => assert!(!is_dropped),
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn a_task_cancelled_by_its_handle_is_woken_and_dropped() {
    let mut pool = LocalPool::new();
    let shelf = Shelf::default();
    let (portal, driver) = Portal::builder().build();
    let handle = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
    let mut driver = pin!(driver.spawner(shelf.clone()));
    assert!(poll_once(&mut driver, Waker::noop()).is_pending());
    pool.spawner().spawn_obj(shelf.take().remove(0)).unwrap();
    pool.run_until_stalled();
    handle.cancel();
    pool.run_until_stalled();
    assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    portal.close(Close::Drain);
    let Poll::Ready(stats) = poll_once(&mut driver, Waker::noop()) else {
        unreachable!("nothing is left")
    };
    assert_eq!(stats.cancelled, 1);
}
