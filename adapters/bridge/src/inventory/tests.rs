use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::thread;

use futures::FutureExt;

use super::{ThreadInfo, ThreadKind, ThreadState, claim_threads, inventory, register_driver};
use crate::testing::eventually;
use crate::{Overflow, Portal, Push, callback_stream};

fn owned_by(owner: &str) -> Vec<ThreadInfo> {
    inventory()
        .into_iter()
        .filter(|thread| thread.owner == owner)
        .collect()
}

#[test]
fn a_vendor_thread_appears_at_its_first_push_and_disappears_with_its_end() {
    let (sink, stream) = callback_stream::<u32>("vendor-1")
        .capacity(4)
        .overflow(Overflow::Block)
        .build();
    let (next, is_next) = channel::<()>();
    let (pushed, has_pushed) = channel();
    let vendor = thread::Builder::new()
        .name("sdk-callback-7".to_owned())
        .spawn(move || {
            is_next.recv().unwrap();
            assert_eq!(sink.push(1), Push::Queued);
            pushed.send(()).unwrap();
            assert!(is_next.recv().is_err());
        })
        .unwrap();
    assert!(owned_by("vendor-1").is_empty());

    next.send(()).unwrap();
    has_pushed.recv().unwrap();
    let [thread] = owned_by("vendor-1").try_into().unwrap();
    assert_eq!(
        (thread.name.as_str(), thread.kind),
        ("sdk-callback-7", ThreadKind::Vendor)
    );
    assert!(thread.is_claimed() && thread.since.is_some());

    drop(next);
    vendor.join().unwrap();
    assert!(owned_by("vendor-1").is_empty());
    drop(stream);
}

#[test]
fn a_thread_that_waits_in_a_push_says_so() {
    let (sink, mut stream) = callback_stream::<u32>("vendor-2")
        .capacity(1)
        .overflow(Overflow::Block)
        .build();
    let vendor = thread::spawn(move || (0..2).for_each(|value| drop(sink.push(value))));
    eventually("the thread is blocked", || {
        owned_by("vendor-2")
            .iter()
            .any(|thread| thread.state == ThreadState::Blocked)
    });
    let mut batch = Vec::new();
    futures::executor::block_on(async { while stream.next_batch(&mut batch, 8).await > 0 {} });
    vendor.join().unwrap();
    assert_eq!(batch, [0, 1]);
}

