//! How threads retire and how a pool is shut down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;

use super::{LONG, blocker, pool};
use crate::testing::eventually;
use crate::{BlockingError, BlockingPool, BusyReason};

#[test]
fn idle_threads_retire_and_come_back() {
    let pool = BlockingPool::builder()
        .name("retiring")
        .threads(3)
        .keep_alive(Duration::from_millis(20))
        .build();
    for _ in 0..2 {
        let blockers: Vec<_> = (0..3).map(|_| blocker(&pool)).collect();
        let mut names: Vec<_> = pool
            .threads()
            .into_iter()
            .map(|thread| thread.name)
            .collect();
        names.sort();
        assert_eq!(names, ["retiring-1", "retiring-2", "retiring-3"]);
        for (release, job) in blockers {
            drop(release);
            job.wait().unwrap();
        }
        eventually("all threads retired", || pool.stats().threads == 0);
        eventually("and are gone from the inventory", || {
            crate::inventory()
                .iter()
                .all(|thread| thread.owner != "retiring")
        });
    }
}

#[test]
fn shutdown_runs_what_was_accepted_and_joins_the_threads() {
    let pool = pool(2, 64);
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let ran = Arc::clone(&ran);
        drop(
            pool.run("count", move |_| ran.fetch_add(1, Ordering::SeqCst))
                .unwrap(),
        );
    }
    let report = pool.shutdown(LONG);
    assert_eq!(ran.load(Ordering::SeqCst), 50);
    assert!(report.is_clean(), "{report:?}");
    assert!((1..=2).contains(&report.joined));

    let late = pool.run("late", |_| ()).unwrap_err();
    assert!(matches!(late.reason(), BusyReason::ShutDown));
    let late = block_on(pool.run_async("late", |_| ()));
    assert!(matches!(late, Err(BlockingError::PoolClosed)));
}

#[test]
fn shutdown_names_what_never_started_and_who_was_abandoned() {
    let pool = pool(1, 8);
    let (release, abandoned) = blocker(&pool);
    let never = pool.run("never", |_| ()).unwrap();
    let mut waiting = pool.run_async("waiting", |_| ()).boxed();
    let more: Vec<_> = (0..7)
        .map(|_| pool.run("never either", |_| ()).unwrap())
        .collect();
    assert!(
        waiting
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );

    let report = pool.shutdown(Duration::ZERO);
    assert_eq!(report.never_started.len(), 8);
    assert_eq!(report.never_started[0], "never");
    let [thread] = &report.abandoned[..] else {
        unreachable!("{report:?}")
    };
    assert_eq!(
        (thread.name.as_str(), thread.job.as_deref()),
        ("test-1", Some("blocker"))
    );
    assert!(matches!(never.wait(), Err(BlockingError::PoolClosed)));
    for job in more {
        assert!(matches!(job.wait(), Err(BlockingError::PoolClosed)));
    }
    assert!(matches!(block_on(waiting), Err(BlockingError::PoolClosed)));

    // Abandoned is not forgotten: it ends when its job does, and a second call hears of it.
    drop(release);
    abandoned.wait().unwrap();
    let report = pool.shutdown(LONG);
    assert_eq!((report.joined, report.is_clean()), (1, true));
}

#[test]
fn shutdown_asks_abandoned_jobs_to_stop() {
    let pool = pool(1, 8);
    let (started, has_started) = channel();
    let job = pool
        .run("stubborn", move |cx| {
            started.send(()).unwrap();
            while !cx.is_cancelled() {
                thread::yield_now();
            }
        })
        .unwrap();
    has_started.recv().unwrap();
    assert_eq!(pool.shutdown(Duration::ZERO).abandoned.len(), 1);
    job.wait().unwrap();
}

#[test]
fn a_job_may_shut_its_own_pool_down() {
    let pool = pool(2, 8);
    let inner = pool.clone();
    let report = pool
        .run("closer", move |_| inner.shutdown(LONG))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(report.abandoned.len(), 1);
    assert_eq!(report.abandoned[0].job.as_deref(), Some("closer"));
    assert!(pool.shutdown(LONG).is_clean());
}

