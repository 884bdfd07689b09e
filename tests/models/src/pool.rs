//! The pool: accepted work runs or is reported, room is never lost, threads end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use mayhem_bridge::{
    BlockingError, BlockingPool, BlockingPoolBuilder, BusyReason, Cancelled, JobContext, Limiter,
};

use crate::catalog::{Model, models};
use crate::world::{Tally, block_on, check, join, pass_time, spawn};

pub(crate) const MODELS: &[Model] = models![
    accepted_work_runs_though_a_thread_retires,
    accepted_work_runs_before_the_end,
    accepted_work_runs_or_is_reported,
    a_cancelled_job_did_not_run,
    room_that_is_not_taken_is_passed_on,
    those_who_wait_for_room_hear_of_the_end,
    idle_threads_hear_of_the_end,
    a_jobs_result_is_not_lost_to_a_timeout,
    a_cancel_wakes_a_sleeping_job,
    a_permit_is_held_until_the_thread_returns,
    an_unused_permit_goes_to_the_next,
    a_shutdown_calls_back_those_in_line,
];

pub(crate) const LATER: Duration = Duration::from_secs(1);

pub(crate) fn builder(threads: usize, queue: usize) -> BlockingPoolBuilder {
    BlockingPool::builder()
        .name("model")
        .threads(threads)
        .queue(queue)
        .keep_alive(LATER)
}

fn pool(threads: usize, queue: usize) -> BlockingPool {
    builder(threads, queue).build()
}

/// Two pools that share the only permit of a limiter.
fn limited() -> [BlockingPool; 2] {
    let limiter = Limiter::new(1);
    [1, 1].map(|threads| builder(threads, 1).limiter(&limiter).build())
}

fn accepted_work_runs_though_a_thread_retires() {
    check(3, || {
        let pool = pool(1, 1);
        assert_eq!(pool.run("first", |_| 1).unwrap().wait().unwrap(), 1);
        let time = spawn(pass_time);
        // The thread may be retiring just now.
        assert_eq!(pool.run("second", |_| 2).unwrap().wait().unwrap(), 2);
        join(time);
        let stats = pool.stats();
        assert_eq!((stats.accepted, stats.running, stats.queued), (2, 0, 0));
    });
}

fn accepted_work_runs_before_the_end() {
    for threads in [1, 2] {
        check(2, move || {
            let pool = pool(threads, 2);
            let submit = |label: &'static str| {
                let pool = pool.clone();
                spawn(move || match pool.run(label, |_| ()) {
                    Ok(job) => job.wait().is_ok(),
                    Err(busy) => {
                        assert!(matches!(busy.reason(), BusyReason::ShutDown), "{busy:?}");
                        false
                    }
                })
            };
            let submitters = [submit("a"), submit("b")];
            let report = pool.shutdown(LATER);
            assert!(report.is_clean(), "{report:?}");
            let ran = submitters.map(join).into_iter().filter(|ran| *ran).count();
            let stats = pool.stats();
            assert_eq!((stats.accepted, stats.finished), (ran as u64, ran as u64));
            assert_eq!(stats.threads, 0);
        });
    }
}

fn accepted_work_runs_or_is_reported() {
    check(2, || {
        let tally = Tally::default();
        let pool = pool(1, 2);
        let submit = |label: &'static str| {
            let (pool, tally) = (pool.clone(), tally.clone());
            spawn(move || match pool.run(label, move |_| tally.add()) {
                Ok(job) => match job.wait() {
                    Ok(()) => None,
                    Err(BlockingError::PoolClosed) => Some(label.to_owned()),
                    other => unreachable!("{other:?}"),
                },
                Err(_) => None,
            })
        };
        let submitters = [submit("a"), submit("b")];
        // At its deadline at once: what has not started is dropped, and named.
        let mut report = pool.shutdown(Duration::ZERO);
        let mut unrun: Vec<_> = submitters.map(join).into_iter().flatten().collect();
        report.never_started.sort_unstable();
        unrun.sort_unstable();
        assert_eq!(report.never_started, unrun);
        let stats = pool.stats();
        assert_eq!(stats.accepted as usize, tally.count() + unrun.len());
        let rest = pool.shutdown(LATER);
        assert!(rest.is_clean(), "{rest:?}");
    });
}

fn a_cancelled_job_did_not_run() {
    check(3, || {
        let tally = Tally::default();
        let pool = pool(1, 2);
        let ran = tally.clone();
        let job = pool.run("cancelled", move |_| ran.add()).unwrap();
        let waiter = spawn(move || {
            job.cancel();
            job.wait()
        });
        match join(waiter) {
            Ok(()) => assert_eq!(tally.count(), 1),
            Err(BlockingError::Cancelled) => assert_eq!(tally.count(), 0),
            other => unreachable!("{other:?}"),
        }
        // The place is free either way.
        assert!(pool.run("next", |_| ()).unwrap().wait().is_ok());
    });
}

