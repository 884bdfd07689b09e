//! Jobs that are waited for, cancelled, given up, while threads retire and the pools are shut down.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures::FutureExt;
use mayhem_bridge::{BlockingError, BlockingPool, BusyReason, Job, JobContext, Limiter};
use shuttle::sync::atomic::{AtomicUsize, Ordering};

use super::pick;
use crate::world::{Tally, block_on, explore, join, pass_time, spawn};

const OWNERS: usize = 3;
const JOBS: usize = 2;
const LATER: Duration = Duration::from_secs(1);

pub(super) fn a_pool_in_many_hands() {
    explore(|| {
        let (ran, crowds) = (Tally::default(), Tally::default());
        let permits = 1 + pick(2);
        let limiter = Limiter::new(permits);
        let pool = || {
            let pool = BlockingPool::builder().threads(1 + pick(2)).queue(pick(3));
            pool.keep_alive(LATER).limiter(&limiter).build()
        };
        let pools = [pool(), pool()];
        let inside = Arc::new(AtomicUsize::new(0));
        let owners: Vec<_> = (0..OWNERS)
            .map(|_| {
                let (pools, inside) = (pools.clone(), Arc::clone(&inside));
                let (ran, crowds) = (ran.clone(), crowds.clone());
                spawn(move || {
                    for _ in 0..JOBS {
                        let (inside, ran, crowds) =
                            (Arc::clone(&inside), ran.clone(), crowds.clone());
                        let work = move |_: &JobContext| {
                            if inside.fetch_add(1, Ordering::AcqRel) >= permits {
                                crowds.add();
                            }
                            ran.add();
                            inside.fetch_sub(1, Ordering::AcqRel);
                        };
                        run_somehow(&pools[pick(2)], work);
                    }
                })
            })
            .collect();
        let time = spawn(|| {
            pass_time();
            pass_time();
        });
        let early = pools[pick(2)].clone();
        let reported = match pick(3) {
            0 => early.shutdown(Duration::ZERO).never_started.len(),
            1 => early.shutdown(LATER).never_started.len(),
            _ => 0,
        };
        drop(early);
        owners.into_iter().for_each(join);
        join(time);
        for pool in &pools {
            let report = pool.shutdown(Duration::MAX);
            assert!(report.is_clean(), "{report:?}");
        }

        let stats = pools.map(|pool| pool.stats());
        for stats in &stats {
            let ends = stats.finished + stats.cancelled + stats.never_started;
            assert_eq!(stats.accepted, ends, "{stats:?}");
            assert_eq!(
                (stats.threads, stats.running, stats.queued),
                (0, 0, 0),
                "{stats:?}"
            );
            assert_eq!((stats.waiting, stats.abandoned), (0, 0), "{stats:?}");
        }
        let finished: u64 = stats.iter().map(|stats| stats.finished).sum();
        let never_started: u64 = stats.iter().map(|stats| stats.never_started).sum();
        assert_eq!(
            (finished, never_started),
            (ran.count() as u64, reported as u64)
        );
        assert_eq!(crowds.count(), 0, "more jobs at once than permits");
        let limiter = limiter.stats();
        assert_eq!(
            (limiter.held, limiter.waiting, limiter.abandoned),
            (0, 0, 0)
        );
    });
}

fn run_somehow(pool: &BlockingPool, work: impl FnOnce(&JobContext) + Send + 'static) {
    match pick(4) {
        0 => match block_on(pool.run_async("awaited", work)) {
            Ok(()) | Err(BlockingError::PoolClosed) => {}
            other => unreachable!("{other:?}"),
        },
        1 => {
            // Asks for room once and goes away.
            let mut admission = pin!(pool.run_async("given up", work));
            let _ = admission
                .as_mut()
                .poll_unpin(&mut Context::from_waker(Waker::noop()));
        }
        _ => match pool.run("job", work) {
            Ok(job) => end_somehow(job),
            Err(busy) => match busy.reason() {
                BusyReason::Full | BusyReason::ShutDown => {}
                other => unreachable!("{other:?}"),
            },
        },
    }
}

fn end_somehow(job: Job<()>) {
    let abandons = pick(2) == 0;
    let job = job.abandon_on_cancel(abandons);
    let outcome = match pick(5) {
        0 => job.wait(),
        1 => block_on(job),
        2 => match job.wait_timeout(LATER) {
            Ok(outcome) => outcome,
            Err(job) => job.wait(),
        },
        3 => {
            job.cancel();
            job.wait()
        }
        _ => return drop(job),
    };
    match outcome {
        Ok(()) | Err(BlockingError::Cancelled | BlockingError::PoolClosed) => {}
        Err(BlockingError::Abandoned) if abandons => {}
        other => unreachable!("{other:?}"),
    }
}
