//! Handles: one outcome, told once, to whoever waits in whichever way.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use mayhem_bridge::{Driver, JoinError, Portal, PortalHandle, StartError, Started};

use crate::catalog::{Model, models};
use crate::world::{Counted, Tally, block_on, check, join, pass_time, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_waiting_thread_hears_the_outcome,
    a_waiting_task_hears_the_outcome,
    an_outcome_is_not_lost_to_a_timeout,
    a_cancelled_future_is_gone_before_the_news,
    a_cancel_wakes_a_sleeping_future,
    a_detached_result_is_dropped_once,
    every_callback_runs_before_the_waiter,
    a_start_or_its_absence_is_heard,
];

/// A portal with one future that returns a counted value.
fn submitted(tally: &Tally) -> (PortalHandle<Counted>, Driver) {
    let (portal, driver) = Portal::builder().build();
    let value = tally.value(7);
    let handle = portal
        .run_coroutine_threadsafe(async move { value })
        .unwrap();
    (handle, driver)
}

fn a_waiting_thread_hears_the_outcome() {
    check(3, || {
        let (handle, driver) = submitted(&Tally::default());
        let waiter = spawn(move || handle.wait().unwrap().id);
        assert_eq!(block_on(driver).completed, 1);
        assert_eq!(join(waiter), 7);
    });
}

fn a_waiting_task_hears_the_outcome() {
    check(3, || {
        let (mut handle, driver) = submitted(&Tally::default());
        let waiter = spawn(move || {
            // Asked once by a task that loses interest, then by one that stays.
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(&mut handle).poll(&mut cx) {
                Poll::Ready(outcome) => outcome.unwrap().id,
                Poll::Pending => block_on(&mut handle).unwrap().id,
            }
        });
        assert_eq!(block_on(driver).completed, 1);
        assert_eq!(join(waiter), 7);
    });
}

fn an_outcome_is_not_lost_to_a_timeout() {
    check(3, || {
        let tally = Tally::default();
        let (handle, driver) = submitted(&tally);
        let waiter = spawn(move || match handle.wait_timeout(Duration::from_secs(1)) {
            Ok(outcome) => outcome.unwrap(),
            Err(handle) => handle.wait().unwrap(),
        });
        let time = spawn(pass_time);
        assert_eq!(block_on(driver).completed, 1);
        let value = join(waiter);
        join(time);
        assert_eq!((value.id, tally.count()), (7, 0));
    });
}

fn a_cancelled_future_is_gone_before_the_news() {
    check(3, || {
        let tally = Tally::default();
        let (portal, driver) = Portal::builder().build();
        let value = tally.value(7);
        let mut is_first = true;
        let future = async move {
            // The whole of it, not a copy of its number.
            let value = value;
            // Two polls long: a cancel comes before, between or after.
            poll_fn(|cx| {
                if std::mem::replace(&mut is_first, false) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            value.id
        };
        let handle = portal.run_coroutine_threadsafe(future).unwrap();
        drop(portal);
        let dropped = tally.clone();
        let canceller = spawn(move || {
            handle.cancel();
            let outcome = handle.wait();
            assert_eq!(dropped.count(), 1, "told before the future was dropped");
            outcome
        });
        let stats = block_on(driver);
        match join(canceller) {
            Ok(7) => assert_eq!((stats.completed, stats.cancelled), (1, 0)),
            Err(JoinError::Cancelled) => assert_eq!((stats.completed, stats.cancelled), (0, 1)),
            other => unreachable!("{other:?}"),
        }
    });
}

fn a_cancel_wakes_a_sleeping_future() {
    check(3, || {
        let (portal, driver) = Portal::builder().build();
        let handle = portal
            .run_coroutine_threadsafe(std::future::pending::<()>())
            .unwrap();
        drop(portal);
        let canceller = spawn(move || {
            handle.cancel();
            handle.wait()
        });
        assert_eq!(block_on(driver).cancelled, 1);
        assert!(matches!(join(canceller), Err(JoinError::Cancelled)));
    });
}

fn a_detached_result_is_dropped_once() {
    check(3, || {
        let tally = Tally::default();
        let (handle, driver) = submitted(&tally);
        let owner = spawn(move || drop(handle));
        assert_eq!(block_on(driver).completed, 1);
        join(owner);
        assert_eq!(tally.count(), 1);
    });
}

fn every_callback_runs_before_the_waiter() {
    check(3, || {
        let tally = Tally::default();
        let (handle, driver) = submitted(&Tally::default());
        let seen = Arc::new(AtomicUsize::new(0));
        let (first, second) = (tally.clone(), tally.clone());
        handle.on_done(move |outcome| {
            assert!(outcome.is_ok());
            // Something that the checker sees, so that others may run while this does.
            seen.fetch_add(1, Ordering::AcqRel);
            first.add();
        });
        let waiter = spawn(move || {
            handle.on_done(move |_| second.add());
            let value = handle.wait().unwrap();
            assert_eq!(tally.count(), 2, "callbacks run before the news");
            value.id
        });
        assert_eq!(block_on(driver).callbacks_panicked, 0);
        assert_eq!(join(waiter), 7);
    });
}

fn a_start_or_its_absence_is_heard() {
    for says_so in [true, false] {
        check(2, move || {
            let (portal, driver) = Portal::builder().build();
            let starter = spawn(move || {
                let task = move |started: Started<usize>| async move {
                    if says_so {
                        started.started(1);
                    }
                    2
                };
                match portal.start_task(task) {
                    Ok((handle, 1)) if says_so => handle.wait(),
                    Err(StartError::NotStarted(handle)) if !says_so => handle.wait(),
                    other => unreachable!("{other:?}"),
                }
            });
            assert_eq!(block_on(driver).completed, 1);
            assert_eq!(join(starter).unwrap(), 2);
        });
    }
}
