//! The shared portal: one thread while there are users, none without.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures::executor::block_on;

use crate::testing::eventually;
use crate::{Close, JoinError, Portal, PortalProvider, ThreadKind, inventory};

/// A provider that counts the threads it has started and those that have ended.
fn counting(name: &str) -> (PortalProvider, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let threads = Arc::clone(&counts);
    let provider = PortalProvider::new(Portal::builder().name(name), move |driver| {
        threads[0].fetch_add(1, Ordering::SeqCst);
        block_on(driver);
        threads[1].fetch_add(1, Ordering::SeqCst);
    });
    (provider, counts)
}

#[test]
fn all_users_share_one_thread_which_ends_with_the_last_of_them() {
    let (provider, counts) = counting("shared");
    assert_eq!(counts[0].load(Ordering::SeqCst), 0);
    let thread_of = |portal: &Portal| portal.call(async { thread::current().id() }).unwrap();
    let (first, second) = (provider.portal().unwrap(), provider.portal().unwrap());
    assert_eq!(thread_of(&first), thread_of(&second));
    let listed = inventory();
    let listed = listed
        .iter()
        .find(|thread| thread.owner == "shared")
        .unwrap();
    assert_eq!(
        (listed.name.as_str(), listed.kind),
        ("shared", ThreadKind::Driver)
    );

    drop(first);
    assert_eq!(second.call(async { 1 }).unwrap(), 1);
    let accepted = second.run_coroutine_threadsafe(async { 2 }).unwrap();
    drop(second);
    assert_eq!(accepted.wait().unwrap(), 2);
    eventually("the thread has ended", || {
        counts[1].load(Ordering::SeqCst) == 1
    });

    let third = provider.portal().unwrap();
    assert_eq!(third.call(async { 3 }).unwrap(), 3);
    assert_eq!(counts[0].load(Ordering::SeqCst), 2);
}

#[test]
fn a_closed_portal_is_replaced() {
    let (provider, counts) = counting("closed");
    let old = provider.portal().unwrap();
    old.close(Close::Drain);
    let new = provider.portal().unwrap();
    assert!(matches!(old.call(async {}), Err(JoinError::PortalClosed)));
    assert_eq!(new.call(async { 1 }).unwrap(), 1);
    assert_eq!(counts[0].load(Ordering::SeqCst), 2);
}

#[test]
fn users_that_come_and_go_on_many_threads_always_get_a_live_portal() {
    let (provider, counts) = counting("busy");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for value in 0..100 {
                    let portal = provider.portal().unwrap();
                    assert_eq!(portal.call(async move { value }).unwrap(), value);
                }
            });
        }
    });
    eventually("every thread has ended", || {
        counts[0].load(Ordering::SeqCst) == counts[1].load(Ordering::SeqCst)
    });
}

#[test]
fn a_run_that_panics_fails_its_users_and_not_the_next_ones() {
    let provider = PortalProvider::new(Portal::builder(), |driver| {
        drop(driver);
        panic!("this executor does not start");
    });
    for _ in 0..2 {
        let portal = provider.portal().unwrap();
        assert!(matches!(
            portal.call(async {}),
            Err(JoinError::PortalClosed)
        ));
    }
}