#[test]
fn the_last_handle_closes_the_pool_and_accepted_jobs_still_run() {
    let pool = pool(1, 8);
    let (release, first) = blocker(&pool);
    let (told, was_told): (_, Receiver<u32>) = channel();
    let queued = pool.run("queued", move |_| told.send(1)).unwrap();
    drop(pool.clone());
    drop(pool);
    drop(release);
    first.wait().unwrap();
    queued.wait().unwrap().unwrap();
    assert_eq!(was_told.recv(), Ok(1));
    assert!(was_told.recv().is_err());
}

#[test]
fn submissions_race_a_shutdown_and_every_accepted_job_is_accounted_for() {
    for _ in 0..50 {
        let pool = pool(2, 8);
        let ran = Arc::new(AtomicUsize::new(0));
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let (pool, ran) = (pool.clone(), Arc::clone(&ran));
                thread::spawn(move || {
                    let submit = |_| {
                        let ran = Arc::clone(&ran);
                        pool.run("race", move |_| ran.fetch_add(1, Ordering::SeqCst))
                            .ok()
                    };
                    (0..20).filter_map(submit).collect::<Vec<_>>()
                })
            })
            .collect();
        let report = pool.shutdown(LONG);
        let jobs = producers
            .into_iter()
            .flat_map(|producer| producer.join().unwrap());
        let (mut finished, mut refused) = (0, 0);
        for job in jobs {
            match job.wait() {
                Ok(_) => finished += 1,
                Err(BlockingError::PoolClosed) => refused += 1,
                Err(error) => unreachable!("{error}"),
            }
        }
        assert_eq!(finished, ran.load(Ordering::SeqCst));
        assert_eq!(refused, report.never_started.len());
    }
}

#[test]
fn an_async_shutdown_waits_without_a_thread_and_joins() {
    let pool = pool(2, 8);
    let (release, job) = blocker(&pool);
    let mut ending = Box::pin(pool.shutdown_async(std::future::pending::<()>()));
    let (wakes, waker) = crate::testing::Wakes::new();
    assert!(
        ending
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert!(matches!(
        pool.run("late", |_| ()).unwrap_err().reason(),
        BusyReason::ShutDown
    ));
    drop(release);
    eventually("the shutdown is told", || wakes.count() > 0);
    let report = block_on(ending);
    assert_eq!((report.joined, report.is_clean()), (1, true));
    job.wait().unwrap();
}

#[test]
fn an_async_shutdown_names_whom_its_deadline_left_behind() {
    let pool = pool(1, 8);
    let (release, job) = blocker(&pool);
    let never = pool.run("never", |_| ()).unwrap();
    let report = block_on(pool.shutdown_async(std::future::ready(())));
    assert_eq!(report.never_started, ["never"]);
    assert_eq!(report.abandoned[0].job.as_deref(), Some("blocker"));
    assert!(matches!(never.wait(), Err(BlockingError::PoolClosed)));
    drop(release);
    job.wait().unwrap();
    assert!(block_on(pool.shutdown_async(std::future::pending::<()>())).is_clean());
}

#[test]
fn a_dropped_async_shutdown_leaves_a_closed_pool_whose_jobs_run() {
    let pool = pool(1, 8);
    let (release, job) = blocker(&pool);
    let queued = pool.run("queued", |_| 1).unwrap();
    let mut ending = Box::pin(pool.shutdown_async(std::future::pending::<()>()));
    assert!(
        ending
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(ending);
    drop(release);
    job.wait().unwrap();
    assert_eq!(queued.wait().unwrap(), 1);
    assert!(pool.shutdown(LONG).is_clean());
}

#[test]
fn a_shutdown_without_patience_names_nobody_who_was_idle() {
    for _ in 0..50 {
        let pool = pool_with_an_idle_thread();
        let report = pool.shutdown(Duration::ZERO);
        assert_eq!((report.joined, report.abandoned.len()), (1, 0));
    }
}

fn pool_with_an_idle_thread() -> BlockingPool {
    let pool = pool(1, 8);
    pool.run("quick", |_| 1).unwrap().wait().unwrap();
    let is_idle = || pool.shared.lock().workers.values().all(|it| !it.is_at_work);
    eventually("its thread is idle", is_idle);
    pool
}
