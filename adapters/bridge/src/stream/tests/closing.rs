//! How a stream ends, and what then becomes of values, pushes and hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use futures::executor::block_on;
use futures::stream::{FusedStream, StreamExt};

use super::{assert_balanced, poll, stream_of};
use crate::testing::{Dropped, Wakes, eventually};
use crate::{BlockingPool, CloseReason, Overflow, Push, Sink, callback_stream};

#[test]
fn every_blocked_push_is_handed_back_when_the_stream_closes() {
    #[derive(Clone, Copy, PartialEq)]
    enum By {
        Finish,
        CloseNow,
        Drop,
    }
    for by in [By::Finish, By::CloseNow, By::Drop] {
        let (sink, stream) = stream_of(1, Overflow::Block);
        assert_eq!(sink.push(0), Push::Queued);
        let blocked: Vec<_> = (1..=4)
            .map(|value| {
                let sink = sink.clone();
                thread::spawn(move || assert_eq!(sink.push(value), Push::Closed(value)))
            })
            .collect();
        eventually("all pushes wait", || sink.stats().blocked_now == 4);

        match by {
            By::Finish => sink.finish(),
            By::CloseNow => sink.close_now(),
            By::Drop => {}
        }
        let stream = (by != By::Drop).then_some(stream);
        blocked.into_iter().for_each(|push| push.join().unwrap());
        drop(stream);
        assert_eq!(sink.stats().late, 4);
        assert_balanced(&sink);
    }
}

#[test]
fn a_dropped_stream_hands_late_values_back_and_drops_the_unread_ones() {
    let (sink, mut stream) = callback_stream("test")
        .capacity(8)
        .overflow(Overflow::Block)
        .build();
    let drops = Arc::new(AtomicUsize::new(0));
    (0..4).for_each(|_| assert!(sink.push(Dropped(Arc::clone(&drops))).is_queued()));
    drop(block_on(stream.next()));
    assert_eq!(drops.load(Ordering::SeqCst), 1);

    drop(stream);
    assert_eq!(drops.load(Ordering::SeqCst), 4);
    let late = sink.push(Dropped(Arc::clone(&drops)));
    assert!(matches!(late, Push::Closed(_)));
    assert_eq!(drops.load(Ordering::SeqCst), 4);
    assert_eq!(sink.stats().discarded, 3);
    assert_balanced(&sink);
}

#[test]
fn finish_drains_and_close_now_overtakes_even_the_hand() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    (0..6).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    sink.finish();
    assert_eq!(sink.push(9), Push::Closed(9));
    assert_eq!(block_on(stream.next()), Some(0));

    sink.close_now();
    assert_eq!(block_on(stream.next()), None);
    assert!(stream.is_terminated());
    assert_eq!(block_on(stream.next()), None);
    assert_eq!(sink.stats().discarded, 5);
    assert_balanced(&sink);
}

#[test]
fn close_now_overtakes_a_batch_too() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    (0..6).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(block_on(stream.next()), Some(0));

    sink.close_now();
    let mut batch = Vec::new();
    assert_eq!(block_on(stream.next_batch(&mut batch, 10)), 0);
    assert!(batch.is_empty());
    assert_eq!(sink.stats().discarded, 5);
    assert_balanced(&sink);
}

#[test]
fn the_stream_ends_with_its_last_sink() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    let second = sink.clone();
    let (wakes, waker) = Wakes::new();
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    drop(sink);
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    drop(second);
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(None));
}

#[test]
fn the_close_hook_runs_once_elsewhere_with_the_first_reason() {
    let (told, reasons) = mpsc::channel();
    let here = thread::current().id();
    let (sink, stream) = callback_stream::<u32>("test")
        .overflow(Overflow::Block)
        .on_close(move |reason| {
            let thread = thread::current();
            told.send((
                reason,
                thread.id() != here,
                thread.name().map(str::to_owned),
            ))
            .unwrap();
        })
        .build();
    sink.finish();
    sink.close_now();
    drop(stream);
    drop(sink);

    let elsewhere = (CloseReason::Finished, true, Some("test-close".to_owned()));
    assert_eq!(reasons.iter().collect::<Vec<_>>(), [elsewhere]);
}

#[test]
fn the_close_hook_runs_in_a_pool_or_apart_if_that_is_full() {
    for is_full in [false, true] {
        let pool = BlockingPool::builder()
            .name("closers")
            .threads(1)
            .queue(0)
            .build();
        let (release, is_released) = mpsc::channel::<()>();
        let blocker = is_full.then(|| pool.run("blocker", move |_| is_released.recv()).unwrap());
        let (told, names) = mpsc::channel();
        let (sink, stream) = callback_stream::<u32>("test")
            .overflow(Overflow::Block)
            .on_close_in(&pool, move |reason| {
                told.send((reason, thread::current().name().map(str::to_owned)))
                    .unwrap();
            })
            .build();
        drop(stream);

        let name = if is_full { "test-close" } else { "closers-1" };
        let expected = (CloseReason::StreamDropped, Some(name.to_owned()));
        assert_eq!(names.recv().unwrap(), expected);
        assert!(names.recv().is_err());
        drop((sink, release, blocker));
    }
}

#[test]
fn a_value_whose_destructor_pushes_does_not_hang() {
    struct Pushes(Option<Sink<Pushes>>);
    impl Drop for Pushes {
        fn drop(&mut self) {
            if let Some(sink) = self.0.take() {
                assert!(matches!(sink.push(Pushes(None)), Push::Closed(_)));
            }
        }
    }
    let (sink, stream) = callback_stream("test")
        .capacity(2)
        .overflow(Overflow::Block)
        .build();
    assert!(sink.push(Pushes(Some(sink.clone()))).is_queued());
    drop(stream);
    assert_eq!(sink.stats().late, 1);
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_others_from_running() {
    struct Bomb {
        _counts: Dropped,
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("this destructor panics");
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (sink, stream) = callback_stream("test")
        .capacity(4)
        .overflow(Overflow::Block)
        .build();
    (0..4).for_each(|_| {
        assert!(
            sink.push(Bomb {
                _counts: Dropped(Arc::clone(&drops))
            })
            .is_queued()
        )
    });
    drop(stream);
    assert_eq!(drops.load(Ordering::SeqCst), 4);
    assert_balanced(&sink);
}
