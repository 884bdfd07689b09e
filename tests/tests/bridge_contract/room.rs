//! Room in a stream: reserved, awaited, signalled, and told to the SDK.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::stream::StreamExt;
use mayhem_bridge::{Abandoned, Overflow, Push, callback_once, callback_stream};

use crate::executors::Run;

const PRODUCERS: usize = 3;
const VALUES: usize = 2_000;

pub(crate) fn async_producers_wait_for_room_beside_their_consumer(run: Run) {
    for capacity in [1, 5, 64] {
        let (sink, stream) = callback_stream("room")
            .capacity(capacity)
            .overflow(Overflow::Fail)
            .build();
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for producer in 0..PRODUCERS {
            let sink = sink.clone();
            let produce = async move {
                for value in 0..VALUES {
                    let value = producer * VALUES + value;
                    let pushed = if value.is_multiple_of(2) {
                        sink.push_async(value).await
                    } else {
                        sink.permit_async(1).await.unwrap().send(value)
                    };
                    assert_eq!(pushed, Push::Queued);
                }
            };
            tasks.push(produce.boxed());
        }
        drop(sink);
        let out = Arc::clone(&received);
        let consume = async move {
            let values: Vec<_> = stream.collect().await;
            *out.lock().unwrap() = values;
        };
        tasks.push(consume.boxed());
        run(tasks);

        let received = std::mem::take(&mut *received.lock().unwrap());
        assert_eq!(received.len(), PRODUCERS * VALUES);
        for producer in 0..PRODUCERS {
            let of_one = received.iter().filter(|value| **value / VALUES == producer);
            assert!(
                of_one
                    .copied()
                    .eq(producer * VALUES..(producer + 1) * VALUES)
            );
        }
    }
}

pub(crate) fn a_thread_that_must_not_wait_is_told_of_room(run: Run) {
    let (sink, stream) = callback_stream("room")
        .capacity(8)
        .overflow(Overflow::Fail)
        .build();
    let producer = thread::spawn(move || {
        for value in 0..VALUES {
            while let Push::Full(_) = sink.push(value) {
                let thread = thread::current();
                let ready = Arc::new(AtomicUsize::new(0));
                let is_ready = Arc::clone(&ready);
                sink.when_ready(move || {
                    is_ready.store(1, Ordering::SeqCst);
                    thread.unpark();
                });
                while ready.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
            }
        }
    });
    let consume = async move {
        let values: Vec<_> = stream.collect().await;
        assert!(values.into_iter().eq(0..VALUES));
    };
    run(vec![consume.boxed()]);
    producer.join().unwrap();
}

pub(crate) fn the_sdk_is_paused_and_resumed_in_turns(run: Run) {
    let turns = Arc::new(AtomicUsize::new(0));
    let (on_pause, on_resume) = (Arc::clone(&turns), Arc::clone(&turns));
    let (sink, stream) = callback_stream("room")
        .capacity(16)
        .overflow(Overflow::Block)
        .watermarks(
            4,
            12,
            move || assert_eq!(on_pause.fetch_add(1, Ordering::SeqCst) % 2, 0),
            move || assert_eq!(on_resume.fetch_add(1, Ordering::SeqCst) % 2, 1),
        )
        .build();
    let last = sink.clone();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let sink = sink.clone();
            thread::spawn(move || {
                for value in 0..VALUES {
                    assert_eq!(sink.push(value), Push::Queued);
                }
            })
        })
        .collect();
    drop(sink);
    let consume = async move {
        assert_eq!(
            stream.take(PRODUCERS * VALUES).count().await,
            PRODUCERS * VALUES
        );
    };
    run(vec![consume.boxed()]);
    producers.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(last.stats().panics, 0);
}

pub(crate) fn a_callback_is_awaited_once_and_never_in_vain(run: Run) {
    let (reply, answer) = callback_once();
    let (forgotten, silence) = callback_once::<u32>();
    let (done, is_done) = oneshot::channel();
    let sdk = thread::spawn(move || {
        assert_eq!(reply.send(7), Ok(()));
        assert_eq!(reply.send(8), Err(8));
        drop(forgotten);
    });
    let wait = async move {
        assert_eq!(answer.await, Ok(7));
        assert_eq!(silence.await, Err(Abandoned));
        done.send(()).unwrap();
    };
    let other = async move { is_done.await.unwrap() };
    run(vec![wait.boxed(), other.boxed()]);
    sdk.join().unwrap();
}
