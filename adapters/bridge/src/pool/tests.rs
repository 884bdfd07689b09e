mod cancelling;
mod ending;
mod limiting;
mod nesting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
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
