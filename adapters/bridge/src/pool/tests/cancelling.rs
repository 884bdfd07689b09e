//! Jobs that are asked to stop, and jobs that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::Context;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;

use super::{LONG, blocker, pool};
use crate::inventory::announce;
use crate::testing::{Dropped, Wakes, eventually};
use crate::{BlockingError, BlockingPool, Cancelled, Limiter, ThreadKind, ThreadState, inventory};

#[test]
fn a_given_up_job_ends_its_wait_at_once_and_keeps_its_thread_and_its_permit() {
    let limiter = Limiter::new(1);
    let pool = BlockingPool::builder()
        .name("given-up")
        .threads(2)
        .limiter(&limiter)
        .build();
    let (release, job) = blocker(&pool);
    let mut job = job.abandon_on_cancel(true);
    let (wakes, waker) = Wakes::new();
    assert!(
        job.poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );

    job.cancel();
    assert_eq!(wakes.count(), 1);
    assert!(matches!(block_on(job), Err(BlockingError::Abandoned)));
    assert_eq!((pool.stats().running, pool.stats().abandoned), (1, 1));
    assert_eq!((limiter.stats().held, limiter.stats().abandoned), (1, 1));
    let threads = inventory();
    let thread = threads.iter().find(|it| it.owner == "given-up").unwrap();
    assert_eq!(
        (thread.state, thread.job.as_deref()),
        (ThreadState::Abandoned, Some("blocker"))
    );

    // The next job needs the permit that the given-up one still holds.
    let next = pool.run("next", |_| 1).unwrap();
    eventually("it is in line", || limiter.stats().waiting == 1);
    assert_eq!(pool.stats().running, 1);
    drop(release);
    assert_eq!(next.wait().unwrap(), 1);
    eventually("all is given back", || limiter.stats().held == 0);
    assert_eq!((pool.stats().abandoned, limiter.stats().abandoned), (0, 0));
    assert_eq!(pool.stats().finished, 2);
}

#[test]
fn a_job_that_is_given_up_before_its_thread_has_run_a_line_of_it_is_shown_so() {
    let pool = pool(1, 8);
    let (release, blocker) = blocker(&pool);
    let job = pool
        .run("given up", |_| ())
        .unwrap()
        .abandon_on_cancel(true);
    let worker = Arc::new(announce(ThreadKind::Pool, "own".to_owned(), "test".into()));
    let id = job.cancel_token().id();
    let queued = pool.shared.claim(id, &worker).expect("it has not begun");

    job.cancel();
    assert!(matches!(block_on(job), Err(BlockingError::Abandoned)));

    let thread = worker.describe();
    let shown = (thread.state, thread.job.as_deref());
    assert_eq!(shown, (ThreadState::Abandoned, Some("given up")));
    drop(queued);
    pool.shared.finish(id, false, None);
    drop(release);
    blocker.wait().unwrap();
}

#[test]
fn a_shutdown_names_who_was_given_up() {
    let pool = pool(1, 8);
    let (release, job) = blocker(&pool);
    let job = job.abandon_on_cancel(true);
    job.cancel();
    let report = pool.shutdown(Duration::ZERO);
    let [thread] = &report.abandoned[..] else {
        unreachable!("{report:?}")
    };
    assert_eq!(
        (thread.state, thread.job.as_deref()),
        (ThreadState::Abandoned, Some("blocker"))
    );
    drop(release);
    assert!(pool.shutdown(LONG).is_clean());
}

#[test]
fn a_drop_cancels_a_job_that_may_be_given_up_and_detaches_any_other() {
    let pool = pool(2, 8);
    for gives_up in [false, true] {
        let (started, has_started) = channel();
        let (seen, was_seen) = channel();
        let (release, is_released) = channel::<()>();
        let job = pool
            .run("dropped", move |cx| {
                started.send(()).unwrap();
                // Released by the drop of the sender.
                is_released.recv().unwrap_or(());
                seen.send(cx.is_cancelled()).unwrap();
            })
            .unwrap()
            .abandon_on_cancel(gives_up);
        has_started.recv().unwrap();
        drop(job);
        assert_eq!(pool.stats().abandoned, usize::from(gives_up));
        drop(release);
        assert_eq!(was_seen.recv(), Ok(gives_up));
    }
    eventually("both have ended", || pool.stats().running == 0);
    assert_eq!((pool.stats().abandoned, pool.stats().finished), (0, 2));
}

#[test]
fn a_given_up_job_that_has_not_started_is_merely_cancelled() {
    let pool = pool(1, 8);
    let (release, first) = blocker(&pool);
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let queued = pool.run("queued", move |_| drop(value)).unwrap();
    drop(queued.abandon_on_cancel(true));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!((pool.stats().cancelled, pool.stats().abandoned), (1, 0));
    drop(release);
    first.wait().unwrap();
}

#[test]
fn a_result_that_was_there_before_the_cancel_is_not_given_up() {
    let pool = pool(1, 8);
    let job = pool.run("done", |_| 7).unwrap().abandon_on_cancel(true);
    eventually("it is done", || job.is_done());
    job.cancel();
    assert_eq!(job.wait().unwrap(), 7);
    assert_eq!(pool.stats().abandoned, 0);
}

#[test]
fn a_token_cancels_a_job_that_is_awaited_elsewhere() {
    let pool = pool(1, 8);
    let (started, has_started) = channel();
    let job = pool
        .run("sleeper", move |cx| {
            let token = cx.cancel_token();
            started.send(()).unwrap();
            let slept = cx.sleep(Duration::MAX);
            assert!(token.is_cancelled() && token.check_cancelled().is_err());
            slept
        })
        .unwrap();
    let token = job.cancel_token();
    has_started.recv().unwrap();
    let canceller = thread::spawn(move || token.cancel());
    assert_eq!(block_on(job).unwrap(), Err(Cancelled));
    canceller.join().unwrap();
    assert_eq!(
        pool.run("short", |cx| cx.sleep(Duration::ZERO))
            .unwrap()
            .wait()
            .unwrap(),
        Ok(())
    );
}

#[test]
fn cancels_race_jobs_and_the_books_balance() {
    let limiter = Limiter::new(2);
    let pool = BlockingPool::builder()
        .name("books")
        .threads(3)
        .queue(1000)
        .limiter(&limiter)
        .build();
    let makers: Vec<_> = (0..3)
        .map(|maker| {
            let pool = pool.clone();
            thread::spawn(move || {
                for index in 0..150_usize {
                    let job = pool.run("raced", |_| thread::yield_now()).unwrap();
                    let job = job.abandon_on_cancel((index + maker) % 2 == 0);
                    match index % 4 {
                        0 => drop(job),
                        1 => job.cancel(),
                        2 => {
                            let token = job.cancel_token();
                            let canceller = thread::spawn(move || token.cancel());
                            let outcome = job.wait();
                            assert!(!matches!(
                                outcome,
                                Err(BlockingError::PoolClosed | BlockingError::Panicked(_))
                            ));
                            canceller.join().unwrap();
                        }
                        _ => job.wait().unwrap(),
                    }
                }
            })
        })
        .collect();
    for maker in makers {
        maker.join().unwrap();
    }
    let report = pool.shutdown(LONG);
    assert!(report.is_clean(), "{report:?}");
    let stats = pool.stats();
    assert_eq!(stats.accepted, 450);
    assert_eq!(stats.finished + stats.cancelled, 450, "{stats:?}");
    assert_eq!((stats.running, stats.queued, stats.abandoned), (0, 0, 0));
    let held = limiter.stats();
    assert_eq!((held.held, held.abandoned, held.waiting), (0, 0, 0));
}
