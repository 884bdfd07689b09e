//! Producers that do not park: async ones, and those that are told when there is room again.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use futures::executor::block_on;
use futures::future::{FutureExt, join, join_all};
use futures::stream::StreamExt;

use super::{assert_balanced, stream_of};
use crate::testing::Wakes;
use crate::{Overflow, Push, Refusal, Sink};

fn count_ready(sink: &Sink<u32>) -> Arc<AtomicUsize> {
    let told = Arc::new(AtomicUsize::new(0));
    let signal = Arc::clone(&told);
    sink.when_ready(move || {
        signal.fetch_add(1, Ordering::SeqCst);
    });
    told
}

#[test]
fn async_producers_wait_for_room_without_a_thread() {
    for capacity in [1, 3, 64] {
        let (sink, stream) = stream_of(capacity, Overflow::Fail);
        let produce = |producer: u32| {
            let sink = sink.clone();
            async move {
                for value in 0..500 {
                    assert_eq!(sink.push_async(producer * 500 + value).await, Push::Queued);
                }
            }
        };
        let producers = join_all((0..4).map(produce));
        drop(sink);
        let (_, mut values) = block_on(join(producers, stream.collect::<Vec<_>>()));
        for producer in 0..4 {
            let of_one = values.iter().filter(|value| **value / 500 == producer);
            assert!(of_one.copied().eq(producer * 500..(producer + 1) * 500));
        }
        values.sort_unstable();
        assert!(values.into_iter().eq(0..2000));
    }
}

#[test]
fn a_task_that_waits_for_room_is_woken_when_there_is_some() {
    let (sink, mut stream) = stream_of(1, Overflow::Fail);
    assert_eq!(sink.push(1), Push::Queued);
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    let mut push = pin!(sink.push_async(2));
    assert!(push.as_mut().poll(&mut cx).is_pending());
    assert!(push.as_mut().poll(&mut cx).is_pending());
    assert_eq!(wakes.count(), 0);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(wakes.count(), 1);
    assert_eq!(push.as_mut().poll(&mut cx), Poll::Ready(Push::Queued));
    assert_eq!(sink.stats().refused, 0);
    assert_eq!(block_on(stream.next()), Some(2));
}

#[test]
fn a_task_that_gives_up_leaves_nothing_behind() {
    let (sink, mut stream) = stream_of(1, Overflow::Fail);
    assert_eq!(sink.push(1), Push::Queued);
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(
        sink.permit_async(1)
            .boxed()
            .poll_unpin(&mut cx)
            .is_pending()
    );
    assert_eq!(Arc::strong_count(&wakes), 2);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!((wakes.count(), sink.stats().reserved), (0, 0));
    assert_eq!(sink.push(2), Push::Queued);
}

#[test]
fn a_task_that_waits_for_room_is_told_of_the_close() {
    let (sink, stream) = stream_of(1, Overflow::Fail);
    assert_eq!(sink.push(1), Push::Queued);
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    let mut push = pin!(sink.push_async(2));
    let mut permit = pin!(sink.permit_async(1));
    assert!(push.as_mut().poll(&mut cx).is_pending());
    assert!(permit.as_mut().poll(&mut cx).is_pending());
    drop(stream);
    assert_eq!(wakes.count(), 2);
    assert_eq!(push.as_mut().poll(&mut cx), Poll::Ready(Push::Closed(2)));
    let refused = permit.as_mut().poll(&mut cx).map(Result::unwrap_err);
    assert_eq!(refused, Poll::Ready(Refusal::Closed));
    assert_eq!(sink.stats().late, 2);
}

#[test]
fn a_sink_that_was_full_is_told_once_there_is_room() {
    let (sink, mut stream) = stream_of(8, Overflow::Fail);
    (0..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(sink.push(8), Push::Full(8));
    let told = count_ready(&sink);
    assert_eq!(block_on(stream.next()), Some(0));
    assert_eq!(told.load(Ordering::SeqCst), 0);
    // A quarter of the capacity.
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(sink.push(8), Push::Queued);
    let rest = block_on(stream.by_ref().take(7).collect::<Vec<_>>());
    assert_eq!(rest, (2..9).collect::<Vec<_>>());
    assert_eq!(told.load(Ordering::SeqCst), 1);

    // With room there is nothing to wait for.
    assert_eq!(count_ready(&sink).load(Ordering::SeqCst), 1);
    assert_balanced(&sink);
}

#[test]
fn the_room_of_a_permit_is_told_of_too() {
    let (sink, _stream) = stream_of(1, Overflow::Fail);
    let permit = sink.permit(1).unwrap();
    let told = count_ready(&sink);
    drop(permit);
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_sink_has_one_signal_and_takes_it_along() {
    let (sink, mut stream) = stream_of(1, Overflow::Fail);
    let (second, third) = (sink.clone(), sink.clone());
    assert_eq!(sink.push(1), Push::Queued);
    let replaced = count_ready(&sink);
    let told = count_ready(&sink);
    let told_too = count_ready(&second);
    let gone = count_ready(&third);
    drop(third);
    assert_eq!(
        (Arc::strong_count(&replaced), Arc::strong_count(&gone)),
        (1, 1)
    );
    assert_eq!(block_on(stream.next()), Some(1));
    let counts = [replaced, told, told_too, gone].map(|it| it.load(Ordering::SeqCst));
    assert_eq!(counts, [0, 1, 1, 0]);
}

#[test]
fn a_close_is_told_as_room_is() {
    let (sink, stream) = stream_of(1, Overflow::Fail);
    assert_eq!(sink.push(1), Push::Queued);
    let told = count_ready(&sink);
    drop(stream);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(count_ready(&sink).load(Ordering::SeqCst), 1);
}

#[test]
fn a_signal_may_push_and_panic() {
    let (sink, mut stream) = stream_of(1, Overflow::Block);
    assert_eq!(sink.push(1), Push::Queued);
    let pusher = sink.clone();
    let (told, was_told) = mpsc::channel();
    sink.when_ready(move || {
        // It runs inside of the consumer's poll: to wait here would be for ever.
        let pushes = [2, 3].map(|value| pusher.push(value));
        let _ = told.send(pushes);
        panic!("and that was it");
    });
    assert_eq!(block_on(stream.next()), Some(1));
    let expected = [Push::Queued, Push::WouldDeadlock(3)];
    assert_eq!(was_told.try_recv(), Ok(expected));
    assert_eq!(block_on(stream.next()), Some(2));
    assert_eq!(sink.stats().panics, 1);
}
