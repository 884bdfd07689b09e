//! Jobs that nest, jobs that are given up, and waits that would harm the executor.

use std::sync::mpsc::channel;
use std::thread;

use futures::FutureExt;
use futures::future::join_all;
use futures::stream::StreamExt;
use mayhem_bridge::{
    BlockingError, BlockingPool, Limiter, Overflow, Portal, Push, ThreadState, callback_stream,
    driving,
};

use crate::executors::{Run, Task};
use crate::{PATIENCE, eventually};

pub(crate) fn a_full_pools_job_reaches_that_pool_through_the_executor(run: Run) {
    let pool = BlockingPool::builder()
        .name("full")
        .threads(1)
        .queue(0)
        .build();
    let (portal, driver) = Portal::builder().name("to-full").build();
    let inner = pool.clone();
    let outer = pool.run("outer", move |_| {
        let call = portal.call(async move {
            let tasks = (0..3).map(|value| inner.run_async("inner", move |_| value));
            join_all(tasks).await
        });
        let values = call.expect("the driver lives");
        values.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    let outer = outer.expect("there is room");
    let task = async move { assert_eq!(outer.await.unwrap(), [0, 1, 2]) };
    run(vec![driver.map(drop).boxed(), task.boxed()]);
    let stats = pool.stats();
    assert_eq!((stats.threads, stats.finished, stats.nested), (1, 4, 3));
    assert!(pool.shutdown(PATIENCE).is_clean());
}

pub(crate) fn a_given_up_job_frees_its_task_and_keeps_its_permit(run: Run) {
    let limiter = Limiter::new(1);
    let pools = ["given-up", "other"].map(|name| {
        BlockingPool::builder()
            .name(name)
            .threads(1)
            .limiter(&limiter)
            .build()
    });
    let [pool, other] = pools.clone();
    let (finish, is_finished) = channel::<()>();
    let task = async move {
        // Returns when the sender is dropped, whatever it is asked.
        let job = pool.run("deaf", move |_| is_finished.recv().unwrap_or(()));
        let job = job.expect("there is room").abandon_on_cancel(true);
        eventually("it runs", || pool.stats().running == 1);
        job.cancel();
        assert!(matches!(job.await, Err(BlockingError::Abandoned)));
        assert_eq!((limiter.stats().held, limiter.stats().abandoned), (1, 1));
        assert_eq!(pool.threads()[0].state, ThreadState::Abandoned);

        let next = other.run("next", |_| 1).expect("there is room");
        eventually("it waits for the permit", || limiter.stats().waiting == 1);
        assert_eq!(other.stats().running, 0);
        drop(finish);
        assert_eq!(next.await.unwrap(), 1);
    };
    run(vec![task.boxed()]);
    for pool in pools {
        assert!(pool.shutdown(PATIENCE).is_clean());
        assert_eq!(pool.stats().abandoned, 0);
    }
}

pub(crate) fn a_task_awaits_the_end_of_a_pool(run: Run) {
    let pool = BlockingPool::builder().name("awaited").threads(2).build();
    let jobs: Vec<_> = (0..8)
        .map(|value| pool.run("counted", move |_| value))
        .map(|job| job.expect("there is room"))
        .collect();
    let task = async move {
        let report = pool.shutdown_async(std::future::pending::<()>()).await;
        assert!(report.is_clean() && report.joined <= 2, "{report:?}");
        assert_eq!(pool.stats().threads, 0);
    };
    let results: Task = async move {
        for (value, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), value);
        }
    }
    .boxed();
    run(vec![task.boxed(), results]);
}

pub(crate) fn a_push_is_refused_on_a_driving_thread_only_if_it_would_wait(run: Run) {
    let (sink, mut stream) = callback_stream("driven")
        .capacity(1)
        .overflow(Overflow::Block)
        .build();
    let vendor = sink.clone();
    let (told, was_told) = channel();
    let task = driving(async move {
        assert_eq!(sink.push(1), Push::Queued);
        assert_eq!(sink.push(2), Push::WouldDeadlock(2));
        // A plain thread waits all the same, and is let go by the consumer.
        // Not joined here: its push may wake us, and so poll us, on its own thread.
        thread::spawn(move || told.send(vendor.push(3)));
        eventually("it waits", || sink.stats().blocked_now == 1);
        assert_eq!(stream.next().await, Some(1));
        assert_eq!(stream.next().await, Some(3));
        assert_eq!(sink.stats().deadlocks, 1);
    });
    run(vec![task.boxed()]);
    assert_eq!(was_told.recv(), Ok(Push::Queued));
}
