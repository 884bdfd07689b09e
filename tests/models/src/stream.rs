//! Pushing and receiving: nothing is lost, nothing is doubled, nobody sleeps for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::{Stream, StreamExt};
use mayhem_bridge::{CallbackStream, Overflow, Push, Sink, callback_stream};

use crate::catalog::{Model, models};
use crate::world::{JoinHandle, block_on, check, join, pass_time, spawn};

pub(crate) const MODELS: &[Model] = models![
    each_pushed_value_arrives_once,
    waiting_producers_are_told_of_room,
    a_batch_frees_its_room,
    capacity_is_exact,
    a_displaced_value_goes_to_its_pusher,
    a_timed_push_is_queued_or_handed_back,
    a_dropped_receive_loses_nothing,
    another_thread_takes_over_the_stream,
    a_waker_may_use_the_stream_inline,
];

fn open<T>(capacity: usize, overflow: Overflow) -> (Sink<T>, CallbackStream<T>) {
    callback_stream("model")
        .capacity(capacity)
        .overflow(overflow)
        .build()
}

/// Starts `producers` threads that push `values` values each: (producer, index).
fn push_all(sink: Sink<(usize, usize)>, producers: usize, values: usize) -> Vec<JoinHandle<()>> {
    let start = |producer| {
        let sink = sink.clone();
        spawn(move || {
            for index in 0..values {
                assert_eq!(sink.push((producer, index)), Push::Queued);
            }
        })
    };
    (0..producers).map(start).collect()
}

/// Every value once, and those of one producer in order.
fn assert_complete(received: &[(usize, usize)], producers: usize, values: usize) {
    for producer in 0..producers {
        let own = received.iter().filter(|(of, _)| *of == producer);
        let indices: Vec<_> = own.map(|(_, index)| *index).collect();
        assert_eq!(
            indices,
            (0..values).collect::<Vec<_>>(),
            "of producer {producer}"
        );
    }
    assert_eq!(received.len(), producers * values);
}

fn each_pushed_value_arrives_once() {
    let sizes = [
        (1, 2, 1),
        (1, 2, 2),
        (1, 3, 3),
        (2, 1, 1),
        (2, 1, 2),
        (3, 1, 3),
    ];
    for (producers, values, capacity) in sizes {
        check(2, move || {
            let (sink, mut stream) = open(capacity, Overflow::Block);
            let pushers = push_all(sink, producers, values);
            let mut received = Vec::new();
            block_on(async {
                while let Some(value) = stream.next().await {
                    received.push(value);
                }
            });
            pushers.into_iter().for_each(join);
            assert_complete(&received, producers, values);
            let stats = stream.stats();
            assert_eq!(
                (stats.received, stats.depth),
                ((producers * values) as u64, 0)
            );
            assert_eq!(stats.blocked_now, 0);
        });
    }
}

fn waiting_producers_are_told_of_room() {
    // A consumer that empties its hand, without the lock, and then reads no more.
    check(3, || {
        let (sink, mut stream) = open(2, Overflow::Block);
        (0..2).for_each(|index| assert_eq!(sink.push((9, index)), Push::Queued));
        assert_eq!(poll_now(&mut stream), Some((9, 0)));
        let pushers = push_all(sink, 1, 2);
        assert_eq!(poll_now(&mut stream), Some((9, 1)));
        pushers.into_iter().for_each(join);
        assert_complete(&block_on(collect(&mut stream)), 1, 2);
    });
    // A capacity of which a quarter is more than one: told late, but told.
    for producers in [1, 2] {
        check(2, move || {
            let (sink, mut stream) = open(5, Overflow::Block);
            (0..5).for_each(|index| assert_eq!(sink.push((9, index)), Push::Queued));
            let pushers = push_all(sink, producers, 1);
            let received = block_on(collect(&mut stream));
            pushers.into_iter().for_each(join);
            assert_eq!(received[..5], [0, 1, 2, 3, 4].map(|index| (9, index)));
            assert_complete(&received[5..], producers, 1);
        });
    }
    // Many of them.
    for (producers, values, capacity, preemptions) in [(2, 2, 1, 2), (3, 1, 1, 1), (3, 1, 2, 1)] {
        check(preemptions, move || {
            let (sink, mut stream) = open(capacity, Overflow::Block);
            let pushers = push_all(sink, producers, values);
            let received = block_on(collect(&mut stream));
            pushers.into_iter().for_each(join);
            assert_complete(&received, producers, values);
        });
    }
}

fn a_batch_frees_its_room() {
    for (producers, values, capacity, max) in [(1, 3, 2, 1), (1, 3, 2, 2), (2, 2, 2, 1)] {
        check(2, move || {
            let (sink, mut stream) = open(capacity, Overflow::Block);
            let pushers = push_all(sink, producers, values);
            let mut received = Vec::new();
            block_on(async { while stream.next_batch(&mut received, max).await > 0 {} });
            pushers.into_iter().for_each(join);
            assert_complete(&received, producers, values);
        });
    }
}

fn capacity_is_exact() {
    for (capacity, reads) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 1)] {
        check(2, move || {
            let (sink, mut stream) = open(capacity, Overflow::Fail);
            let push = |values: usize| {
                let sink = sink.clone();
                spawn(move || {
                    let mut accepted = 0;
                    for value in 0..values {
                        accepted += usize::from(sink.push(value).is_queued());
                        let depth = sink.stats().depth;
                        assert!(depth <= capacity, "{depth} values in room for {capacity}");
                    }
                    accepted
                })
            };
            let pushers = [push(capacity), push(2)];
            let read = (0..reads)
                .filter(|_| poll_now(&mut stream).is_some())
                .count();
            let accepted: usize = pushers.into_iter().map(join).sum();
            assert!(
                (capacity..=capacity + read).contains(&accepted),
                "{accepted} accepted"
            );
            let rest = std::iter::from_fn(|| poll_now(&mut stream)).count();
            assert_eq!(read + rest, accepted);
        });
    }
}

