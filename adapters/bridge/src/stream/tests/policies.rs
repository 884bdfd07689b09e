//! Policies beyond the plain ones, weights, deadlines per push, and who gets late values.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use futures::stream::StreamExt;

use super::{assert_balanced, stream_of};
use crate::testing::{Call, FakeSdk, Outcome, Step};
use crate::{CallbackStream, CloseReason, Overflow, Push, Sink, callback_stream};

type Price = (&'static str, u32);

fn prices(capacity: usize) -> (Sink<Price>, CallbackStream<Price>) {
    callback_stream("prices")
        .capacity(capacity)
        .keep_latest_by(|(symbol, _): &Price| *symbol)
        .build()
}

fn texts(
    capacity: usize,
    overflow: Overflow,
) -> (Sink<&'static str>, CallbackStream<&'static str>) {
    callback_stream("texts")
        .capacity(capacity)
        .weigh(|text: &&str| text.len())
        .overflow(overflow)
        .build()
}

#[test]
fn the_latest_of_a_key_takes_the_place_in_line_of_the_one_before() {
    let (sink, mut stream) = prices(8);
    assert_eq!(sink.push(("oil", 1)), Push::Queued);
    assert_eq!(sink.push(("tin", 2)), Push::Queued);
    assert_eq!(sink.push(("oil", 3)), Push::Displaced(("oil", 1)));
    assert_eq!(block_on(stream.next()), Some(("oil", 3)));

    // What was handed out is no longer there to be displaced.
    assert_eq!(sink.push(("oil", 4)), Push::Queued);
    assert_eq!(sink.push(("tin", 5)), Push::Displaced(("tin", 2)));
    let mut batch = Vec::new();
    assert_eq!(block_on(stream.next_batch(&mut batch, 9)), 2);
    assert_eq!(batch, [("tin", 5), ("oil", 4)]);
    assert_balanced(&sink);
}

#[test]
fn a_new_key_displaces_the_oldest_value_of_a_full_stream() {
    let (sink, stream) = prices(2);
    assert_eq!(sink.push(("oil", 1)), Push::Queued);
    assert_eq!(sink.push(("tin", 2)), Push::Queued);
    assert_eq!(sink.push(("zinc", 3)), Push::Displaced(("oil", 1)));
    assert_eq!(sink.push(("oil", 4)), Push::Displaced(("tin", 2)));
    assert_eq!(sink.push(("zinc", 5)), Push::Displaced(("zinc", 3)));
    assert_eq!(sink.try_push(("tin", 6)), Push::Full(("tin", 6)));
    assert_eq!(sink.try_push(("oil", 7)), Push::Displaced(("oil", 4)));
    sink.finish();
    assert_eq!(
        block_on(stream.collect::<Vec<_>>()),
        [("zinc", 5), ("oil", 7)]
    );
    assert_balanced(&sink);
}

#[test]
fn a_key_that_was_queued_while_its_push_waited_is_kept_once() {
    let (sink, mut stream) = prices(2);
    assert_eq!(sink.push(("oil", 1)), Push::Queued);
    assert_eq!(sink.push(("zinc", 2)), Push::Queued);
    let sdk = FakeSdk::new();
    sdk.deliver("sdk", ("tin", 4));
    let handle = sink.clone();
    sdk.subscribe(move |call| match call {
        Call::Message(price) => handle.push_timeout(price, Duration::MAX).into_value(),
        _ => None,
    });
    assert_eq!(sdk.step(), Step::Blocked);
    assert_eq!(sink.push(("tin", 3)), Push::Displaced(("oil", 1)));
    assert_eq!(block_on(stream.next()), Some(("zinc", 2)));
    sdk.wait_until_idle();
    let outcome = sdk.take_records().pop().map(|record| record.outcome);
    assert_eq!(outcome, Some(Outcome::Returned(Some(("tin", 3)))));
    assert_eq!(block_on(stream.next()), Some(("tin", 4)));
    assert_balanced(&sink);
}

#[test]
fn a_stream_that_weighs_holds_its_capacity_in_weight() {
    let (sink, mut stream) = texts(10, Overflow::Fail);
    assert_eq!(sink.push("four"), Push::Queued);
    assert_eq!(sink.push("five."), Push::Queued);
    assert_eq!(sink.push("2."), Push::Full("2."));
    // Nothing weighs less than 1.
    assert_eq!(sink.push(""), Push::Queued);
    assert_eq!(sink.push(""), Push::Full(""));
    assert_eq!((sink.stats().depth, sink.stats().weight), (3, 10));

    assert_eq!(block_on(stream.next()), Some("four"));
    assert_eq!(sink.push("five."), Push::Full("five."));
    assert_eq!(sink.push("four"), Push::Queued);
    assert_balanced(&sink);
}

#[test]
fn a_value_heavier_than_everything_is_taken_alone() {
    let (sink, mut stream) = texts(4, Overflow::Fail);
    assert_eq!(sink.push("x"), Push::Queued);
    assert_eq!(sink.push("seven.."), Push::Full("seven.."));
    assert_eq!(block_on(stream.next()), Some("x"));
    assert_eq!(sink.push("seven.."), Push::Queued);
    assert_eq!(sink.push("x"), Push::Full("x"));
    assert_eq!(sink.stats().weight, 4);
    assert_eq!(block_on(stream.next()), Some("seven.."));
    assert_eq!(sink.stats().weight, 0);
}

#[test]
fn a_heavy_value_displaces_as_many_as_it_needs() {
    let (sink, stream) = texts(4, Overflow::DropOldest);
    for text in ["a", "b", "c", "d"] {
        assert_eq!(sink.push(text), Push::Queued);
    }
    assert_eq!(sink.push("e"), Push::Displaced("a"));
    assert_eq!(sink.push("ff"), Push::DisplacedMany(vec!["b", "c"]));
    assert_eq!(sink.stats().displaced, 3);
    drop(sink);
    assert_eq!(block_on(stream.collect::<Vec<_>>()), ["d", "e", "ff"]);
}

#[test]
fn a_heavy_push_waits_until_all_of_it_fits() {
    let (sink, mut stream) = texts(8, Overflow::Block);
    let sdk = FakeSdk::new();
    for text in ["aaa", "bbb", "cc", "dddddd"] {
        sdk.deliver("sdk", text);
    }
    let handle = sink.clone();
    sdk.subscribe(move |call| match call {
        Call::Message(text) => handle.push(text).is_queued(),
        _ => false,
    });
    assert_eq!(sdk.run(), Step::Ended);
    assert_eq!(sdk.blocked_now(), 1);
    // Six are needed, so one of three is not enough; and it is still there to be counted.
    assert_eq!(block_on(stream.next()), Some("aaa"));
    sdk.wait_until_blocked(1);
    assert_eq!(sink.stats().blocked_now, 1);
    assert_eq!(block_on(stream.next()), Some("bbb"));
    sdk.wait_until_idle();
    assert_eq!(sink.stats().weight, 8);
    let returned = sdk.take_records().into_iter().map(|record| record.outcome);
    assert!(returned.eq([const { Outcome::Returned(true) }; 4]));
}

#[test]
fn a_weigher_that_panics_harms_only_its_push() {
    let (sink, mut stream) = callback_stream("test")
        .weigh(|value: &u32| if *value == 13 { panic!("unlucky") } else { 1 })
        .overflow(Overflow::Block)
        .build();
    assert!(sink.guard(|| drop(sink.push(13))).is_err());
    assert_eq!(sink.push(14), Push::Queued);
    let permit = sink.permit(1).unwrap();
    assert!(sink.guard(|| drop(permit.send(13))).is_err());
    assert_eq!(sink.stats().reserved, 0);
    assert_eq!(block_on(stream.next()), Some(14));
}

#[test]
fn a_push_may_bring_its_own_deadline_whatever_the_policy() {
    for overflow in [Overflow::Fail, Overflow::Block, Overflow::DropOldest] {
        let (sink, mut stream) = stream_of(1, overflow);
        assert_eq!(sink.push_timeout(1, Duration::ZERO), Push::Queued);
        let patience = Duration::from_millis(2);
        assert_eq!(sink.push_timeout(2, patience), Push::TimedOut(2));
        assert_eq!(sink.stats().refused, 1);
        assert_eq!(block_on(stream.next()), Some(1));
        assert_eq!(sink.push_timeout(3, Duration::MAX), Push::Queued);
    }
}

#[test]
fn late_values_go_to_their_hook_and_its_panics_no_further() {
    let late = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&late);
    let (sink, stream) = callback_stream("test")
        .overflow(Overflow::Block)
        .on_late(move |value: u32| {
            assert_ne!(value, 13, "unlucky");
            hook.lock().unwrap().push(value);
        })
        .build();
    let permit = sink.permit(1).unwrap();
    drop(stream);
    assert_eq!(sink.push(1), Push::Late);
    assert_eq!(sink.push(13), Push::Late);
    assert_eq!(permit.send(2), Push::Late);
    assert_eq!(block_on(sink.push_async(3)), Push::Late);
    assert_eq!(*late.lock().unwrap(), [1, 2, 3]);
    assert_eq!((sink.stats().late, sink.stats().panics), (4, 1));
}

