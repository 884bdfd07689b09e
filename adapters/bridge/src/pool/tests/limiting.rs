//! Permits that pools share, and threads that cannot be had.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use futures::executor::block_on;

use super::{LONG, blocker, pool};
use crate::testing::eventually;
use crate::{BlockingError, BlockingPool, BusyReason, Limiter, ThreadState};

fn limited(name: &str, threads: usize, limiter: &Limiter) -> BlockingPool {
    BlockingPool::builder()
        .name(name)
        .threads(threads)
        .limiter(limiter)
        .build()
}

#[test]
fn pools_that_share_a_limiter_run_no_more_than_its_permits() {
    let limiter = Limiter::new(2);
    let pools = [limited("left", 4, &limiter), limited("right", 4, &limiter)];
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs: Vec<_> = (0..60)
        .map(|index| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let work = move |_: &_| {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            };
            pools[index % 2].run("limited", work).unwrap()
        })
        .collect();
    for job in jobs {
        job.wait().unwrap();
    }
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    let stats = limiter.stats();
    assert_eq!((stats.permits, stats.granted >= 60), (2, true));
    for pool in pools {
        assert!(pool.shutdown(LONG).is_clean());
    }
    assert_eq!((limiter.stats().held, limiter.stats().waiting), (0, 0));
}

#[test]
fn permits_go_in_the_order_in_which_threads_came_for_them() {
    let limiter = Limiter::new(1);
    let first = limited("first", 1, &limiter);
    let (release, job) = blocker(&first);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let pools: Vec<_> = (0..4)
        .map(|index| {
            let pool = limited("in-line", 1, &limiter);
            let order = Arc::clone(&order);
            drop(
                pool.run("in line", move |_| order.lock().unwrap().push(index))
                    .unwrap(),
            );
            eventually("its thread is in line", || {
                limiter.stats().waiting == index + 1
            });
            pool
        })
        .collect();
    let [waiting] = pools[0].threads().try_into().unwrap();
    assert_eq!((waiting.state, waiting.job), (ThreadState::Blocked, None));

    drop(release);
    job.wait().unwrap();
    for pool in pools {
        assert!(pool.shutdown(LONG).is_clean());
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
}

#[test]
fn a_job_cancelled_while_its_thread_is_in_line_leaves_the_permit_to_others() {
    let limiter = Limiter::new(1);
    let (left, right) = (limited("left", 1, &limiter), limited("right", 1, &limiter));
    let (release, held) = blocker(&left);
    let never = right.run("never", |_| ()).unwrap();
    eventually("it is in line", || limiter.stats().waiting == 1);
    never.cancel();
    assert!(matches!(never.wait(), Err(BlockingError::Cancelled)));
    drop(release);
    held.wait().unwrap();
    eventually("nobody keeps the permit", || limiter.stats().held == 0);
    assert_eq!(left.run("next", |_| 1).unwrap().wait().unwrap(), 1);
}

#[test]
fn a_late_shutdown_calls_its_threads_back_from_the_line() {
    let limiter = Limiter::new(1);
    let (left, right) = (limited("left", 1, &limiter), limited("right", 2, &limiter));
    let (release, held) = blocker(&left);
    let jobs = [(); 2].map(|()| right.run("never", |_| ()).unwrap());
    eventually("both are in line", || limiter.stats().waiting == 2);

    let report = right.shutdown(std::time::Duration::ZERO);
    assert_eq!((report.joined, report.never_started.len()), (2, 2));
    assert!(report.abandoned.is_empty(), "{report:?}");
    for job in jobs {
        assert!(matches!(job.wait(), Err(BlockingError::PoolClosed)));
    }
    assert_eq!((limiter.stats().held, limiter.stats().waiting), (1, 0));
    drop(release);
    held.wait().unwrap();
    assert_eq!(limiter.stats().held, 0);
}

#[test]
fn a_pool_without_a_thread_hands_the_job_back_when_it_can_have_none() {
    let pool = pool(2, 8);
    pool.shared.is_out_of_threads.store(true, Ordering::SeqCst);
    let refused = pool.run("refused", |_| 1).unwrap_err();
    assert!(matches!(refused.reason(), BusyReason::SpawnFailed(error)
            if error.kind() == std::io::ErrorKind::WouldBlock));
    let outcome = block_on(pool.run_async("refused too", |_| 1));
    assert!(matches!(outcome, Err(BlockingError::Spawn(_))));
    assert_eq!((pool.stats().accepted, pool.stats().threads), (0, 0));

    pool.shared.is_out_of_threads.store(false, Ordering::SeqCst);
    let job = pool.run("again", refused.into_job()).unwrap();
    assert_eq!(job.wait().unwrap(), 1);
}

#[test]
fn a_pool_with_a_thread_goes_on_with_that_one_when_it_can_have_no_more() {
    let pool = pool(2, 8);
    let (release, first) = blocker(&pool);
    pool.shared.is_out_of_threads.store(true, Ordering::SeqCst);
    let (told, was_told) = channel();
    let second = pool.run("second", move |_| told.send(2)).unwrap();
    assert_eq!((pool.stats().threads, pool.stats().queued), (1, 1));
    drop(release);
    first.wait().unwrap();
    second.wait().unwrap().unwrap();
    assert_eq!(was_told.recv(), Ok(2));
}
