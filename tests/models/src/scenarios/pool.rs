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
        let is_limited = pick(4) > 0;
        let pool = || {
            let pool = BlockingPool::builder().threads(1 + pick(2)).queue(pick(3));
            let pool = pool.keep_alive(LATER);
            match is_limited {
                true => pool.limiter(&limiter).build(),
                false => pool.build(),
            }
        };
        let pools = [pool(), pool()];
        let books = Books {
            permits: if is_limited { permits } else { usize::MAX },
            inside: Arc::new(AtomicUsize::new(0)),
            ran: ran.clone(),
            crowds: crowds.clone(),
        };
        let owners: Vec<_> = (0..OWNERS)
            .map(|_| {
                let (pools, books) = (pools.clone(), books.clone());
                spawn(move || {
                    for _ in 0..JOBS {
                        // With a job of its own, in a pool that shares something, or without.
                        let outer = pick(2);
                        let inner = if is_limited { pick(2) } else { outer };
                        let nests = (pick(3) == 0).then(|| pools[inner].clone());
                        let books = books.clone();
                        let work = move |_: &JobContext| {
                            books.work();
                            if let Some(pool) = nests {
                                nest_somehow(&pool, move |_| books.work());
                            }
                        };
                        run_somehow(&pools[outer], work);
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

/// What every job does, and keeps.
#[derive(Clone)]
struct Books {
    permits: usize,
    inside: Arc<AtomicUsize>,
    ran: Tally,
    crowds: Tally,
}

impl Books {
    fn work(&self) {
        if self.inside.fetch_add(1, Ordering::AcqRel) >= self.permits {
            self.crowds.add();
        }
        self.ran.add();
        self.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits, in a job, for another job, which may have no thread or permit but this one's.
fn nest_somehow(pool: &BlockingPool, work: impl FnOnce(&JobContext) + Send + 'static) {
    let outcome = match pick(2) {
        0 => block_on(pool.run_async("nested", work)),
        _ => match pool.run("nested", work) {
            Ok(job) => job.wait(),
            Err(_) => return,
        },
    };
    match outcome {
        Ok(()) | Err(BlockingError::PoolClosed) => {}
        other => unreachable!("{other:?}"),
    }
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
