mod closing;
mod flow;
mod once;
mod permits;
mod policies;
mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use futures::stream::StreamExt;

use super::{CallbackStream, Overflow, Push, Sink, callback_stream};
use crate::testing::{Grenade, Wakes, eventually};
use crate::{Portal, register_driver};

fn stream_of(capacity: usize, overflow: Overflow) -> (Sink<u32>, CallbackStream<u32>) {
    callback_stream("test")
        .capacity(capacity)
        .overflow(overflow)
        .build()
}

fn poll(stream: &mut CallbackStream<u32>, waker: &Waker) -> Poll<Option<u32>> {
    stream.poll_next_unpin(&mut Context::from_waker(waker))
}

fn assert_balanced<T>(sink: &Sink<T>) {
    let stats = sink.stats();
    let ends = stats.received + stats.displaced + stats.discarded + stats.depth as u64;
    assert_eq!(stats.queued, ends, "{stats:?}");
}

#[test]
fn values_come_out_in_the_order_they_went_in() {
    let (sink, stream) = stream_of(8, Overflow::Fail);
    (0..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    drop(sink);

    assert_eq!(
        block_on(stream.collect::<Vec<_>>()),
        (0..8).collect::<Vec<_>>()
    );
}

#[test]
fn queue_and_hand_together_never_exceed_the_capacity() {
    for sinks in [1, 3, 17] {
        let (sink, mut stream) = stream_of(4, Overflow::Fail);
        let sinks: Vec<_> = (0..sinks).map(|_| sink.clone()).collect();
        let push = |value: u32| sinks[value as usize % sinks.len()].push(value);
        (0..4).for_each(|value| assert_eq!(push(value), Push::Queued));
        assert_eq!(push(4), Push::Full(4));

        // Each value that is taken makes room for exactly one, whichever batch it is from.
        for value in 4..20 {
            assert_eq!(block_on(stream.next()), Some(value - 4));
            assert_eq!(push(value), Push::Queued);
            assert_eq!(push(99), Push::Full(99));
            assert_eq!(sink.stats().depth, 4);
        }
        assert_balanced(&sink);
    }
}

#[test]
fn a_batch_makes_room_for_as_many_as_it_took() {
    let (sink, mut stream) = stream_of(8, Overflow::Fail);
    (0..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));

    let mut batch = Vec::new();
    assert_eq!(block_on(stream.next()), Some(0));
    assert_eq!(block_on(stream.next_batch(&mut batch, 3)), 3);
    assert_eq!(batch, [1, 2, 3]);
    (8..12).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(sink.push(12), Push::Full(12));
    // From the hand first, then from the queue.
    assert_eq!(block_on(stream.next_batch(&mut batch, 100)), 4);
    assert_eq!(block_on(stream.next_batch(&mut batch, 100)), 4);
    assert_eq!(batch, (1..12).collect::<Vec<_>>());
    assert_balanced(&sink);
}

#[test]
fn drop_oldest_displaces_whatever_was_not_handed_out() {
    let (sink, mut stream) = stream_of(3, Overflow::DropOldest);
    (0..3).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(block_on(stream.next()), Some(0));
    assert_eq!(sink.push(3), Push::Queued);
    assert_eq!(sink.push(4), Push::Displaced(1));
    assert_eq!(sink.push(5), Push::Displaced(2));

    let mut batch = Vec::new();
    assert_eq!(block_on(stream.next_batch(&mut batch, 2)), 2);
    assert_eq!(sink.push(6), Push::Queued);
    sink.finish();
    assert_eq!(block_on(stream.collect::<Vec<_>>()), [5, 6]);
    assert_eq!(batch, [3, 4]);
    assert_eq!(sink.stats().displaced, 2);
    assert_balanced(&sink);
}

#[test]
fn the_consumer_is_woken_only_when_it_waits() {
    let (sink, mut stream) = stream_of(8, Overflow::Fail);
    let (wakes, waker) = Wakes::new();
    let _ = sink.push(1);
    assert_eq!(wakes.count(), 0);

    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(1)));
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    (2..6).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(wakes.count(), 1);
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let (sink, mut stream) = stream_of(8, Overflow::Fail);
    let ((first, first_waker), (second, second_waker)) = (Wakes::new(), Wakes::new());
    assert_eq!(poll(&mut stream, &first_waker), Poll::Pending);
    assert_eq!(poll(&mut stream, &second_waker), Poll::Pending);
    let _ = sink.push(1);
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn a_waker_that_panics_harms_neither_the_push_nor_the_stream() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    let grenade = Waker::from(Arc::new(Grenade));
    assert_eq!(poll(&mut stream, &grenade), Poll::Pending);
    assert_eq!(sink.push(1), Push::Queued);
    assert_eq!(poll(&mut stream, &grenade), Poll::Ready(Some(1)));

    assert_eq!(poll(&mut stream, &grenade), Poll::Pending);
    sink.close_now();
    assert_eq!(poll(&mut stream, &grenade), Poll::Ready(None));
}

