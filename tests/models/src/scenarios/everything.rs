//! A service as one would write it: an SDK's threads, a stream, a pool, a portal, and an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use mayhem_bridge::{BlockingPool, Close, Overflow, Portal, Push, callback_stream};

use super::pick;
use crate::world::{Tally, block_on, explore, join, spawn};

const SDK_THREADS: usize = 3;
const LATER: Duration = Duration::from_secs(1);

/// What came of a service's values.
#[derive(Default)]
struct Ledger {
    queued: AtomicUsize,
    handed_back: AtomicUsize,
    stored: AtomicUsize,
}

pub(super) fn a_service_from_start_to_end() {
    explore(|| {
        let (dropped, hooks, ledger) = (
            Tally::default(),
            Tally::default(),
            Arc::new(Ledger::default()),
        );
        let pool = BlockingPool::builder()
            .name("store")
            .threads(2)
            .queue(pick(2));
        let pool = pool.keep_alive(LATER).build();
        let (portal, driver) = Portal::builder().capacity(1 + pick(2)).build();
        let hook = hooks.clone();
        let (sink, mut stream) = callback_stream("sdk")
            .capacity(1 + pick(3))
            .overflow(Overflow::Block)
            .on_close_in(&pool, move |_| hook.add())
            .build();

        let sdk: Vec<_> = (0..SDK_THREADS)
            .map(|thread| {
                let (sink, portal, ledger) = (sink.clone(), portal.clone(), Arc::clone(&ledger));
                let values = [dropped.value(2 * thread), dropped.value(2 * thread + 1)];
                spawn(move || {
                    for value in values {
                        let count = match sink.push(value) {
                            Push::Queued => &ledger.queued,
                            Push::Closed(_) => &ledger.handed_back,
                            other => unreachable!("{other:?}"),
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    // The SDK's thread asks async code and waits for the answer.
                    let answer = portal.call(async move { thread });
                    assert!(answer.is_err() || answer.is_ok_and(|answer| answer == thread));
                })
            })
            .collect();
        let stopper = spawn({
            let (sink, portal) = (sink.clone(), portal.clone());
            move || match pick(4) {
                0 => sink.finish(),
                1 => sink.close_now(),
                2 => portal.close(Close::Drain),
                _ => portal.close(Close::Cancel),
            }
        });
        let driving = spawn(move || block_on(driver));
        drop((sink, portal));

        let consumed = block_on(async {
            let mut consumed = 0;
            while let Some(value) = stream.next().await {
                let ledger = Arc::clone(&ledger);
                let stored = pool.run_async("store", move |_| {
                    ledger.stored.fetch_add(1, Ordering::Relaxed);
                    value.id
                });
                assert!(stored.await.is_ok());
                consumed += 1;
            }
            consumed
        });
        sdk.into_iter().for_each(join);
        join(stopper);
        let portal_stats = join(driving);
        let report = pool.shutdown(LATER);

        assert!(report.is_clean(), "{report:?}");
        let stats = stream.stats();
        assert_eq!(hooks.count(), 1, "the close hook runs once");
        assert_eq!(
            dropped.count(),
            2 * SDK_THREADS,
            "every value was dropped once"
        );
        assert_eq!(ledger.stored.load(Ordering::Relaxed), consumed);
        assert_eq!((stats.received, stats.depth), (consumed as u64, 0));
        assert_eq!(stats.queued, stats.received + stats.discarded);
        assert_eq!(stats.queued, ledger.queued.load(Ordering::Relaxed) as u64);
        assert_eq!(
            stats.late,
            ledger.handed_back.load(Ordering::Relaxed) as u64
        );
        let ends = portal_stats.completed + portal_stats.cancelled + portal_stats.closed;
        assert_eq!((portal_stats.accepted, portal_stats.outstanding), (ends, 0));
        assert_eq!(pool.stats().threads, 0);
    });
}