#[test]
fn a_driver_is_listed_while_its_guard_lives_and_is_unclaimed_after() {
    thread::Builder::new()
        .name("drives".to_owned())
        .spawn(|| {
            let os_id = {
                let _outer = register_driver("outer-driver");
                let _inner = register_driver("inner-driver");
                let [thread] = owned_by("inner-driver").try_into().unwrap();
                assert_eq!(
                    (thread.kind, thread.name.as_str()),
                    (ThreadKind::Driver, "drives")
                );
                assert!(owned_by("outer-driver").is_empty());
                thread.os_id
            };
            assert!(owned_by("inner-driver").is_empty());
            if cfg!(target_os = "linux") {
                let threads = inventory();
                let this = threads.iter().find(|thread| thread.os_id == os_id).unwrap();
                assert_eq!(
                    (this.owner.as_str(), this.name.as_str()),
                    ("unclaimed", "drives")
                );
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_thread_that_polls_a_portal_is_its_driver_for_that_long() {
    let (portal, mut driver) = Portal::builder().name("polled-portal").build();
    // That the thread has pushed, here or elsewhere, does not hide what it does now.
    let (sink, _stream) = callback_stream("pushed-once")
        .overflow(Overflow::Fail)
        .build();
    assert_eq!(sink.push(1), Push::Queued);
    let handle = portal
        .run_coroutine_threadsafe(async { owned_by("polled-portal") })
        .unwrap();
    let named = portal
        .run_coroutine_threadsafe(async {
            let _driving = register_driver("named-driver");
            owned_by("named-driver")
        })
        .unwrap();
    assert!(
        driver
            .poll_unpin(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );

    let [thread] = handle.wait().unwrap().try_into().unwrap();
    assert_eq!(
        (thread.kind, thread.state),
        (ThreadKind::Driver, ThreadState::Running)
    );
    let [thread] = named.wait().unwrap().try_into().unwrap();
    assert_eq!(thread.job.as_deref(), Some("portal polled-portal"));
    assert!(owned_by("polled-portal").is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn every_other_thread_is_listed_as_unclaimed_with_its_name() {
    let (release, is_released) = channel::<()>();
    let (started, has_started) = channel();
    let stray = thread::Builder::new()
        .name("a-stray-thread-with-a-long-name".to_owned())
        .spawn(move || {
            started.send(()).unwrap();
            assert!(is_released.recv().is_err());
        })
        .unwrap();
    has_started.recv().unwrap();
    let threads = inventory();
    let stray_thread = threads
        .iter()
        .find(|thread| thread.name == "a-stray-thread-")
        .unwrap();
    assert_eq!(stray_thread.owner, "unclaimed");
    assert_eq!(
        (stray_thread.kind, stray_thread.since),
        (ThreadKind::Unclaimed, None)
    );

    // No thread twice, and no thread of the process missing.
    let mut os_ids: Vec<_> = threads.iter().filter_map(|thread| thread.os_id).collect();
    os_ids.sort_unstable();
    let count = os_ids.len();
    os_ids.dedup();
    assert_eq!(os_ids.len(), count);
    drop(release);
    stray.join().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn an_sdks_silent_threads_are_claimed_by_name_while_the_claim_lives() {
    let (release, is_released) = channel::<()>();
    let (started, has_started) = channel();
    let silent = thread::Builder::new()
        .name("acme-pull-of-orders".to_owned())
        .spawn(move || {
            started.send(()).unwrap();
            assert!(is_released.recv().is_err());
        })
        .unwrap();
    has_started.recv().unwrap();
    let owner = || {
        let found = inventory()
            .into_iter()
            .find(|it| it.name == "acme-pull-of-or")
            .unwrap();
        (found.owner.clone(), found.kind, found.age().is_some())
    };
    let is = |owner: &str, kind, has_age| (owner.to_owned(), kind, has_age);
    assert_eq!(owner(), is("unclaimed", ThreadKind::Unclaimed, false));

    let acme = claim_threads("acme-", "acme");
    assert_eq!(owner(), is("acme", ThreadKind::Vendor, true));
    // The longer prefix knows better, also where it is longer than what the system keeps.
    let orders = claim_threads("acme-pull-of-orders", "orders");
    assert_eq!(owner(), is("orders", ThreadKind::Vendor, true));
    let found = inventory()
        .into_iter()
        .find(|it| it.owner == "orders")
        .unwrap();
    // Its start is told in hundredths of a second, and it started in this test.
    assert!(found.age().unwrap() < std::time::Duration::from_secs(60));
    drop(orders);
    assert_eq!(owner(), is("acme", ThreadKind::Vendor, true));
    drop(acme);
    assert_eq!(owner(), is("unclaimed", ThreadKind::Unclaimed, false));
    drop(release);
    silent.join().unwrap();
}

#[test]
fn a_thread_that_pushes_belongs_to_its_stream_and_not_to_its_name() {
    let (sink, _stream) = callback_stream::<u32>("pushed-by-name")
        .overflow(Overflow::Fail)
        .build();
    thread::Builder::new()
        .name("pusher-by-name".to_owned())
        .spawn(move || {
            let _claim = claim_threads("pusher-by-name", "its-name");
            assert_eq!(sink.push(1), Push::Queued);
            assert_eq!(owned_by("pushed-by-name").len(), 1);
            assert!(owned_by("its-name").is_empty());
        })
        .unwrap()
        .join()
        .unwrap();
}
