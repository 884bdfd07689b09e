use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::join_all;

use super::{BlockingError, BlockingPool, BusyReason, Job};
use crate::testing::{Dropped, Grenade, Wakes, eventually};
use crate::{ThreadKind, ThreadState};

const LONG: Duration = Duration::from_secs(60);

fn pool(threads: usize, queue: usize) -> BlockingPool {
    BlockingPool::builder()
        .name("test")
        .threads(threads)
        .queue(queue)
        .build()
}

/// A job that runs until its sender is dropped or used, and has started when this returns.
fn blocker(pool: &BlockingPool) -> (Sender<()>, Job<()>) {
    let (release, is_released) = channel::<()>();
    let (started, has_started) = channel();
    let job = pool
        .run("blocker", move |_| {
            started.send(()).unwrap();
            // Ignored: released by a value or by the drop of the sender.
            let _ = is_released.recv();
        })
        .unwrap();
    has_started.recv().unwrap();
    (release, job)
}

#[test]
fn a_result_can_be_awaited_or_waited_for() {
    let pool = pool(2, 8);
    assert_eq!(block_on(pool.run("a", |_| 1).unwrap()).unwrap(), 1);
    assert_eq!(pool.run("b", |_| 2).unwrap().wait().unwrap(), 2);
    assert_eq!(block_on(pool.run_async("c", |_| 3)).unwrap(), 3);
}

#[test]
fn threads_and_queue_are_exact_bounds_and_refused_work_comes_back() {
    let pool = pool(2, 1);
    let blockers = [blocker(&pool), blocker(&pool)];
    let queued = pool.run("queued", |_| 1).unwrap();
    let refused = pool.run("refused", |_| 2).unwrap_err();
    assert!(matches!(refused.reason(), BusyReason::Full));
    assert_eq!(
        (
            pool.stats().threads,
            pool.stats().running,
            pool.stats().queued
        ),
        (2, 2, 1)
    );

    for (release, job) in blockers {
        drop(release);
        job.wait().unwrap();
    }
    assert_eq!(queued.wait().unwrap(), 1);
    assert_eq!(
        pool.run("again", refused.into_job())
            .unwrap()
            .wait()
            .unwrap(),
        2
    );
}

#[test]
fn whoever_hears_a_result_finds_room_for_the_next_job() {
    let pool = pool(1, 0);
    for value in 0..200 {
        assert_eq!(
            pool.run("next", move |_| value).unwrap().wait().unwrap(),
            value
        );
    }
}

