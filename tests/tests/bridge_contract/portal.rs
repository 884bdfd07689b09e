//! Portals: what is accepted is completed, on every executor.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::{FutureExt, StreamExt, future};
use mayhem_bridge::{
    Close, Driver, JoinError, Overflow, Portal, Push, SubmitError, callback_stream,
};

use crate::executors::{Run, Task};

/// Drives the portal on the executor while `script` uses it from a foreign thread.
pub(crate) fn drive(run: Run, driver: Driver, script: impl FnOnce() + Send + 'static) {
    let script = thread::spawn(script);
    run(vec![driver.map(drop).boxed()]);
    if let Err(panic) = script.join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn many_threads_call_async_code_and_get_their_own_results(run: Run) {
    let (portal, driver) = Portal::builder().capacity(3).build();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let portal = portal.clone();
            thread::spawn(move || {
                for call in 0..500 {
                    let value = caller * 1000 + call;
                    // Pending once, so that the driver has to be woken by the future as well.
                    let answer = portal.call(async move {
                        once_pending().await;
                        value
                    });
                    assert_eq!(answer.unwrap(), value);
                }
            })
        })
        .collect();
    drop(portal);
    let counted = async move {
        let stats = driver.await;
        assert_eq!((stats.accepted, stats.completed), (2000, 2000));
        assert_eq!(stats.outstanding, 0);
    };
    run(vec![counted.boxed()]);
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
}

pub(crate) fn a_wait_that_times_out_gives_the_handle_back_and_a_cancel_is_heard(run: Run) {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        let drops = Arc::new(AtomicUsize::new(0));
        let counts = Counts(Arc::clone(&drops));
        let handle = portal
            .run_coroutine_threadsafe(async move {
                let _counts = counts;
                pending::<()>().await;
            })
            .unwrap();
        let handle = handle.wait_timeout(Duration::from_millis(5)).unwrap_err();
        assert!(!handle.is_done());

        handle.cancel();
        assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
        // Cancelled means gone, not asked to go.
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

pub(crate) fn a_panic_is_carried_to_the_waiting_thread(run: Run) {
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        let outcome: Result<(), _> = portal.call(async { panic!("in the future") });
        let Err(JoinError::Panicked(panic)) = outcome else {
            unreachable!("{outcome:?}")
        };
        assert_eq!(panic.message(), "in the future");
        assert_eq!(portal.call(async { 1 }).unwrap(), 1);
    });
}

pub(crate) fn waiting_for_ones_own_portal_is_detected(run: Run) {
    let (portal, driver) = Portal::builder().name("own").build();
    drive(run, driver, move || {
        let inner = portal.clone();
        let outcome = portal.call(async move {
            let handle = inner.run_coroutine_threadsafe(pending::<()>()).unwrap();
            let waited = handle.wait();
            (waited, inner.call(async {}))
        });
        let (waited, called) = outcome.unwrap();
        for refused in [waited, called] {
            let Err(JoinError::WouldDeadlock(deadlock)) = refused else {
                unreachable!("{refused:?}")
            };
            assert_eq!(deadlock.portal, "own");
        }
        portal.close(Close::Cancel);
    });
}

pub(crate) fn a_blocking_push_from_a_job_is_refused_when_it_would_wait(run: Run) {
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        let (sink, mut stream) = callback_stream("own")
            .capacity(1)
            .overflow(Overflow::Block)
            .build();
        let outcome = portal.call(async move {
            let pushes = (sink.push(1), sink.push(2));
            (pushes, stream.next().await, sink.push(3))
        });
        let expected = (
            (Push::Queued, Push::WouldDeadlock(2)),
            Some(1),
            Push::Queued,
        );
        assert_eq!(outcome.unwrap(), expected);
    });
}

pub(crate) fn a_dropped_driver_fails_every_waiter(run: Run) {
    for is_polled in [false, true] {
        let (portal, driver) = Portal::builder().build();
        let (stop, is_stopped) = oneshot::channel::<()>();
        let waiters: Vec<_> = (0..4)
            .map(|_| portal.run_coroutine_threadsafe(pending::<()>()).unwrap())
            .map(|handle| thread::spawn(move || handle.wait()))
            .collect();
        let task: Task = if is_polled {
            async move {
                future::select(driver, is_stopped).await;
            }
            .boxed()
        } else {
            async move { drop(driver) }.boxed()
        };
        // Ignored: an unpolled driver does not wait for it.
        let stopper = thread::spawn(move || stop.send(()));
        run(vec![task]);
        let _ = stopper.join().unwrap();

        for waiter in waiters {
            let outcome = waiter.join().unwrap();
            assert!(matches!(outcome, Err(JoinError::PortalClosed)));
        }
        let late = portal.run_coroutine_threadsafe(async {});
        assert!(matches!(late, Err(SubmitError::Closed(_))));
        assert_eq!(portal.stats().closed, 4);
    }
}

pub(crate) fn a_result_is_awaited_on_the_executor_itself(run: Run) {
    let (portal, driver) = Portal::builder().build();
    let waiting = async move {
        for value in 0..100 {
            let handle = portal
                .run_coroutine_threadsafe(async move { value })
                .unwrap();
            assert_eq!(handle.await.unwrap(), value);
        }
    };
    run(vec![driver.map(drop).boxed(), waiting.boxed()]);
}

/// Is pending at the first poll, with a wake, and ready at the second.
async fn once_pending() {
    let mut is_second = false;
    future::poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
