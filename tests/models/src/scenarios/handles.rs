//! Handles that are waited for, cancelled, dropped, while the driver ends in one way or another.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::task::{FutureObj, Spawn, SpawnError};
use mayhem_bridge::{
    Close, Driver, JoinError, Portal, PortalHandle, PortalStats, SubmitError, Unwound,
};

use super::pick;
use shuttle::sync::atomic::{AtomicUsize, Ordering};

use crate::world::{Counted, JoinHandle, Tally, block_on, explore, join, pass_time, spawn};

const SUBMITTERS: usize = 3;
const FUTURES: usize = 2;
const CALLBACKS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn a_portal_in_many_hands() {
    explore(|| {
        let (dropped, callbacks) = (Tally::default(), Tally::default());
        let builder = Portal::builder().capacity(1 + pick(3));
        let (portal, driver) = builder.spin(pick(2) as u32).build();
        let portal = Arc::new(portal);
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|_| {
                let (portal, callbacks) = (Arc::clone(&portal), callbacks.clone());
                let values: Vec<_> = (0..FUTURES).map(|id| dropped.value(id)).collect();
                spawn(move || {
                    let submit = |value| submit_somehow(&portal, value, &callbacks);
                    values
                        .into_iter()
                        .map(submit)
                        .map(usize::from)
                        .sum::<usize>()
                })
            })
            .collect();
        let time = spawn(|| {
            pass_time();
            pass_time();
        });
        let closer = spawn({
            let portal = Arc::clone(&portal);
            move || portal.close([Close::Drain, Close::Cancel][pick(2)])
        });
        let tasks = Tasks::default();
        drive_somehow(match pick(3) {
            0 => driver.spawner(tasks.clone()),
            _ => driver,
        });
        let accepted: usize = submitters.into_iter().map(join).sum();
        join(closer);
        join(time);
        tasks.join();

        let stats = portal.stats();
        assert_eq!(
            dropped.count(),
            SUBMITTERS * FUTURES,
            "every future was dropped once"
        );
        assert_eq!(
            callbacks.count(),
            CALLBACKS * accepted,
            "every callback has run once"
        );
        assert_eq!((stats.accepted, stats.outstanding), (accepted as u64, 0));
        let ends = stats.completed + stats.cancelled + stats.closed + stats.panicked;
        assert_eq!((stats.accepted, stats.panicked), (ends, 0));
    });
}

/// An executor with a thread for every task.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Tasks {
    /// Waits for all that there will be: call it once the driver has gone.
    fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap());
        threads.into_iter().for_each(join);
    }
}

impl Spawn for Tasks {
    fn spawn_obj(&self, task: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        if pick(4) == 0 {
            return Err(SpawnError::shutdown());
        }
        let thread = spawn(move || block_on(task));
        self.0.lock().unwrap().push(thread);
        Ok(())
    }
}

/// Polls the driver to its end, or drops it after some polls.
fn drive_somehow(mut driver: Driver) -> Option<PortalStats> {
    let mut polls = pick(8);
    block_on(poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        // From 4 on: to the end.
        polls -= usize::from(polls < 4);
        driver.poll_unpin(cx).map(Some)
    }))
}

/// Whether the future was accepted. It ends in any way there is, and tells its handle.
fn submit_somehow(portal: &Portal, value: Counted, callbacks: &Tally) -> bool {
    let mut turns = pick(3);
    let never_ends = turns == 2 && pick(2) == 0;
    let fate = Tally::default();
    let own = fate.value(0);
    let future = async move {
        let (value, _own) = (value, own);
        poll_fn(|cx| {
            if never_ends {
                return Poll::Pending;
            }
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        value.id
    };
    let submitted = match pick(3) {
        0 => portal.run_coroutine_threadsafe(future),
        1 => portal.submit_timeout(future, PATIENCE),
        _ => portal.submit_timeout(future, Duration::MAX),
    };
    let handle = match submitted {
        Ok(handle) => handle,
        Err(SubmitError::Full(_) | SubmitError::Closed(_)) => return false,
        Err(other) => unreachable!("{other:?}"),
    };
    let own_callbacks = Tally::default();
    let seen = Arc::new(AtomicUsize::new(0));
    for _ in 0..CALLBACKS {
        let callbacks = [callbacks.clone(), own_callbacks.clone()];
        let seen = Arc::clone(&seen);
        handle.on_done(move |_| {
            // Something that the checker sees, so that others may run while this does.
            seen.fetch_add(1, Ordering::AcqRel);
            callbacks.iter().for_each(Tally::add);
        });
    }
    if end_somehow(handle, never_ends) {
        assert_eq!(fate.count(), 1, "told before the future was dropped");
        assert_eq!(
            own_callbacks.count(),
            CALLBACKS,
            "told before the callbacks"
        );
    }
    true
}

/// Whether the end was waited for.
fn end_somehow(handle: PortalHandle<usize>, must_cancel: bool) -> bool {
    if must_cancel {
        handle.cancel();
    }
    let outcome = match pick(5) {
        0 => handle.wait(),
        1 => block_on(handle),
        2 => match handle.wait_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(handle) => handle.wait(),
        },
        3 => match handle.cancel_and_wait(PATIENCE) {
            Unwound::Gone(outcome) => outcome,
            Unwound::Late(handle) => handle.wait(),
            other => unreachable!("{other:?}"),
        },
        _ => {
            drop(handle.abort_on_drop());
            return false;
        }
    };
    match outcome {
        Ok(_) | Err(JoinError::Cancelled | JoinError::PortalClosed) => true,
        other => unreachable!("{other:?}"),
    }
}