#[test]
fn a_blocked_push_goes_on_as_soon_as_one_value_was_taken() {
    let (sink, mut stream) = stream_of(2, Overflow::Block);
    let pushed = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..3)
        .map(|producer| {
            let (sink, pushed) = (sink.clone(), Arc::clone(&pushed));
            thread::spawn(move || {
                for value in 0..2 {
                    assert_eq!(sink.push(producer * 2 + value), Push::Queued);
                    pushed.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    // The consumer takes one and then waits for what only a producer can do: push one more.
    let mut values = Vec::new();
    for taken in 0..=4 {
        eventually("room is used", || {
            pushed.load(Ordering::SeqCst) == 2 + taken
        });
        values.push(block_on(stream.next()).unwrap());
    }
    values.push(block_on(stream.next()).unwrap());
    producers
        .into_iter()
        .for_each(|producer| producer.join().unwrap());
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2, 3, 4, 5]);
    assert_eq!(sink.stats().blocked_now, 0);
}

#[test]
fn waiting_pushes_go_on_once_a_quarter_of_the_capacity_is_free() {
    for by_batch in [false, true] {
        let (sink, mut stream) = stream_of(16, Overflow::Block);
        (0..16).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
        let blocked: Vec<_> = (16..20)
            .map(|value| {
                let sink = sink.clone();
                thread::spawn(move || assert_eq!(sink.push(value), Push::Queued))
            })
            .collect();
        eventually("all pushes wait", || sink.stats().blocked_now == 4);

        let mut values = Vec::new();
        if by_batch {
            assert_eq!(block_on(stream.next_batch(&mut values, 4)), 4);
        } else {
            values.extend((0..4).map(|_| block_on(stream.next()).unwrap()));
        }
        blocked.into_iter().for_each(|push| push.join().unwrap());
        assert_eq!(values, [0, 1, 2, 3]);
        assert_eq!((sink.stats().depth, sink.stats().blocked_now), (16, 0));
    }
}

#[test]
fn a_push_with_a_deadline_gets_its_value_back() {
    let (sink, _stream) = stream_of(1, Overflow::BlockFor(Duration::from_millis(5)));
    assert_eq!(sink.push(1), Push::Queued);
    assert_eq!(sink.push(2), Push::TimedOut(2));
    assert_eq!(sink.stats().refused, 1);
    assert_eq!(sink.stats().blocked_now, 0);
}

#[test]
fn a_panicking_callback_is_contained_and_counted() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    let panic = sink
        .guard(|| -> u32 { panic!("bad payload {}", 7) })
        .unwrap_err();
    assert_eq!(panic.message(), "bad payload 7");
    assert_eq!(sink.guard(|| sink.push(1)).unwrap(), Push::Queued);
    assert_eq!(sink.stats().panics, 1);
    assert_eq!(block_on(stream.next()), Some(1));
}

#[test]
fn a_driver_thread_is_refused_only_the_push_that_would_wait() {
    let (sink, mut stream) = stream_of(1, Overflow::Block);
    let driving = register_driver("main");
    assert_eq!(sink.push(1), Push::Queued);
    assert_eq!(sink.push(2), Push::WouldDeadlock(2));
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(sink.push(3), Push::Queued);
    assert_eq!(sink.stats().deadlocks, 1);
    drop(driving);
}

#[test]
fn a_portal_job_is_refused_the_push_that_would_wait() {
    let (sink, _stream) = stream_of(1, Overflow::Block);
    let (portal, driver) = Portal::builder().build();
    let handle = portal
        .run_coroutine_threadsafe(async move { (sink.push(1), sink.push(2)) })
        .unwrap();
    drop(portal);
    block_on(driver);
    assert_eq!(
        handle.wait().unwrap(),
        (Push::Queued, Push::WouldDeadlock(2))
    );
}

#[test]
fn the_buffers_only_change_places_once_they_have_grown() {
    let (sink, mut stream) = stream_of(64, Overflow::Fail);
    let mut batch = Vec::with_capacity(64);
    let mut fill_and_drain = || {
        (0..64).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
        batch.clear();
        assert_eq!(block_on(stream.next_batch(&mut batch, 64)), 64);
        stream.buffers()
    };
    // Two buffers, each grown once; from then on they only change places.
    fill_and_drain();
    fill_and_drain();
    for _ in 0..10 {
        assert_eq!(fill_and_drain(), (64, 64));
    }
}