fn a_displaced_value_goes_to_its_pusher() {
    for (capacity, values) in [(1, 1), (1, 2), (2, 2)] {
        check(2, move || {
            let (sink, mut stream) = open(capacity, Overflow::DropOldest);
            let push = |producer: usize| {
                let sink = sink.clone();
                spawn(move || {
                    let push = |value| match sink.push((producer, value)) {
                        Push::Queued => None,
                        Push::Displaced(oldest) => Some(oldest),
                        other => unreachable!("{other:?}"),
                    };
                    (0..values).filter_map(push).collect::<Vec<_>>()
                })
            };
            let pushers = [push(0), push(1)];
            drop(sink);
            let mut seen = block_on(collect(&mut stream));
            let received = seen.len();
            let displaced = pushers.map(join);
            seen.extend(displaced.iter().flatten());
            seen.sort_unstable();
            assert_complete(&seen, 2, values);
            let stats = stream.stats();
            assert_eq!((stats.received, stats.depth), (received as u64, 0));
        });
    }
}

fn a_timed_push_is_queued_or_handed_back() {
    for producers in [1, 2] {
        check(2, move || {
            let (sink, mut stream) = open(1, Overflow::BlockFor(Duration::from_secs(1)));
            assert_eq!(sink.push(9), Push::Queued);
            let push = |value| {
                let sink = sink.clone();
                spawn(move || match sink.push(value) {
                    Push::Queued => None,
                    Push::TimedOut(value) => Some(value),
                    other => unreachable!("{other:?}"),
                })
            };
            let pushers: Vec<_> = (0..producers).map(push).collect();
            drop(sink);
            let time = spawn(pass_time);
            let mut seen = block_on(collect(&mut stream));
            seen.extend(pushers.into_iter().filter_map(join));
            join(time);
            seen.sort_unstable();
            assert_eq!(seen, (0..producers).chain([9]).collect::<Vec<_>>());
            let stats = stream.stats();
            assert_eq!(stats.received + stats.refused, producers as u64 + 1);
            assert_eq!(stats.blocked_now, 0);
        });
    }
}

fn a_dropped_receive_loses_nothing() {
    for (values, capacity) in [(1, 1), (2, 1), (2, 2)] {
        check(3, move || {
            let (sink, mut stream) = open(capacity, Overflow::Block);
            let pushers = push_all(sink, 1, values);
            let mut received = Vec::new();
            // A receive that is given up, as in a race of two futures: once before, once between.
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                let mut receive = pin!(stream.next_batch(&mut received, 1));
                let _ = receive.as_mut().poll(&mut cx);
            }
            received.extend(block_on(collect(&mut stream)));
            pushers.into_iter().for_each(join);
            assert_complete(&received, 1, values);
        });
    }
}

fn another_thread_takes_over_the_stream() {
    check(3, || {
        let (sink, mut stream) = open(1, Overflow::Block);
        let pushers = push_all(sink, 1, 2);
        let first = spawn(move || {
            let mut received = Vec::new();
            block_on(poll_fn(|cx| {
                if let Poll::Ready(Some(value)) = stream.poll_next_unpin(cx) {
                    received.push(value);
                }
                Poll::Ready(())
            }));
            (stream, received)
        });
        let (mut stream, mut received) = join(first);
        received.extend(block_on(collect(&mut stream)));
        pushers.into_iter().for_each(join);
        assert_complete(&received, 1, 2);
    });
}

/// A waker that uses the stream it is woken for: it looks at it, and pushes once.
struct Inline(Mutex<Option<Sink<usize>>>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let sink = self.0.lock().expect("nothing panics under it").take();
        let Some(sink) = sink else { return };
        assert!(sink.stats().depth <= 2);
        assert_eq!(sink.push(2), Push::Queued);
    }
}

fn a_waker_may_use_the_stream_inline() {
    check(3, || {
        let (sink, mut stream) = open(2, Overflow::Block);
        let inline = Arc::new(Inline(Mutex::new(Some(sink.clone()))));
        let waker = Waker::from(Arc::clone(&inline));
        let pusher = spawn(move || assert_eq!(sink.push(1), Push::Queued));
        let poll = stream.poll_next_unpin(&mut Context::from_waker(&waker));
        drop(waker);
        join(pusher);
        // Woken or not, it has pushed after the first value or not at all.
        drop(inline.0.lock().expect("nothing panics under it").take());
        let mut received: Vec<_> = match poll {
            Poll::Ready(Some(value)) => vec![value],
            Poll::Ready(None) => unreachable!("a sink is left"),
            Poll::Pending => Vec::new(),
        };
        let was_woken = received.is_empty();
        received.extend(block_on(stream.by_ref().collect::<Vec<_>>()));
        assert_eq!(received, if was_woken { vec![1, 2] } else { vec![1] });
    });
}

/// Everything up to the end of the stream.
async fn collect<T>(stream: &mut CallbackStream<T>) -> Vec<T> {
    stream.collect().await
}

/// What the stream has at this moment. Nobody is told when there is more.
fn poll_now<T>(stream: &mut CallbackStream<T>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(stream).poll_next(&mut cx) {
        Poll::Ready(value) => value,
        Poll::Pending => None,
    }
}
