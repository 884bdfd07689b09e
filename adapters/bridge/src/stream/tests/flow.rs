//! Watermarks: the SDK is told to pause and to resume, in turns.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::executor::block_on;
use futures::stream::StreamExt;

use super::assert_balanced;
use crate::testing::{Call, FakeSdk, Step};
use crate::{CallbackStream, Overflow, Push, Sink, callback_stream};

type Calls = Arc<Mutex<Vec<&'static str>>>;

fn with_marks(
    capacity: usize,
    overflow: Overflow,
    low: usize,
    high: usize,
) -> (Sink<u32>, CallbackStream<u32>, Calls) {
    let calls = Calls::default();
    let (on_pause, on_resume) = (Arc::clone(&calls), Arc::clone(&calls));
    let (sink, stream) = callback_stream("test")
        .capacity(capacity)
        .overflow(overflow)
        .watermarks(
            low,
            high,
            move || on_pause.lock().unwrap().push("pause"),
            move || on_resume.lock().unwrap().push("resume"),
        )
        .build();
    (sink, stream, calls)
}

fn taken(calls: &Calls) -> Vec<&'static str> {
    std::mem::take(&mut calls.lock().unwrap())
}

#[test]
fn the_marks_are_told_when_they_are_crossed_and_only_then() {
    for overflow in [Overflow::Fail, Overflow::DropOldest] {
        let (sink, mut stream, calls) = with_marks(8, overflow, 2, 6);
        for round in 0..3 {
            (0..5).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
            assert_eq!(taken(&calls), [""; 0], "{round}");
            assert_eq!(sink.push(5), Push::Queued);
            assert_eq!(taken(&calls), ["pause"]);
            assert!(sink.stats().is_paused);
            (6..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
            for value in 0..5 {
                assert_eq!(block_on(stream.next()), Some(value));
                assert_eq!(taken(&calls), [""; 0]);
            }
            assert_eq!(block_on(stream.next()), Some(5));
            assert_eq!(taken(&calls), ["resume"]);
            assert!(!sink.stats().is_paused);
            let mut batch = Vec::new();
            assert_eq!(block_on(stream.next_batch(&mut batch, 8)), 2);
            assert_eq!(taken(&calls), [""; 0]);
        }
        assert_balanced(&sink);
    }
}

#[test]
fn a_batch_may_cross_both_marks_at_once() {
    let (sink, mut stream, calls) = with_marks(8, Overflow::Fail, 0, 8);
    let mut batch = Vec::new();
    for _ in 0..3 {
        (0..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
        assert_eq!(taken(&calls), ["pause"]);
        assert_eq!(block_on(stream.next_batch(&mut batch, 8)), 8);
        assert_eq!(taken(&calls), ["resume"]);
    }
}

#[test]
fn permits_count_as_held() {
    let (sink, mut stream, calls) = with_marks(4, Overflow::Fail, 1, 3);
    let permits: Vec<_> = (0..3).map(|_| sink.permit(1).unwrap()).collect();
    assert_eq!(taken(&calls), ["pause"]);
    let mut permits = permits.into_iter();
    assert_eq!(permits.next().unwrap().send(1), Push::Queued);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(taken(&calls), [""; 0]);
    drop(permits.next());
    assert_eq!(taken(&calls), ["resume"]);
}

#[test]
fn a_permit_given_back_is_minded_by_a_consumer_with_a_full_hand() {
    let (sink, mut stream, calls) = with_marks(16, Overflow::Fail, 2, 12);
    let permits: Vec<_> = (0..8).map(|_| sink.permit(1).unwrap()).collect();
    (0..8).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(taken(&calls), ["pause"]);
    assert_eq!(block_on(stream.next()), Some(0));
    drop(permits);
    for value in 1..5 {
        assert_eq!(block_on(stream.next()), Some(value));
    }
    assert_eq!(taken(&calls), [""; 0]);
    assert_eq!(block_on(stream.next()), Some(5));
    assert_eq!(taken(&calls), ["resume"]);
}

#[test]
fn a_blocked_push_and_a_paused_sdk_are_each_told_in_time() {
    let (sink, mut stream, calls) = with_marks(16, Overflow::Block, 1, 12);
    (0..16).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(block_on(stream.next()), Some(0));
    assert_eq!(sink.push(16), Push::Queued);
    let sdk = FakeSdk::new();
    sdk.deliver("sdk", 17);
    let pusher = sink.clone();
    sdk.subscribe(move |call| {
        if let Call::Message(value) = call {
            assert_eq!(pusher.push(value), Push::Queued);
        }
    });
    assert_eq!(sdk.step(), Step::Blocked);
    // A quarter of the capacity is free long before the low mark.
    for value in 1..5 {
        sdk.wait_until_blocked(1);
        assert_eq!(block_on(stream.next()), Some(value));
    }
    sdk.wait_until_idle();
    assert_eq!(taken(&calls), ["pause"]);
    for value in 5..17 {
        assert_eq!(block_on(stream.next()), Some(value));
    }
    assert_eq!(taken(&calls), ["resume"]);
}

#[test]
fn the_sdk_is_told_nothing_after_the_close() {
    let (sink, mut stream, calls) = with_marks(4, Overflow::Fail, 1, 3);
    (0..4).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    assert_eq!(taken(&calls), ["pause"]);
    sink.finish();
    assert_eq!(block_on(stream.by_ref().collect::<Vec<_>>()), [0, 1, 2, 3]);
    assert_eq!(taken(&calls), [""; 0]);
}

#[test]
fn pause_and_resume_alternate_and_never_overlap_whoever_crosses() {
    const EACH: u32 = 5_000;
    let (turns, is_inside) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let hook = |parity: usize| {
        let (turns, is_inside) = (Arc::clone(&turns), Arc::clone(&is_inside));
        move || {
            assert!(!is_inside.swap(true, Ordering::SeqCst), "two at a time");
            assert_eq!(
                turns.fetch_add(1, Ordering::SeqCst) % 2,
                parity,
                "not in turns"
            );
            thread::yield_now();
            is_inside.store(false, Ordering::SeqCst);
        }
    };
    let (sink, mut stream) = callback_stream("test")
        .capacity(8)
        .overflow(Overflow::Block)
        .watermarks(2, 5, hook(0), hook(1))
        .build();
    let producers: Vec<_> = (0..3)
        .map(|_| {
            let sink = sink.clone();
            thread::spawn(move || (0..EACH).for_each(|it| assert_eq!(sink.push(it), Push::Queued)))
        })
        .collect();
    for _ in 0..3 * EACH {
        assert!(block_on(stream.next()).is_some());
    }
    producers.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(sink.stats().panics, 0);
    // Each pause was followed by its resume: nothing is held any more.
    let turns = turns.load(Ordering::SeqCst);
    assert!(turns > 0 && turns.is_multiple_of(2), "{turns}");
    assert!(!sink.stats().is_paused);
}

#[test]
fn the_sdks_own_flow_control_is_driven_by_the_marks() {
    let sdk = FakeSdk::new();
    for value in 0..7 {
        sdk.deliver("reader", value);
    }
    let (on_pause, on_resume) = (sdk.control(), sdk.control());
    let (sink, mut stream) = callback_stream("test")
        .capacity(4)
        .overflow(Overflow::Fail)
        .watermarks(0, 3, move || on_pause.pause(), move || on_resume.resume())
        .build();
    sdk.subscribe(move |call| {
        if let Call::Message(value) = call {
            assert_eq!(sink.push(value), Push::Queued);
        }
    });
    assert_eq!(sdk.run(), Step::Paused);
    let mut batch = Vec::new();
    assert_eq!(block_on(stream.next_batch(&mut batch, 8)), 3);
    assert_eq!(sdk.run(), Step::Paused);
    assert_eq!(block_on(stream.next_batch(&mut batch, 8)), 3);
    assert_eq!(sdk.step(), Step::Returned);
    assert_eq!(sdk.step(), Step::Ended);
    assert_eq!(block_on(stream.next_batch(&mut batch, 8)), 1);
    assert_eq!(batch, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_hook_that_panics_is_counted_and_the_turns_go_on() {
    let resumed = Arc::new(AtomicUsize::new(0));
    let on_resume = Arc::clone(&resumed);
    let (sink, mut stream) = callback_stream("test")
        .capacity(2)
        .overflow(Overflow::Fail)
        .watermarks(
            0,
            1,
            || panic!("this hook panics"),
            move || {
                on_resume.fetch_add(1, Ordering::SeqCst);
            },
        )
        .build();
    assert_eq!(sink.push(1), Push::Queued);
    assert_eq!(block_on(stream.next()), Some(1));
    assert_eq!(
        (resumed.load(Ordering::SeqCst), sink.stats().panics),
        (1, 1)
    );
}
