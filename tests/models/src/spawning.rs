//! Portals whose jobs are tasks of their own: the driver outlives them, and ends them when it goes.

use std::pin::pin;
use std::task::{Context, Waker};

use futures::FutureExt;
use futures::task::{FutureObj, Spawn, SpawnError};
use mayhem_bridge::{Close, JoinError, Portal};

use crate::catalog::{Model, models};
use crate::world::{Tally, block_on, check, join, spawn};

pub(crate) const MODELS: &[Model] = models![
    spawned_jobs_end_before_the_driver,
    a_close_ends_sleeping_spawned_jobs,
    a_dropped_driver_ends_spawned_jobs,
    a_cancel_reaches_a_spawned_job,
];

/// An executor with a thread for every task.
struct Threads;

impl Spawn for Threads {
    fn spawn_obj(&self, task: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        // Detached: a model ends only when its threads do.
        drop(spawn(move || block_on(task)));
        Ok(())
    }
}

fn spawned_jobs_end_before_the_driver() {
    check(3, || {
        let (portal, driver) = Portal::builder().build();
        let submit = |value| portal.run_coroutine_threadsafe(async move { value });
        let handles = [1, 2].map(|value| submit(value).unwrap());
        drop(portal);
        let stats = block_on(driver.spawner(Threads));
        assert_eq!((stats.completed, stats.outstanding), (2, 0));
        assert_eq!(handles.map(|handle| handle.wait().unwrap()), [1, 2]);
    });
}

fn a_close_ends_sleeping_spawned_jobs() {
    check(2, || {
        let tally = Tally::default();
        let (portal, driver) = Portal::builder().build();
        let value = tally.value(7);
        let handle = portal.run_coroutine_threadsafe(async move {
            let _value = value;
            std::future::pending::<()>().await;
        });
        let closer = spawn(move || portal.close(Close::Cancel));
        let stats = block_on(driver.spawner(Threads));
        join(closer);
        let ends = (stats.cancelled, stats.outstanding, tally.count());
        assert_eq!(ends, (1, 0, 1));
        assert!(matches!(handle.unwrap().wait(), Err(JoinError::Cancelled)));
    });
}

fn a_dropped_driver_ends_spawned_jobs() {
    check(3, || {
        let tally = Tally::default();
        let (portal, driver) = Portal::builder().build();
        let value = tally.value(7);
        let handle = portal.run_coroutine_threadsafe(async move {
            let _value = value;
            std::future::pending::<()>().await;
        });
        {
            let mut driver = pin!(driver.spawner(Threads));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(driver.poll_unpin(&mut cx).is_pending());
        }
        let outcome = handle.unwrap().wait();
        assert!(matches!(outcome, Err(JoinError::PortalClosed)));
        assert_eq!(tally.count(), 1, "told before the future was dropped");
        assert_eq!(portal.stats().closed, 1);
    });
}

fn a_cancel_reaches_a_spawned_job() {
    check(2, || {
        let (portal, driver) = Portal::builder().build();
        let handle = portal
            .run_coroutine_threadsafe(std::future::pending::<()>())
            .unwrap();
        drop(portal);
        let canceller = spawn(move || {
            handle.cancel();
            handle.wait()
        });
        assert_eq!(block_on(driver.spawner(Threads)).cancelled, 1);
        assert!(matches!(join(canceller), Err(JoinError::Cancelled)));
    });
}
