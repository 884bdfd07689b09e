//! The portal and its driver: what was accepted is completed, and nobody waits for a dead driver.

use std::sync::Arc;
use std::task::{Context, Waker};

use futures::{FutureExt, StreamExt};
use loom::sync::atomic::{AtomicUsize, Ordering};
use mayhem_bridge::{Close, JoinError, Portal, SubmitError};

use crate::catalog::{Model, models};
use crate::world::{Counted, Tally, block_on, check, join, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_submission_wakes_the_driver,
    a_future_wakes_the_driver,
    calls_that_wait_get_the_room,
    a_dropped_driver_ends_what_was_accepted,
    calls_that_wait_hear_of_the_drivers_end,
    a_close_is_heard_by_driver_and_submitters,
];

fn a_submission_wakes_the_driver() {
    for submitters in [1, 2] {
        check(2, move || {
            let (portal, driver) = Portal::builder().build();
            let submit = |number| {
                let portal = portal.clone();
                spawn(move || {
                    portal
                        .run_coroutine_threadsafe(async move { number })
                        .unwrap()
                })
            };
            let submitters: Vec<_> = (0..submitters).map(submit).collect();
            drop(portal);
            let stats = block_on(driver);
            assert_eq!(stats.completed, submitters.len() as u64);
            for (number, submitter) in submitters.into_iter().enumerate() {
                let handle = join(submitter);
                assert!(handle.is_done(), "the driver has ended before its work");
                assert_eq!(handle.wait().unwrap(), number);
            }
        });
    }
}

fn a_future_wakes_the_driver() {
    check(3, || {
        let (portal, driver) = Portal::builder().build();
        let (sink, mut stream) = mayhem_bridge::callback_stream::<usize>("model")
            .overflow(mayhem_bridge::Overflow::Fail)
            .build();
        // Two waits, so that one wake can come while the other is being answered.
        let take_two = async move { (stream.next().await, stream.next().await) };
        let handle = portal.run_coroutine_threadsafe(take_two).unwrap();
        drop(portal);
        let pusher = spawn(move || {
            assert!(sink.push(7).is_queued());
            assert!(sink.push(8).is_queued());
        });
        assert_eq!(block_on(driver).completed, 1);
        join(pusher);
        assert_eq!(handle.wait().unwrap(), (Some(7), Some(8)));
    });
}

fn calls_that_wait_get_the_room() {
    for (callers, preemptions) in [(2, 2), (3, 1)] {
        check(preemptions, move || {
            let (portal, driver) = Portal::builder().capacity(1).build();
            let call = |number| {
                let portal = portal.clone();
                spawn(move || assert_eq!(portal.call(async move { number }).unwrap(), number))
            };
            let threads: Vec<_> = (0..callers).map(call).collect();
            drop(portal);
            let stats = block_on(driver);
            assert_eq!((stats.completed, stats.outstanding), (callers as u64, 0));
            threads.into_iter().for_each(join);
        });
    }
}

/// A value whose drop the checker sees: others may run before and after it.
struct Slow(Arc<AtomicUsize>);

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn a_dropped_driver_ends_what_was_accepted() {
    for is_polled in [false, true] {
        check(2, move || {
            let tally = Tally::default();
            let (portal, mut driver) = Portal::builder().build();
            let submit = |id| {
                let (portal, value) = (portal.clone(), tally.value(id));
                let fate = Arc::new(AtomicUsize::new(0));
                let own = Slow(Arc::clone(&fate));
                spawn(move || {
                    let never = async move {
                        let _values = (value, own);
                        std::future::pending::<()>().await;
                    };
                    match portal.run_coroutine_threadsafe(never) {
                        Ok(handle) => match handle.wait() {
                            Err(JoinError::PortalClosed) => {
                                let dropped = fate.load(Ordering::Acquire);
                                assert_eq!(dropped, 1, "told before the future was dropped");
                                1
                            }
                            other => unreachable!("{other:?}"),
                        },
                        Err(SubmitError::Closed(_)) => 0,
                        Err(other) => unreachable!("{other:?}"),
                    }
                })
            };
            let submitters = [submit(0), submit(1)];
            if is_polled {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(driver.poll_unpin(&mut cx).is_pending());
            }
            drop(driver);
            let accepted: u64 = submitters.map(join).iter().sum();
            assert_eq!(tally.count(), 2, "a future was not dropped");
            let stats = portal.stats();
            assert_eq!((stats.accepted, stats.closed), (accepted, accepted));
            assert_eq!(stats.outstanding, 0);
        });
    }
}

fn calls_that_wait_hear_of_the_drivers_end() {
    check(2, || {
        let (portal, driver) = Portal::builder().capacity(1).build();
        let first = portal.run_coroutine_threadsafe(std::future::pending::<()>());
        let call = || {
            let portal = portal.clone();
            spawn(move || match portal.call(async {}) {
                Err(JoinError::PortalClosed) => {}
                other => unreachable!("{other:?}"),
            })
        };
        let callers = [call(), call()];
        drop(driver);
        callers.into_iter().for_each(join);
        assert!(matches!(
            first.unwrap().wait(),
            Err(JoinError::PortalClosed)
        ));
    });
}

fn a_close_is_heard_by_driver_and_submitters() {
    for how in [Close::Drain, Close::Cancel] {
        check(2, move || {
            let tally = Tally::default();
            let (portal, driver) = Portal::builder().build();
            let portal = Arc::new(portal);
            let (submitting, value) = (Arc::clone(&portal), tally.value(0));
            let submitter = spawn(move || {
                let future = async move { whole(value).id };
                match submitting.run_coroutine_threadsafe(future) {
                    Ok(handle) => Some(handle),
                    Err(SubmitError::Closed(_)) => None,
                    Err(other) => unreachable!("{other:?}"),
                }
            });
            let closing = Arc::clone(&portal);
            let closer = spawn(move || closing.close(how));
            let stats = block_on(driver);
            join(closer);
            let outcome = join(submitter).map(|handle| {
                assert!(handle.is_done(), "the driver has ended before its work");
                handle.wait()
            });
            assert_eq!(tally.count(), 1);
            let ends = [stats.accepted, stats.completed, stats.cancelled];
            match outcome {
                None => assert_eq!(ends, [0, 0, 0]),
                Some(Ok(0)) => assert_eq!(ends, [1, 1, 0]),
                Some(Err(JoinError::Cancelled)) if how == Close::Cancel => {
                    assert_eq!(ends, [1, 0, 1]);
                }
                other => unreachable!("{other:?}"),
            }
        });
    }
}

/// The value and not a copy of its number, which is all that a closure would take.
fn whole(value: Counted) -> Counted {
    value
}
