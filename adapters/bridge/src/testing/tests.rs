use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use futures::executor::block_on;
use futures::stream::StreamExt;

use super::{Call, FakeSdk, Outcome, Record, Step};
use crate::{CallbackStream, Overflow, Push, callback_stream};

/// An adapter that returns what its pushes said.
fn adapt(sdk: &FakeSdk<u32, Option<Push<u32>>>, capacity: usize) -> CallbackStream<u32> {
    let (sink, stream) = callback_stream("adapted")
        .capacity(capacity)
        .overflow(Overflow::Block)
        .build();
    sdk.subscribe(move |call| match call {
        Call::Message(value) => Some(sink.push(value)),
        Call::Error(error) => {
            sink.fail(error);
            None
        }
        Call::Closed => {
            sink.finish();
            None
        }
    });
    stream
}

#[test]
fn calls_are_made_by_their_threads_in_the_order_written() {
    let sdk = FakeSdk::new();
    sdk.deliver("a", 1).deliver("b", 2).fail("a", "oops");
    sdk.deliver("c", 3).close("b");
    sdk.subscribe(|call| (call, thread::current().name().map(str::to_owned)));
    assert_eq!(sdk.run(), Step::Ended);
    let record = |line, thread: &str, call| Record {
        line,
        thread: thread.to_owned(),
        outcome: Outcome::Returned((call, Some(thread.to_owned()))),
    };
    let expected = [
        record(0, "a", Call::Message(1)),
        record(1, "b", Call::Message(2)),
        record(2, "a", Call::Error("oops".to_owned())),
        record(3, "c", Call::Message(3)),
        record(4, "b", Call::Closed),
    ];
    assert_eq!(sdk.take_records(), expected);
    assert_eq!(sdk.take_records(), []);
}

#[test]
fn a_call_that_waits_for_room_is_known_to_and_others_go_on() {
    let sdk = FakeSdk::new();
    sdk.deliver("a", 1)
        .deliver("a", 2)
        .deliver("b", 3)
        .deliver("a", 4);
    let mut stream = adapt(&sdk, 1);
    assert_eq!(sdk.step(), Step::Returned);
    assert_eq!(sdk.step(), Step::Blocked);
    assert_eq!(sdk.step(), Step::Blocked);
    assert_eq!(sdk.blocked_now(), 2);
    assert_eq!(sdk.step(), Step::Busy);
    assert_eq!(stream.stats().blocked_now, 2);

    // One place: one of the two gets it, the other goes back to waiting.
    assert_eq!(block_on(stream.next()), Some(1));
    sdk.wait_until_blocked(1);
    drop(stream);
    sdk.wait_until_idle();
    assert_eq!(sdk.step(), Step::Returned);
    assert_eq!(sdk.step(), Step::Ended);
    let mut outcomes: Vec<_> = sdk
        .take_records()
        .into_iter()
        .map(|it| it.outcome)
        .collect();
    let queued = Outcome::Returned(Some(Push::Queued));
    assert_eq!(outcomes.iter().filter(|it| **it == queued).count(), 2);
    let last = Outcome::Returned(Some(Push::Closed(4)));
    assert_eq!(outcomes.pop(), Some(last));
}

#[test]
fn a_script_runs_through_while_the_consumer_is_elsewhere() {
    let sdk = FakeSdk::new();
    for value in 0..100 {
        sdk.deliver(["a", "b", "c"][value as usize % 3], value);
    }
    sdk.close("a");
    let stream = adapt(&sdk, 2);
    let consumer = thread::spawn(move || block_on(stream.collect::<Vec<_>>()));
    sdk.run_all();
    let mut values = consumer.join().unwrap();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..100));
    assert_eq!(sdk.take_records().len(), 101);
}

#[test]
fn a_callback_that_panics_is_recorded_and_its_thread_lives() {
    let sdk = FakeSdk::new();
    sdk.deliver("a", 1).deliver("a", 2);
    sdk.subscribe(|call| assert_ne!(call, Call::Message(1), "not this one"));
    assert_eq!(sdk.run(), Step::Ended);
    let records = sdk.take_records();
    let Outcome::Panicked(message) = &records[0].outcome else {
        unreachable!("{records:?}");
    };
    assert!(message.contains("not this one"), "{message}");
    assert_eq!(records[1].outcome, Outcome::Returned(()));
}

#[test]
fn a_paused_sdk_makes_no_calls() {
    let sdk = FakeSdk::<_, ()>::new();
    sdk.deliver("a", 1);
    assert_eq!(sdk.step(), Step::Ended);
    sdk.subscribe(|_| {});
    let control = sdk.control();
    control.pause();
    assert_eq!(sdk.step(), Step::Paused);
    control.resume();
    assert_eq!(sdk.step(), Step::Returned);
    drop(sdk);
    control.pause();
    control.unsubscribe();
}

#[test]
fn unsubscribing_waits_for_running_calls_and_drops_the_callback() {
    let sdk = FakeSdk::new();
    sdk.deliver("a", 1).deliver("a", 2).deliver("a", 3);
    let control = sdk.control();
    let (told, is_told) = mpsc::channel();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sink, stream) = callback_stream("adapted")
        .capacity(1)
        .overflow(Overflow::Block)
        .on_close(move |reason| {
            control.unsubscribe();
            told.send(reason).unwrap();
        })
        .build();
    let pushes = Arc::clone(&seen);
    sdk.subscribe(move |call| {
        if let Call::Message(value) = call {
            let push = sink.push(value);
            pushes.lock().unwrap().push(push);
        }
    });
    assert_eq!(sdk.run(), Step::Busy);
    drop(stream);
    assert_eq!(is_told.recv(), Ok(crate::CloseReason::StreamDropped));
    // The hook came back after the call did, and nobody has the callback any more.
    assert_eq!(*seen.lock().unwrap(), [Push::Queued, Push::Closed(2)]);
    assert_eq!(Arc::strong_count(&seen), 1);
    assert_eq!(sdk.step(), Step::Ended);
}

#[test]
fn the_same_script_gives_the_same_trace() {
    let trace = || {
        let sdk = FakeSdk::new();
        for value in 0..40 {
            sdk.deliver(["a", "b", "c", "d"][(value * value) as usize % 4], value);
        }
        sdk.close("d");
        let mut stream = adapt(&sdk, 3);
        let mut trace = Vec::new();
        loop {
            let step = sdk.step();
            trace.push(format!("{step:?}"));
            match step {
                Step::Ended => return (trace, sdk.take_records()),
                Step::Blocked => {
                    let mut batch = Vec::new();
                    block_on(stream.next_batch(&mut batch, 3));
                    trace.push(format!("{batch:?}"));
                    sdk.wait_until_idle();
                }
                _ => {}
            }
        }
    };
    let first = trace();
    assert!(first.0.iter().any(|it| it == "Blocked"));
    assert_eq!(trace(), first);
}
