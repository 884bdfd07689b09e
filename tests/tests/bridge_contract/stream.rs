//! Callback streams: every value has one fate, on every executor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::StreamExt;
use mayhem_bridge::{CallbackStream, CloseReason, Overflow, Push, Sink, callback_stream};

use crate::eventually;
use crate::executors::Run;

const PRODUCERS: usize = 4;
const VALUES: usize = 10_000;

/// A value that says who made it and as which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    producer: usize,
    index: usize,
}

fn stream_of(capacity: usize, overflow: Overflow) -> (Sink<Value>, CallbackStream<Value>) {
    callback_stream("contract")
        .capacity(capacity)
        .overflow(overflow)
        .build()
}

const fn value(index: usize) -> Value {
    Value { producer: 0, index }
}

/// Runs the consumer on the executor and the producers on threads of their own. Returns what was
/// received, in order, and what was handed back.
fn produce_and_consume(
    run: Run,
    overflow: Overflow,
    capacity: usize,
    batch_max: Option<usize>,
) -> (Vec<Value>, Vec<Value>) {
    let (sink, mut stream) = stream_of(capacity, overflow);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let sink = sink.clone();
            thread::spawn(move || {
                let push = |index| sink.push(Value { producer, index }).into_value();
                (0..VALUES).filter_map(push).collect::<Vec<_>>()
            })
        })
        .collect();
    drop(sink);

    let received = Arc::new(Mutex::new(Vec::new()));
    let out = Arc::clone(&received);
    let consumer = async move {
        let mut values = Vec::new();
        match batch_max {
            None => {
                while let Some(value) = stream.next().await {
                    values.push(value);
                }
            }
            Some(max) => while stream.next_batch(&mut values, max).await > 0 {},
        }
        let stats = stream.stats();
        assert_eq!(stats.received, values.len() as u64);
        assert_eq!(stats.queued, stats.received + stats.displaced);
        assert_eq!((stats.depth, stats.blocked_now), (0, 0));
        *out.lock().unwrap() = values;
    };
    run(vec![consumer.boxed()]);

    let returned = producers
        .into_iter()
        .flat_map(|producer| producer.join().unwrap())
        .collect();
    let received = std::mem::take(&mut *received.lock().unwrap());
    (received, returned)
}

fn assert_each_producer_in_order(received: &[Value]) {
    let mut next = [0; PRODUCERS];
    for value in received {
        assert!(value.index >= next[value.producer], "{value:?} is late");
        next[value.producer] = value.index + 1;
    }
}

pub(crate) fn every_value_arrives_once_in_the_order_of_its_producer(run: Run) {
    for (capacity, batch_max) in [(1, None), (64, None), (64, Some(17)), (1024, Some(4096))] {
        let (received, returned) = produce_and_consume(run, Overflow::Block, capacity, batch_max);
        assert_eq!(returned, []);
        assert_eq!(received.len(), PRODUCERS * VALUES);
        assert_each_producer_in_order(&received);
    }
}

pub(crate) fn every_value_is_received_or_handed_back_once_under_every_policy(run: Run) {
    let policies = [
        Overflow::Block,
        Overflow::BlockFor(Duration::from_micros(50)),
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Fail,
    ];
    for overflow in policies {
        for batch_max in [None, Some(37)] {
            let (received, returned) = produce_and_consume(run, overflow, 16, batch_max);
            assert_each_producer_in_order(&received);
            let mut seen = vec![0_u8; PRODUCERS * VALUES];
            for value in received.iter().chain(&returned) {
                seen[value.producer * VALUES + value.index] += 1;
            }
            assert!(seen.iter().all(|count| *count == 1), "{overflow:?}");
        }
    }
}

pub(crate) fn the_capacity_is_exact_however_many_sinks_there_are(run: Run) {
    for (capacity, count) in [(1, 1), (5, 1), (5, 40)] {
        let (sink, mut stream) = stream_of(capacity, Overflow::Fail);
        let sinks: Vec<_> = (0..count).map(|_| sink.clone()).collect();
        let consumer = async move {
            let push = |index: usize| sinks[index % count].push(value(index));
            for index in 0..capacity {
                assert_eq!(push(index), Push::Queued);
            }
            for index in 0..100 {
                let next = capacity + index;
                assert_eq!(push(next), Push::Full(value(next)));
                assert_eq!(stream.next().await, Some(value(index)));
                assert_eq!(push(next), Push::Queued);
            }
        };
        run(vec![consumer.boxed()]);
    }
}

