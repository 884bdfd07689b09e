//! Room that is reserved before there is a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use futures::stream::StreamExt;

use super::{assert_balanced, poll, stream_of};
use crate::testing::{Wakes, eventually};
use crate::{Overflow, Push, Refusal, callback_stream, register_driver};

#[test]
fn permits_and_values_together_never_exceed_the_capacity() {
    for sinks in [1, 5, 40] {
        let (sink, mut stream) = stream_of(4, Overflow::Fail);
        let sinks: Vec<_> = (0..sinks).map(|_| sink.clone()).collect();
        let sink_of = |index: usize| &sinks[index % sinks.len()];
        let mut permits: Vec<_> = (0..3)
            .map(|index| sink_of(index).permit(1).unwrap())
            .collect();
        assert_eq!(sink_of(3).push(0), Push::Queued);
        assert_eq!(sink_of(4).push(9), Push::Full(9));
        assert_eq!(sink_of(5).permit(1).unwrap_err(), Refusal::Full);

        // A permit that is used leaves no more room than before.
        assert_eq!(permits.pop().unwrap().send(1), Push::Queued);
        assert_eq!(sink.push(9), Push::Full(9));
        // One that is dropped leaves room for exactly one.
        drop(permits.pop());
        assert_eq!(sink.push(2), Push::Queued);
        assert_eq!(sink.push(9), Push::Full(9));
        let stats = sink.stats();
        assert_eq!((stats.depth, stats.weight, stats.reserved), (3, 3, 1));

        assert_eq!(block_on(stream.next()), Some(0));
        assert_eq!(sink.push(3), Push::Queued);
        assert_eq!(sink.push(9), Push::Full(9));
        assert_eq!(permits.pop().unwrap().send(4), Push::Queued);
        let mut batch = Vec::new();
        block_on(stream.next_batch(&mut batch, 9));
        block_on(stream.next_batch(&mut batch, 9));
        assert_eq!(batch, [1, 2, 3, 4]);
        assert_balanced(&sink);
    }
}

#[test]
fn many_threads_with_permits_and_pushes_keep_the_capacity() {
    const EACH: u32 = 2_000;
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let sink = sink.clone();
            thread::spawn(move || {
                for value in 0..EACH {
                    match value % 3 {
                        0 => assert_eq!(sink.push(value), Push::Queued),
                        1 => assert_eq!(sink.permit(1).unwrap().send(value), Push::Queued),
                        _ => {
                            drop(sink.permit(1).unwrap());
                            assert_eq!(block_on(sink.push_async(value)), Push::Queued);
                        }
                    }
                }
            })
        })
        .collect();
    let mut received = 0;
    while received < 4 * EACH {
        let mut batch = Vec::new();
        received += block_on(stream.next_batch(&mut batch, 3)) as u32;
        let stats = stream.stats();
        assert!(stats.weight + stats.reserved <= 8, "{stats:?}");
    }
    producers.into_iter().for_each(|it| it.join().unwrap());
    let stats = sink.stats();
    assert_eq!((stats.reserved, stats.depth, stats.blocked_now), (0, 0, 0));
    assert_balanced(&sink);
}

#[test]
fn a_permit_waits_as_the_policy_says() {
    let (sink, mut stream) = stream_of(1, Overflow::Block);
    let first = sink.permit(1).unwrap();
    let waiting = {
        let sink = sink.clone();
        thread::spawn(move || sink.permit(1).unwrap().send(2))
    };
    eventually("the permit waits", || sink.stats().blocked_now == 1);
    assert_eq!(first.send(1), Push::Queued);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(waiting.join().unwrap(), Push::Queued);

    let driving = register_driver("main");
    assert_eq!(sink.permit(1).unwrap_err(), Refusal::WouldDeadlock);
    drop(driving);
    let (sink, _stream) = stream_of(1, Overflow::BlockFor(Duration::from_millis(2)));
    let _permit = sink.permit(1).unwrap();
    assert_eq!(sink.permit(1).unwrap_err(), Refusal::TimedOut);
}

#[test]
fn a_dropped_permit_wakes_the_push_that_waits_for_its_room() {
    // Less than a quarter of the capacity: there is no more to wait for.
    let (sink, mut stream) = stream_of(64, Overflow::Block);
    let mut permits: Vec<_> = (0..64).map(|_| sink.permit(1).unwrap()).collect();
    let waiting = {
        let sink = sink.clone();
        thread::spawn(move || sink.push(1))
    };
    eventually("the push waits", || sink.stats().blocked_now == 1);
    drop(permits.pop());
    assert_eq!(waiting.join().unwrap(), Push::Queued);

    // The same, with the room made by the consumer.
    let waiting = {
        let sink = sink.clone();
        thread::spawn(move || sink.push(2))
    };
    eventually("the push waits", || sink.stats().blocked_now == 1);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(waiting.join().unwrap(), Push::Queued);
}

