use std::cell::{Cell, RefCell};
use std::sync::{Mutex, Once, PoisonError};
use std::task::{Context, Waker};
use std::thread;

use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::task::{LocalSpawnExt, SpawnExt};
use futures::{FutureExt, StreamExt};

use super::{ContextProbe, driving, is_driving, warn_if_driving};
use crate::{Overflow, Portal, Push, Sink, callback_stream, register_driver};

thread_local! {
    static POLLS: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn a_plain_thread_drives_nothing() {
    thread::spawn(|| assert_eq!(is_driving(), None))
        .join()
        .unwrap();
}

#[test]
fn inside_the_executors_of_futures_a_thread_is_known_to_drive() {
    assert_eq!(block_on(async { is_driving() }), Some("futures"));
    assert_eq!(is_driving(), None);

    let mut pool = LocalPool::new();
    pool.spawner()
        .spawn_local(async { assert_eq!(is_driving(), Some("futures")) })
        .unwrap();
    pool.run();

    let pool = ThreadPool::builder().pool_size(1).create().unwrap();
    let task = pool.spawn_with_handle(async { is_driving() }).unwrap();
    assert_eq!(block_on(task), Some("futures"));
}

#[test]
fn a_registered_probe_is_asked_and_a_second_one_of_its_name_is_not() {
    let probe = ContextProbe::new("of-this-test", || POLLS.get());
    probe.register().unwrap();
    ContextProbe::new("of-this-test", || true)
        .register()
        .unwrap();
    assert_eq!(is_driving(), None);
    POLLS.set(true);
    assert_eq!(is_driving(), Some("of-this-test"));
    POLLS.set(false);
}

#[test]
fn a_probe_is_asked_without_a_lock_and_may_panic() {
    thread_local! {
        static SINK: RefCell<Option<Sink<u32>>> = const { RefCell::new(None) };
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }
    ContextProbe::new("pushes-itself", || {
        assert!(!PANICS.get(), "this probe panics");
        // Would wait for ever, were the stream's lock held here.
        SINK.with_borrow(|sink| sink.as_ref().map(Sink::stats))
            .is_some()
    })
    .register()
    .unwrap();
    let (sink, _stream) = callback_stream("asked")
        .capacity(1)
        .overflow(Overflow::Block)
        .build();
    SINK.set(Some(sink.clone()));
    assert_eq!(sink.push(1), Push::Queued);
    assert_eq!(sink.push(2), Push::WouldDeadlock(2));
    PANICS.set(true);
    // The panic is contained, and the thread is taken for a plain one.
    assert_eq!(is_driving(), None);
    PANICS.set(false);
    SINK.take();
}

#[test]
fn a_thread_drives_while_a_driving_future_is_polled_and_not_between() {
    let mut future = driving(async {
        assert!(is_driving().is_some());
        futures::pending!();
    })
    .boxed();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.poll_unpin(&mut cx).is_pending());
    assert_eq!(is_driving(), None);
    assert!(future.poll_unpin(&mut cx).is_ready());
}

#[test]
fn on_an_executors_thread_only_a_push_that_would_wait_is_refused() {
    let (sink, stream) = callback_stream("probed")
        .capacity(1)
        .overflow(Overflow::Block)
        .build();
    let task = driving(async move {
        assert_eq!(sink.push(1), Push::Queued);
        assert_eq!(sink.push(2), Push::WouldDeadlock(2));
        assert_eq!(sink.stats().deadlocks, 1);
    });
    assert!(task.boxed().now_or_never().is_some());
    assert_eq!(block_on(stream.collect::<Vec<_>>()), [1]);
}

#[test]
fn a_wait_on_an_executors_thread_is_warned_of_once_and_goes_ahead() {
    let warnings = thread::Builder::new()
        .name("warned-executor".to_owned())
        .spawn(|| {
            collect_logs();
            warn_if_driving("nothing, for it does not drive yet");
            let _driving = register_driver("warned");
            let (portal, driver) = Portal::builder().name("warned-portal").build();
            let handle = portal.run_coroutine_threadsafe(async { 1 }).unwrap();
            drop(portal);
            let elsewhere = thread::spawn(|| block_on(driver));
            assert_eq!(handle.wait().unwrap(), 1);
            elsewhere.join().unwrap();
            warn_if_driving("one thing");
            warn_if_driving("another");
            logs_with("warned-executor")
        })
        .unwrap()
        .join()
        .unwrap();
    let [warning] = &warnings[..] else {
        unreachable!("{warnings:?}")
    };
    assert!(warning.contains("drives a registered driver"), "{warning}");
}

/// Keeps what is logged in this process.
struct Logger(Mutex<Vec<String>>);

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record.args().to_string());
    }

    fn flush(&self) {}
}

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

fn collect_logs() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

fn logs_with(text: &str) -> Vec<String> {
    let logs = LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner);
    logs.iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}
