//! Jobs that wait for jobs, with no thread and no permit to spare.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::join_all;

use super::{LONG, blocker, pool};
use crate::testing::eventually;
use crate::{BlockingError, BlockingPool, Limiter, Portal, inventory};

#[test]
fn a_job_that_waits_for_its_own_full_pool_runs_what_it_waits_for() {
    let pool = pool(1, 8);
    let inner = pool.clone();
    let outer = pool.run("outer", move |_| {
        let name = thread::current().name().map(str::to_owned);
        let depth_2 = inner.clone();
        let job = inner.run("inner", move |_| {
            let job = depth_2.run("innermost", |_| thread::current().name().map(str::to_owned));
            job.unwrap().wait().unwrap()
        });
        (name, job.unwrap().wait().unwrap())
    });
    let (outer, innermost) = outer.unwrap().wait().unwrap();
    assert_eq!(outer, innermost);
    let stats = pool.stats();
    assert_eq!((stats.finished, stats.nested, stats.threads), (3, 2, 1));
    assert!(pool.shutdown(LONG).is_clean());
}

#[test]
fn a_job_for_which_a_thread_is_free_runs_on_that_one() {
    let pool = pool(2, 8);
    let inner = pool.clone();
    let names = pool.run("outer", move |_| {
        let name = || thread::current().name().map(str::to_owned);
        (
            name(),
            inner.run("inner", move |_| name()).unwrap().wait().unwrap(),
        )
    });
    let (outer, inner) = names.unwrap().wait().unwrap();
    assert_ne!(outer, inner);
    assert_eq!(pool.stats().nested, 0);
}

#[test]
fn every_thread_may_wait_for_the_pool_at_once() {
    let pool = pool(3, 64);
    let outers: Vec<_> = (0..12)
        .map(|value| {
            let inner = pool.clone();
            pool.run("outer", move |_| {
                let jobs = [1, 2].map(|add| inner.run("inner", move |_| value + add).unwrap());
                jobs.map(|job| job.wait().unwrap()).iter().sum::<i32>()
            })
            .unwrap()
        })
        .collect();
    let sums: Vec<_> = outers.into_iter().map(|job| job.wait().unwrap()).collect();
    assert_eq!(sums, (0..12).map(|value| 2 * value + 3).collect::<Vec<_>>());
    assert_eq!(pool.stats().finished, 36);
}

#[test]
fn a_job_lends_its_permit_to_a_pool_with_the_same_limiter() {
    let limiter = Limiter::new(1);
    let [outer, inner] = ["outer", "inner"].map(|name| {
        BlockingPool::builder()
            .name(name)
            .threads(2)
            .limiter(&limiter)
            .build()
    });
    let (pool, books) = (inner.clone(), limiter.clone());
    let seen = outer.run("outer", move |_| {
        let job = pool.run("inner", move |cx| {
            let held = books.stats().held;
            (
                thread::current().name().map(str::to_owned),
                cx.pool().to_owned(),
                held,
            )
        });
        job.unwrap().wait().unwrap()
    });
    let seen = seen.unwrap().wait().unwrap();
    assert_eq!(seen, (Some("outer-1".to_owned()), "inner".to_owned(), 1));
    assert!(inner.shutdown(LONG).is_clean() && outer.shutdown(LONG).is_clean());
    assert_eq!((inner.stats().nested, limiter.stats().held), (1, 0));
}

#[test]
fn a_nested_job_stands_in_the_inventory_and_the_outer_one_again_after_it() {
    let pool = BlockingPool::builder().name("nests").threads(1).build();
    let inner = pool.clone();
    let job_now = || {
        let threads = inventory();
        let thread = threads.iter().find(|it| it.owner == "nests").unwrap();
        thread.job.clone()
    };
    let outer = pool.run("outer", move |_| {
        let within = inner
            .run("inner", move |_| job_now())
            .unwrap()
            .wait()
            .unwrap();
        (within, job_now())
    });
    let seen = outer.unwrap().wait().unwrap();
    assert_eq!(seen, (Some("inner".to_owned()), Some("outer".to_owned())));
}

