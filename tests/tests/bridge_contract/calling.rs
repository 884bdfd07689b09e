//! What a portal's callers are told, and when, on every executor.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use mayhem_bridge::{Close, JoinError, Portal, StartError, SubmitError, Unwound};

use crate::executors::Run;
use crate::portal::drive;

pub(crate) fn a_cancel_that_was_waited_for_has_dropped_the_future(run: Run) {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        for dropped in 1..=50 {
            let drops = Arc::new(AtomicUsize::new(0));
            let counts = Counts(Arc::clone(&drops));
            let handle = portal.run_coroutine_threadsafe(async move {
                let _counts = counts;
                pending::<()>().await;
            });
            let unwound = handle.unwrap().cancel_and_wait(crate::PATIENCE);
            assert!(matches!(unwound, Unwound::Gone(Err(JoinError::Cancelled))));
            assert_eq!(drops.load(Ordering::SeqCst), 1);
            assert_eq!(portal.stats().cancelled, dropped);
        }
    });
}

pub(crate) fn a_callback_has_run_when_the_waiter_goes_on(run: Run) {
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        for value in 0..200 {
            let (told, was_told) = mpsc::channel();
            let handle = portal
                .run_coroutine_threadsafe(async move { value })
                .unwrap();
            handle.on_done(move |outcome| told.send(*outcome.as_ref().unwrap()).unwrap());
            assert_eq!(handle.wait().unwrap(), value);
            assert_eq!(was_told.try_recv(), Ok(value));
        }
    });
}

pub(crate) fn a_starter_hears_of_the_start_or_of_the_end(run: Run) {
    let (portal, driver) = Portal::builder().build();
    drive(run, driver, move || {
        let (handle, port) = portal
            .start_task(|started| async move {
                started.started(8080);
                pending::<()>().await;
            })
            .unwrap();
        assert_eq!(port, 8080);
        let unstarted = portal.start_task::<u16, _, _>(|_started| async { "no port is free" });
        let Err(StartError::NotStarted(end)) = unstarted else {
            unreachable!("{unstarted:?}")
        };
        assert_eq!(end.wait().unwrap(), "no port is free");
        assert!(!handle.is_done());
        portal.close(Close::Cancel);
        assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    });
}

pub(crate) fn a_submission_waits_for_room_as_long_as_it_was_told(run: Run) {
    let (portal, driver) = Portal::builder().capacity(1).build();
    drive(run, driver, move || {
        let stuck = portal.run_coroutine_threadsafe(pending::<()>()).unwrap();
        let refused = portal.submit_timeout(async { 1 }, Duration::from_millis(5));
        let Err(SubmitError::Full(future)) = refused else {
            unreachable!("{refused:?}")
        };
        stuck.cancel();
        let accepted = portal.submit_timeout(future, crate::PATIENCE).unwrap();
        assert_eq!(accepted.wait().unwrap(), 1);
        assert!(matches!(stuck.wait(), Err(JoinError::Cancelled)));
    });
}

pub(crate) fn callers_that_spin_get_their_own_results(run: Run) {
    let (portal, driver) = Portal::builder().capacity(3).spin(100).build();
    let callers: Vec<_> = (0..2)
        .map(|caller| {
            let portal = portal.clone();
            thread::spawn(move || {
                for call in 0..500 {
                    let value = caller * 1000 + call;
                    assert_eq!(portal.call(async move { value }).unwrap(), value);
                }
            })
        })
        .collect();
    drop(portal);
    drive(run, driver, move || {
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
    });
}