#[test]
fn run_async_waits_for_room_in_the_order_of_arrival() {
    let pool = pool(1, 0);
    let (release, first) = blocker(&pool);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting: Vec<_> = (0..4)
        .map(|index| {
            let order = Arc::clone(&order);
            pool.run_async("waiting", move |_| order.lock().unwrap().push(index))
                .boxed()
        })
        .collect();
    for future in &mut waiting {
        assert!(
            future
                .poll_unpin(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    assert_eq!(pool.stats().waiting, 4);

    drop(release);
    first.wait().unwrap();
    for outcome in block_on(join_all(waiting)) {
        outcome.unwrap();
    }
    assert_eq!(order.lock().unwrap().len(), 4);
    assert_eq!(pool.stats().waiting, 0);
}

#[test]
fn a_waiter_that_leaves_passes_its_turn_on() {
    let pool = pool(1, 0);
    let (release, first) = blocker(&pool);
    let mut quitter = pool.run_async("quitter", |_| ()).boxed();
    let mut patient = pool.run_async("patient", |_| 7).boxed();
    let ((told, told_waker), (next, next_waker)) = (Wakes::new(), Wakes::new());
    assert!(
        quitter
            .poll_unpin(&mut Context::from_waker(&told_waker))
            .is_pending()
    );
    assert!(
        patient
            .poll_unpin(&mut Context::from_waker(&next_waker))
            .is_pending()
    );

    drop(release);
    first.wait().unwrap();
    eventually("the first in line is told", || told.count() == 1);
    assert_eq!(next.count(), 0);
    drop(quitter);
    assert_eq!(next.count(), 1);
    assert_eq!(block_on(patient).unwrap(), 7);
}

#[test]
fn a_dropped_waiter_drops_its_work_unrun() {
    let pool = pool(1, 0);
    let (release, first) = blocker(&pool);
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let mut waiting = pool.run_async("waiting", move |_| drop(value)).boxed();
    assert!(
        waiting
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(waiting);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!((pool.stats().waiting, pool.stats().accepted), (0, 1));
    drop(release);
    first.wait().unwrap();
}

#[test]
fn a_panic_reaches_the_owner_and_the_thread_lives_on() {
    let pool = pool(1, 8);
    let bad = pool.run("bad", |_| panic!("disk on fire")).unwrap();
    let error: Result<(), _> = bad.wait();
    assert!(matches!(error, Err(BlockingError::Panicked(p)) if p.message() == "disk on fire"));
    assert_eq!(pool.run("good", |_| 1).unwrap().wait().unwrap(), 1);
    assert_eq!((pool.stats().panicked, pool.stats().threads), (1, 1));
}

#[test]
fn a_job_cancelled_in_the_queue_never_runs_and_leaves_its_place() {
    let pool = pool(1, 1);
    let (release, first) = blocker(&pool);
    let drops = Arc::new(AtomicUsize::new(0));
    let value = Dropped(Arc::clone(&drops));
    let queued = pool.run("queued", move |_| drop(value)).unwrap();
    assert!(pool.run("no room", |_| ()).is_err());

    queued.cancel();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(matches!(queued.wait(), Err(BlockingError::Cancelled)));
    let next = pool.run("room", |_| 1).unwrap();
    drop(release);
    first.wait().unwrap();
    assert_eq!(next.wait().unwrap(), 1);
    assert_eq!(pool.stats().cancelled, 1);
}

#[test]
fn a_running_job_sees_the_cancel() {
    let pool = pool(1, 1);
    let (started, has_started) = channel();
    let job = pool
        .run("running", move |cx| {
            started.send(()).unwrap();
            while cx.check_cancelled().is_ok() {
                thread::yield_now();
            }
            (cx.label().to_owned(), cx.pool().to_owned())
        })
        .unwrap();
    has_started.recv().unwrap();
    job.cancel();
    assert_eq!(
        job.wait().unwrap(),
        ("running".to_owned(), "test".to_owned())
    );
}

#[test]
fn a_timed_wait_gives_the_job_back() {
    let pool = pool(1, 1);
    let (release, first) = blocker(&pool);
    let first = first.wait_timeout(Duration::from_millis(1)).unwrap_err();
    drop(release);
    first.wait_timeout(LONG).unwrap().unwrap();
}

#[test]
fn a_dropped_job_still_runs() {
    let pool = pool(1, 8);
    let (told, was_told) = channel();
    drop(pool.run("detached", move |_| told.send(1)).unwrap());
    assert_eq!(was_told.recv(), Ok(1));
}

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
fn a_busy_thread_shows_its_job_and_an_idle_one_does_not() {
    let pool = pool(1, 8);
    let (release, job) = blocker(&pool);
    let [busy] = pool.threads().try_into().unwrap();
    assert_eq!(
        (busy.kind, busy.state),
        (ThreadKind::Pool, ThreadState::Running)
    );
    assert_eq!(
        (busy.name.as_str(), busy.owner.as_str()),
        ("test-1", "test")
    );
    assert_eq!(busy.job.as_deref(), Some("blocker"));
    drop(release);
    job.wait().unwrap();
    let [idle] = pool.threads().try_into().unwrap();
    assert_eq!((idle.job, idle.state), (None, ThreadState::Idle));
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
fn a_waker_that_panics_does_not_harm_the_thread() {
    let pool = pool(1, 8);
    let (release, mut job) = blocker(&pool);
    let grenade = Waker::from(Arc::new(Grenade));
    assert!(
        job.poll_unpin(&mut Context::from_waker(&grenade))
            .is_pending()
    );
    drop(release);
    assert!(matches!(block_on(job), Ok(())));
    assert_eq!(pool.run("next", |_| 1).unwrap().wait().unwrap(), 1);
    assert_eq!(pool.stats().threads, 1);
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
fn a_job_polled_by_two_tasks_wakes_the_last() {
    let pool = pool(1, 8);
    let (release, mut job) = blocker(&pool);
    let ((first, first_waker), (second, second_waker)) = (Wakes::new(), Wakes::new());
    assert!(
        job.poll_unpin(&mut Context::from_waker(&first_waker))
            .is_pending()
    );
    assert!(
        job.poll_unpin(&mut Context::from_waker(&second_waker))
            .is_pending()
    );
    drop(release);
    eventually("the result is told", || second.count() == 1);
    assert_eq!(first.count(), 0);
    assert!(matches!(
        job.poll_unpin(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    ));
}