#[test]
fn a_shutdown_waits_for_a_job_that_runs_on_another_pools_thread() {
    let limiter = Limiter::new(1);
    let [outer, inner] = ["outer", "inner"].map(|name| {
        BlockingPool::builder()
            .name(name)
            .threads(1)
            .limiter(&limiter)
            .build()
    });
    let (started, has_started) = channel();
    let (release, is_released) = channel::<()>();
    let pool = inner.clone();
    let job = outer.run("outer", move |_| {
        let job = pool.run("inner", move |_| {
            started.send(()).unwrap();
            // Released by the drop of the sender.
            is_released.recv().unwrap_or(());
        });
        job.unwrap().wait().unwrap();
    });
    has_started.recv().unwrap();
    let report = inner.shutdown(Duration::ZERO);
    let [thread] = &report.abandoned[..] else {
        unreachable!("{report:?}")
    };
    assert_eq!(
        (thread.name.as_str(), thread.job.as_deref()),
        ("outer-1", Some("inner"))
    );
    drop(release);
    job.unwrap().wait().unwrap();
    assert!(inner.shutdown(LONG).is_clean());
}

#[test]
fn a_job_may_block_on_its_own_full_pool() {
    let pool = pool(1, 0);
    let inner = pool.clone();
    let outer = pool.run("outer", move |_| {
        let tasks = (0..5).map(|value| inner.run_async("inner", move |_| value));
        let outcomes = block_on(join_all(tasks));
        outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!(outer.unwrap().wait().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!((pool.stats().nested, pool.stats().threads), (5, 1));
}

#[test]
fn a_job_may_reach_its_own_full_pool_through_a_portal() {
    let pool = pool(1, 0);
    let (portal, driver) = Portal::builder().name("nested").build();
    let executor = thread::spawn(move || block_on(driver));
    let (inner, within) = (pool.clone(), portal.clone());
    let outer = pool.run("outer", move |_| {
        let again = (inner.clone(), within.clone());
        let call = within.call(async move {
            let deeper = inner.run_async("inner", move |_| {
                let (pool, portal) = again;
                portal.call(async move { pool.run_async("innermost", |_| 7).await.unwrap() })
            });
            deeper.await.unwrap().unwrap()
        });
        call.unwrap()
    });
    assert_eq!(outer.unwrap().wait().unwrap(), 7);
    assert_eq!((pool.stats().nested, pool.stats().threads), (2, 1));
    drop(portal);
    executor.join().unwrap();
}

#[test]
fn what_a_portals_future_leaves_behind_does_not_hold_up_the_job() {
    let pool = pool(1, 8);
    let (portal, driver) = Portal::builder().name("detaching").build();
    let executor = thread::spawn(move || block_on(driver));
    let (inner, within) = (pool.clone(), portal.clone());
    let (release, is_released) = channel::<()>();
    let outer = pool.run("outer", move |_| {
        let call = within.call(async move {
            let job = inner.run("for ever", move |_| is_released.recv().unwrap_or(()));
            // Detached: nobody waits for it, so that nobody lends it a place.
            drop(job.unwrap());
            1
        });
        call.unwrap()
    });
    assert_eq!(outer.unwrap().wait().unwrap(), 1);
    drop(release);
    assert!(pool.shutdown(LONG).is_clean());
    assert_eq!(pool.stats().nested, 0);
    drop(portal);
    executor.join().unwrap();
}

#[test]
fn a_timed_wait_in_a_job_runs_nothing_and_comes_back() {
    let pool = pool(1, 8);
    let inner = pool.clone();
    let outer = pool.run("outer", move |_| {
        let job = inner.run("inner", |_| 7).unwrap();
        let job = job.wait_timeout(Duration::from_millis(1)).unwrap_err();
        (inner.stats().nested, job.wait().unwrap())
    });
    assert_eq!(outer.unwrap().wait().unwrap(), (0, 7));
}

#[test]
fn a_nested_job_can_be_given_up_and_panic() {
    let pool = pool(1, 8);
    let inner = pool.clone();
    let outer = pool.run("outer", move |_| {
        let bad: Result<(), _> = inner.run("bad", |_| panic!("nested")).unwrap().wait();
        assert!(matches!(bad, Err(BlockingError::Panicked(it)) if it.message() == "nested"));
        let job = inner.run("gives itself up", |cx| cx.cancel_token().cancel());
        let given_up = job.unwrap().abandon_on_cancel(true).wait();
        (
            matches!(given_up, Err(BlockingError::Abandoned)),
            inner.stats(),
        )
    });
    let (was_given_up, stats) = outer.unwrap().wait().unwrap();
    assert!(was_given_up);
    assert_eq!((stats.nested, stats.panicked, stats.abandoned), (2, 1, 0));
    let (release, job) = blocker(&pool);
    drop(release);
    job.wait().unwrap();
    eventually("the books balance", || pool.stats().running == 0);
    assert_eq!(pool.stats().accepted, pool.stats().finished);
}