#[test]
fn an_error_is_seen_after_the_values_before_it() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    assert_eq!(stream.close_reason(), None);
    (0..3).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    sink.fail(std::io::Error::other("link lost"));
    sink.finish();
    sink.fail("too late");
    assert_eq!(sink.push(9), Push::Closed(9));

    assert_eq!(block_on(stream.by_ref().collect::<Vec<_>>()), [0, 1, 2]);
    let Some(CloseReason::Failed(cause)) = stream.close_reason() else {
        unreachable!("it has failed");
    };
    assert!(cause.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(cause.to_string(), "link lost");
    assert_eq!(sink.close_reason(), Some(CloseReason::Failed(cause)));
}

#[test]
fn an_error_overtakes_if_told_to() {
    let (sink, mut stream) = stream_of(8, Overflow::Block);
    (0..3).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    sink.fail("link lost");
    sink.close_now();
    assert_eq!(block_on(stream.next()), None);
    assert!(matches!(
        stream.close_reason(),
        Some(CloseReason::Failed(_))
    ));
    assert_eq!(sink.stats().discarded, 3);
}

#[test]
fn chunks_come_out_as_they_lie_ready() {
    let (sink, stream) = stream_of(8, Overflow::Block);
    (0..5).for_each(|value| assert_eq!(sink.push(value), Push::Queued));
    drop(sink);
    let chunks: Vec<_> = block_on(stream.ready_chunks(3).collect());
    assert_eq!(chunks, [vec![0, 1, 2], vec![3, 4]]);
}

#[test]
fn a_batch_of_everything_is_handed_over_without_moving_it() {
    let (sink, mut stream) = callback_stream("test")
        .capacity(4)
        .overflow(Overflow::Block)
        .build();
    let mut batch = Vec::with_capacity(4);
    for round in 0..10 {
        // Begins anywhere in its buffer: one is taken alone.
        (0..4).for_each(|value| assert_eq!(sink.push(round * 4 + value), Push::Queued));
        assert_eq!(block_on(stream.next()), Some(round * 4));
        batch.clear();
        assert_eq!(block_on(stream.next_batch(&mut batch, 4)), 3);
        assert!(batch.iter().copied().eq(round * 4 + 1..round * 4 + 4));
    }
    assert_balanced(&sink);
}