#[test]
fn a_finished_stream_ends_when_its_permits_have() {
    let (sink, mut stream) = stream_of(4, Overflow::Block);
    let (sent, dropped) = (sink.permit(1).unwrap(), sink.permit(1).unwrap());
    let (wakes, waker) = Wakes::new();
    sink.finish();
    assert_eq!(sink.permit(1).unwrap_err(), Refusal::Closed);
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    assert_eq!(sent.send(1), Push::Queued);
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(Some(1)));
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    drop(dropped);
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll(&mut stream, &waker), Poll::Ready(None));
}

#[test]
fn the_last_permit_keeps_the_stream_open() {
    let (sink, mut stream) = stream_of(4, Overflow::Block);
    let permit = sink.permit(1).unwrap();
    drop(sink);
    let (_wakes, waker) = Wakes::new();
    assert_eq!(poll(&mut stream, &waker), Poll::Pending);
    assert_eq!(permit.send(1), Push::Queued);
    assert_eq!(block_on(stream.collect::<Vec<_>>()), [1]);
}

#[test]
fn a_permit_of_a_dropped_stream_hands_the_value_back() {
    let (sink, stream) = stream_of(4, Overflow::Block);
    let permit = sink.permit(1).unwrap();
    drop(stream);
    assert_eq!(permit.send(1), Push::Closed(1));
    assert_eq!(sink.stats().reserved, 0);
}

#[test]
fn nothing_is_displaced_for_or_from_a_permit() {
    let (sink, mut stream) = stream_of(2, Overflow::DropOldest);
    assert_eq!(sink.push(1), Push::Queued);
    let permit = sink.permit(1).unwrap();
    assert_eq!(sink.permit(1).unwrap_err(), Refusal::Full);
    assert_eq!(sink.push(2), Push::Displaced(1));
    assert_eq!(block_on(stream.next()), Some(2));
    let second = sink.permit(1).unwrap();
    assert_eq!(sink.push(3), Push::Full(3));
    assert_eq!(permit.send(4), Push::Queued);
    assert_eq!(second.send(5), Push::Queued);
    assert_balanced(&sink);
}

#[test]
fn a_permit_gives_back_what_its_value_does_not_weigh() {
    let (sink, _stream) = callback_stream::<&str>("test")
        .capacity(10)
        .weigh(|text| text.len())
        .overflow(Overflow::Fail)
        .build();
    let permit = sink.permit(6).unwrap();
    assert_eq!(permit.weight(), 6);
    assert_eq!(sink.push("five."), Push::Full("five."));
    assert_eq!(permit.send("one"), Push::Queued);
    assert_eq!(sink.push("five."), Push::Queued);
    // Heavier than reserved: only if the rest fits.
    assert_eq!(sink.permit(1).unwrap().send("2."), Push::Queued);
    let stats = sink.stats();
    assert_eq!((stats.weight, stats.reserved), (10, 0));
    let (sink, _stream) = callback_stream::<&str>("test")
        .capacity(4)
        .weigh(|text| text.len())
        .overflow(Overflow::Fail)
        .build();
    let (small, _other) = (sink.permit(2).unwrap(), sink.permit(1).unwrap());
    assert_eq!(small.send("four"), Push::Full("four"));
    assert_eq!(sink.stats().reserved, 1);
}

#[test]
fn dropped_permits_wake_as_many_as_wait() {
    let (sink, _stream) = stream_of(4, Overflow::Block);
    let permits: Vec<_> = (0..4).map(|_| sink.permit(1).unwrap()).collect();
    let pushed = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..4)
        .map(|value| {
            let (sink, pushed) = (sink.clone(), Arc::clone(&pushed));
            thread::spawn(move || {
                assert_eq!(sink.push(value), Push::Queued);
                pushed.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    eventually("all wait", || sink.stats().blocked_now == 4);
    for (index, permit) in permits.into_iter().enumerate() {
        drop(permit);
        eventually("one goes on", || pushed.load(Ordering::SeqCst) > index);
        eventually("the rest waits", || sink.stats().blocked_now == 3 - index);
    }
    waiting.into_iter().for_each(|it| it.join().unwrap());
}