pub(crate) fn a_blocked_push_goes_on_when_the_consumer_takes_one(run: Run) {
    let (sink, mut stream) = stream_of(3, Overflow::Block);
    let pushed = Arc::new(AtomicUsize::new(0));
    let producer = {
        let (sink, pushed) = (sink.clone(), Arc::clone(&pushed));
        thread::spawn(move || {
            for index in 0..20 {
                assert_eq!(sink.push(value(index)), Push::Queued);
                pushed.store(index + 1, Ordering::SeqCst);
            }
        })
    };
    let consumer = async move {
        for taken in 0..20 {
            // One place, one value, at once: the consumer does not come back before.
            let goal = (3 + taken).min(20);
            eventually("the push went on", || pushed.load(Ordering::SeqCst) == goal);
            assert_eq!(stream.next().await, Some(value(taken)));
        }
    };
    run(vec![consumer.boxed()]);
    producer.join().unwrap();
}

pub(crate) fn a_blocked_push_is_woken_by_the_close(run: Run) {
    for overtakes in [false, true] {
        let (sink, mut stream) = stream_of(2, Overflow::Block);
        (0..2).for_each(|index| assert_eq!(sink.push(value(index)), Push::Queued));
        let blocked: Vec<_> = (2..5)
            .map(|index| {
                let sink = sink.clone();
                thread::spawn(move || {
                    assert_eq!(sink.push(value(index)), Push::Closed(value(index)))
                })
            })
            .collect();
        eventually("all pushes wait", || sink.stats().blocked_now == 3);

        let closer = async move {
            if overtakes {
                sink.close_now();
            } else {
                sink.finish();
            }
            blocked.into_iter().for_each(|push| push.join().unwrap());
            let unread = if overtakes { 0 } else { 2 };
            for index in 0..unread {
                assert_eq!(stream.next().await, Some(value(index)));
            }
            assert_eq!(stream.next().await, None);
            assert_eq!(sink.stats().late, 3);
        };
        run(vec![closer.boxed()]);
    }
}

pub(crate) fn a_dropped_stream_gives_values_back(run: Run) {
    let (sink, mut stream) = stream_of(2, Overflow::Block);
    let producer = {
        let sink = sink.clone();
        thread::spawn(move || {
            (0..)
                .map(|index| sink.push(value(index)))
                .find(|push| !push.is_queued())
        })
    };
    let consumer = async move {
        for index in 0..10 {
            // Not awaited: the task must not be woken by the producer that it waits for below.
            eventually("there is one", || stream.stats().depth > 0);
            assert_eq!(stream.next().await, Some(value(index)));
        }
        eventually("the producer has filled it up and waits", || {
            let stats = stream.stats();
            (stats.queued, stats.blocked_now) == (12, 1)
        });
        drop(stream);
    };
    run(vec![consumer.boxed()]);
    assert_eq!(producer.join().unwrap(), Some(Push::Closed(value(12))));
    assert_eq!(sink.push(value(13)), Push::Closed(value(13)));
    assert_eq!(sink.stats().discarded, 2);
}

pub(crate) fn the_close_hook_runs_off_the_executor(run: Run) {
    let (told, reasons) = channel();
    let (sink, stream) = callback_stream::<Value>("hooked")
        .overflow(Overflow::Block)
        .on_close(move |reason| {
            let name = thread::current().name().map(str::to_owned);
            told.send((reason, name)).unwrap();
        })
        .build();
    let consumer = async move {
        drop(stream);
        sink.close_now();
    };
    run(vec![consumer.boxed()]);
    let expected = (CloseReason::StreamDropped, Some("hooked-close".to_owned()));
    assert_eq!(reasons.iter().collect::<Vec<_>>(), [expected]);
}
