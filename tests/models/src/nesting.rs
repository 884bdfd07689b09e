//! Jobs that wait for jobs: the thread and the permit of the one are enough for both.

use std::time::Duration;

use mayhem_bridge::{BlockingError, BusyReason, Limiter, Portal};

use crate::catalog::{Model, models};
use crate::pool::{LATER, builder};
use crate::world::{Tally, block_on, check, join, pass_time, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_job_may_wait_for_its_own_pool,
    a_permit_is_lent_and_given_back,
    a_job_may_reach_its_pool_through_a_portal,
    a_nested_job_runs_or_is_cancelled,
    a_nested_job_runs_or_is_reported,
];

fn a_job_may_wait_for_its_own_pool() {
    for threads in [1, 2] {
        check(2, move || {
            let pool = builder(threads, 2).build();
            let inner = pool.clone();
            let outer = pool.run("outer", move |_| inner.run("inner", |_| 7).unwrap().wait());
            // A second thread, if there is one, may be retiring just now.
            let time = spawn(pass_time);
            assert_eq!(outer.unwrap().wait().unwrap().unwrap(), 7);
            join(time);
            let stats = pool.stats();
            assert_eq!((stats.finished, stats.running, stats.queued), (2, 0, 0));
        });
    }
}

fn a_permit_is_lent_and_given_back() {
    check(2, || {
        let limiter = Limiter::new(1);
        let [outer, inner] = [1, 1].map(|threads| builder(threads, 1).limiter(&limiter).build());
        let pool = inner.clone();
        let job = outer.run("outer", move |_| pool.run("inner", |_| 7).unwrap().wait());
        assert_eq!(job.unwrap().wait().unwrap().unwrap(), 7);
        // The inner pool's own thread has come for the permit too, and was or is in line.
        assert_eq!(inner.run("after", |_| 8).unwrap().wait().unwrap(), 8);
        assert!(inner.shutdown(LATER).is_clean() && outer.shutdown(LATER).is_clean());
        let stats = limiter.stats();
        assert_eq!((stats.held, stats.waiting, stats.abandoned), (0, 0, 0));
        assert_eq!(inner.stats().finished, 2);
    });
}

fn a_job_may_reach_its_pool_through_a_portal() {
    check(3, || {
        let pool = builder(1, 0).build();
        let (portal, driver) = Portal::builder().build();
        let inner = pool.clone();
        let outer = pool.run("outer", move |_| {
            // Awaited on the driver's thread, run on this one, which waits for the portal.
            portal.call(async move { inner.run_async("inner", |_| 7).await })
        });
        assert_eq!(block_on(driver).completed, 1);
        assert_eq!(outer.unwrap().wait().unwrap().unwrap().unwrap(), 7);
        let stats = pool.stats();
        assert_eq!((stats.finished, stats.nested, stats.waiting), (2, 1, 0));
    });
}

fn a_nested_job_runs_or_is_cancelled() {
    check(3, || {
        let tally = Tally::default();
        let pool = builder(1, 1).build();
        let (inner, ran) = (pool.clone(), tally.clone());
        let outer = pool.run("outer", move |_| {
            let job = inner.run("inner", move |_| ran.add()).unwrap();
            let token = job.cancel_token();
            let canceller = spawn(move || token.cancel());
            let outcome = job.wait();
            join(canceller);
            outcome
        });
        match outer.unwrap().wait().unwrap() {
            Ok(()) => assert_eq!(tally.count(), 1),
            Err(BlockingError::Cancelled) => assert_eq!(tally.count(), 0),
            other => unreachable!("{other:?}"),
        }
        let stats = pool.stats();
        assert_eq!(stats.accepted, stats.finished + stats.cancelled);
    });
}

fn a_nested_job_runs_or_is_reported() {
    check(3, || {
        let tally = Tally::default();
        let pool = builder(1, 1).build();
        let (inner, ran) = (pool.clone(), tally.clone());
        let outer = pool.run("outer", move |_| {
            let job = match inner.run("inner", move |_| ran.add()) {
                Ok(job) => job,
                Err(busy) => {
                    assert!(matches!(busy.reason(), BusyReason::ShutDown));
                    return false;
                }
            };
            match job.wait() {
                Ok(()) => false,
                Err(BlockingError::PoolClosed) => true,
                other => unreachable!("{other:?}"),
            }
        });
        let report = pool.shutdown(Duration::ZERO);
        let outer = outer.unwrap().wait();
        let (unrun, labels): (_, &[&str]) = match outer {
            Ok(true) => (1, &["inner"]),
            Ok(false) => (0, &[]),
            Err(BlockingError::PoolClosed) => (1, &["outer"]),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(report.never_started, labels);
        assert!(pool.shutdown(LATER).is_clean());
        let stats = pool.stats();
        assert_eq!((stats.never_started, stats.running), (unrun, 0));
        assert_eq!(stats.accepted, stats.finished + unrun);
    });
}