fn room_that_is_not_taken_is_passed_on() {
    check(2, || {
        let pool = pool(1, 0);
        let job = pool.run("holds the only place", |_| ()).unwrap();
        let second = spawn({
            let pool = pool.clone();
            move || assert!(block_on(pool.run_async("second", |_| ())).is_ok())
        });
        {
            // Asks for room and goes away, perhaps just when it was told of some.
            let mut first = pin!(pool.run_async("first", |_| ()));
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(outcome) = first.as_mut().poll(&mut cx) {
                assert!(outcome.is_ok());
            }
        }
        join(second);
        assert!(job.wait().is_ok());
    });
}

fn those_who_wait_for_room_hear_of_the_end() {
    check(2, || {
        let pool = pool(1, 0);
        let job = pool.run("holds the only place", |_| ()).unwrap();
        let waiter = spawn({
            let pool = pool.clone();
            move || match block_on(pool.run_async("waits", |_| ())) {
                Ok(()) => 1,
                Err(BlockingError::PoolClosed) => 0,
                other => unreachable!("{other:?}"),
            }
        });
        let report = pool.shutdown(LATER);
        assert!(report.is_clean(), "{report:?}");
        assert!(job.wait().is_ok());
        assert_eq!(pool.stats().finished, 1 + join(waiter));
    });
}

fn idle_threads_hear_of_the_end() {
    check(2, || {
        let pool = pool(2, 2);
        let jobs = [
            pool.run("a", |_| ()).unwrap(),
            pool.run("b", |_| ()).unwrap(),
        ];
        for job in jobs {
            assert!(job.wait().is_ok());
        }
        // The model ends only when the threads do.
        drop(pool);
    });
}

fn a_jobs_result_is_not_lost_to_a_timeout() {
    check(3, || {
        let tally = Tally::default();
        let pool = pool(1, 1);
        let value = tally.value(7);
        let job = pool.run("makes a value", move |_| value).unwrap();
        let time = spawn(pass_time);
        let value = match job.wait_timeout(LATER) {
            Ok(outcome) => outcome.unwrap(),
            Err(job) => job.wait().unwrap(),
        };
        join(time);
        assert_eq!((value.id, tally.count()), (7, 0));
    });
}

fn a_cancel_wakes_a_sleeping_job() {
    check(3, || {
        let pool = pool(1, 1);
        let job = pool.run("sleeps", |cx| cx.sleep(Duration::MAX)).unwrap();
        let token = job.cancel_token();
        let canceller = spawn(move || token.cancel());
        match job.wait() {
            Ok(Err(Cancelled)) | Err(BlockingError::Cancelled) => {}
            other => unreachable!("{other:?}"),
        }
        join(canceller);
    });
}

fn a_permit_is_held_until_the_thread_returns() {
    check(2, || {
        let limiter = Limiter::new(1);
        let pool = builder(2, 1).limiter(&limiter).build();
        let inside = Arc::new(AtomicUsize::new(0));
        let crowds = Tally::default();
        let work = || {
            let (inside, crowds) = (Arc::clone(&inside), crowds.clone());
            move |_: &JobContext| {
                if inside.fetch_add(1, Ordering::AcqRel) > 0 {
                    crowds.add();
                }
                inside.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let given_up = pool
            .run("given up", work())
            .unwrap()
            .abandon_on_cancel(true);
        let canceller = spawn(move || {
            given_up.cancel();
            match given_up.wait() {
                Ok(()) | Err(BlockingError::Cancelled | BlockingError::Abandoned) => {}
                other => unreachable!("{other:?}"),
            }
        });
        assert!(pool.run("next", work()).unwrap().wait().is_ok());
        join(canceller);
        assert!(pool.shutdown(LATER).is_clean());
        assert_eq!(crowds.count(), 0, "two jobs at once with one permit");
        let stats = limiter.stats();
        assert_eq!((stats.held, stats.waiting, stats.abandoned), (0, 0, 0));
    });
}

fn an_unused_permit_goes_to_the_next() {
    check(2, || {
        let [first, second] = limited();
        let cancelled = first.run("cancelled", |_| ()).unwrap();
        let canceller = spawn(move || cancelled.cancel());
        assert!(second.run("next", |_| ()).unwrap().wait().is_ok());
        join(canceller);
        assert!(second.run("after that", |_| ()).unwrap().wait().is_ok());
        drop((first, second));
    });
}

fn a_shutdown_calls_back_those_in_line() {
    check(2, || {
        let [first, second] = limited();
        let holds = first.run("holds the permit", |_| ()).unwrap();
        let waits = second.run("waits for it", |_| ()).unwrap();
        let report = second.shutdown(Duration::ZERO);
        match waits.wait() {
            Ok(()) => assert!(report.never_started.is_empty(), "{report:?}"),
            Err(BlockingError::PoolClosed) => assert_eq!(report.never_started, ["waits for it"]),
            other => unreachable!("{other:?}"),
        }
        assert!(holds.wait().is_ok());
        drop((first, second));
    });
}
