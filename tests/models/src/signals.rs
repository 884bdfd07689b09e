//! What a stream's producers can have besides a push: reserved room, signals, watermarks, replies.

use std::pin::pin;
use std::task::{Context, Waker};

use futures::{FutureExt, StreamExt};
use mayhem_bridge::{Overflow, Push, callback_once, callback_stream};

use crate::catalog::{Model, models};
use crate::world::{Tally, Turns, block_on, check, join, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_permit_gives_its_room_back,
    a_waiting_task_gets_the_room,
    a_ready_signal_comes_once,
    the_end_of_a_permit_has_the_consumer_look,
    pause_and_resume_take_turns,
    a_pause_sees_what_was_just_taken,
    a_reply_or_its_absence_is_heard,
    a_reply_to_nobody_comes_back,
];

fn a_permit_gives_its_room_back() {
    for is_used in [false, true] {
        check(2, move || {
            let (sink, mut stream) = callback_stream("model")
                .capacity(1)
                .overflow(Overflow::Block)
                .build();
            let permit = sink.permit(1).unwrap();
            let pusher = spawn(move || assert_eq!(sink.push(1), Push::Queued));
            let holder = spawn(move || match is_used {
                true => assert_eq!(permit.send(0), Push::Queued),
                false => drop(permit),
            });
            let received: Vec<_> = block_on(stream.by_ref().collect());
            join(pusher);
            join(holder);
            assert_eq!(received, if is_used { vec![0, 1] } else { vec![1] });
            assert_eq!(
                (stream.stats().reserved, stream.stats().blocked_now),
                (0, 0)
            );
        });
    }
}

fn a_waiting_task_gets_the_room() {
    for is_first_dropped in [false, true] {
        check(2, move || {
            let (sink, mut stream) = callback_stream("model")
                .capacity(1)
                .overflow(Overflow::Block)
                .build();
            assert_eq!(sink.push(0), Push::Queued);
            let pushers = [1, 2].map(|value| {
                let sink = sink.clone();
                spawn(move || {
                    if is_first_dropped && value == 1 {
                        // Asks once and goes away, with the value.
                        let mut push = pin!(sink.push_async(value));
                        let mut cx = Context::from_waker(Waker::noop());
                        return usize::from(push.as_mut().poll_unpin(&mut cx).is_ready());
                    }
                    assert_eq!(block_on(sink.push_async(value)), Push::Queued);
                    1
                })
            });
            drop(sink);
            let received: Vec<_> = block_on(stream.by_ref().collect());
            let pushed: usize = pushers.map(join).iter().sum();
            assert_eq!(received.len(), 1 + pushed);
            assert!(received.contains(&2));
        });
    }
}

fn a_ready_signal_comes_once() {
    check(3, || {
        let tally = Tally::default();
        let (sink, mut stream) = callback_stream("model")
            .capacity(1)
            .overflow(Overflow::Fail)
            .build();
        assert_eq!(sink.push(0), Push::Queued);
        let (asker, told) = (sink.clone(), tally.clone());
        let asking = spawn(move || {
            asker.when_ready(move || told.add());
            asker
        });
        assert_eq!(block_on(stream.next()), Some(0));
        // Kept, for the signal of a sink that is gone is forgotten.
        let asker = join(asking);
        assert_eq!(tally.count(), 1, "there is room");
        sink.finish();
        drop((asker, stream));
        assert_eq!(tally.count(), 1);
    });
}

fn pause_and_resume_take_turns() {
    check(2, || {
        let turns = Turns::default();
        let (sink, mut stream) = callback_stream("model")
            .capacity(3)
            .overflow(Overflow::Block)
            .watermarks(0, 1, turns.tell("pause"), turns.tell("resume"))
            .build();
        let pushers = [1, 2].map(|value| {
            let sink = sink.clone();
            spawn(move || assert_eq!(sink.push(value), Push::Queued))
        });
        assert!(block_on(stream.next()).is_some());
        assert!(block_on(stream.next()).is_some());
        pushers.into_iter().for_each(join);
        assert_eq!(turns.check() % 2, 0, "empty, and still told to pause");
        drop(sink);
    });
}

fn the_end_of_a_permit_has_the_consumer_look() {
    check(3, || {
        // So many that a quarter of it is more than one push and one permit.
        const CAPACITY: usize = 9;
        let (sink, mut stream) = callback_stream("model")
            .capacity(CAPACITY)
            .overflow(Overflow::Block)
            .build();
        let permit = sink.permit(1).unwrap();
        for value in 1..CAPACITY {
            assert_eq!(sink.push(value), Push::Queued);
        }
        let pusher = spawn(move || assert_eq!(sink.push(CAPACITY), Push::Queued));
        let holder = spawn(move || drop(permit));
        // Two of nine places, and the permit's: that is a quarter, and is to be told.
        for value in [1, 2] {
            assert_eq!(block_on(stream.next()), Some(value));
        }
        join(holder);
        join(pusher);
        assert_eq!(stream.stats().depth, CAPACITY - 2);
    });
}

fn a_pause_sees_what_was_just_taken() {
    check(3, || {
        let calls = Tally::default();
        let (paused, resumed) = (calls.clone(), calls.clone());
        let (sink, mut stream) = callback_stream("model")
            .capacity(3)
            .overflow(Overflow::Block)
            .watermarks(1, 2, move || paused.add(), move || resumed.add())
            .build();
        for value in [1, 2] {
            assert_eq!(sink.push(value), Push::Queued);
        }
        assert_eq!(block_on(stream.next()), Some(1));
        assert_eq!(calls.count(), 2, "paused at two, resumed at one");
        let pusher = spawn(move || {
            assert_eq!(sink.push(3), Push::Queued);
            // Kept, for a stream that has ended tells no more.
            sink
        });
        // Without the lock: from the hand, while the push may be raising the flag.
        assert_eq!(block_on(stream.next()), Some(2));
        let sink = join(pusher);
        let stats = sink.stats();
        assert_eq!((stats.depth, stats.is_paused), (1, false));
        assert_eq!(calls.count() % 2, 0, "told to pause, and not to resume");
    });
}

fn a_reply_or_its_absence_is_heard() {
    for is_sent in [true, false] {
        check(3, move || {
            let (reply, future) = callback_once();
            let replier = spawn(move || match is_sent {
                true => assert_eq!(reply.send(7), Ok(())),
                false => drop(reply),
            });
            assert_eq!(block_on(future).ok(), is_sent.then_some(7));
            join(replier);
        });
    }
}

fn a_reply_to_nobody_comes_back() {
    check(3, || {
        let tally = Tally::default();
        let (reply, future) = callback_once();
        let value = tally.value(7);
        let replier = spawn(move || reply.send(value).is_err());
        drop(future);
        let came_back = join(replier);
        // Dropped once either way: by the future, or by who got it back.
        assert_eq!(tally.count(), 1, "{came_back}");
    });
}
