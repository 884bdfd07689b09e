//! The end of a stream: everybody hears of it, and every value has one owner.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use loom::sync::{Condvar, Mutex};
use mayhem_bridge::{
    BlockingPool, CallbackStream, CloseReason, Overflow, Push, Sink, callback_stream,
};

use crate::catalog::{Model, models};
use crate::world::{Counted, Tally, block_on, check, join, spawn};

pub(crate) const MODELS: &[Model] = models![
    a_finish_lets_what_was_pushed_be_read,
    an_overtaking_close_drops_each_value_once,
    waiting_producers_hear_of_the_end,
    a_waiting_consumer_hears_of_the_end,
    the_last_sink_ends_the_stream,
    the_close_hook_runs_once,
    the_close_hook_runs_though_its_pool_ends,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Finish,
    CloseNow,
    DropStream,
}

fn open(capacity: usize) -> (Sink<Counted>, CallbackStream<Counted>) {
    callback_stream("model")
        .capacity(capacity)
        .overflow(Overflow::Block)
        .build()
}

fn end(how: End, sink: &Sink<Counted>, stream: &mut Option<CallbackStream<Counted>>) {
    match how {
        End::Finish => sink.finish(),
        End::CloseNow => sink.close_now(),
        End::DropStream => drop(stream.take()),
    }
}

fn a_finish_lets_what_was_pushed_be_read() {
    for (producers, capacity) in [(1, 1), (2, 1), (2, 2)] {
        check(2, move || {
            let tally = Tally::default();
            let (sink, mut stream) = open(capacity);
            let push = |id| {
                let (sink, value) = (sink.clone(), tally.value(id));
                spawn(move || match sink.push(value) {
                    Push::Queued => None,
                    Push::Closed(value) => Some(value),
                    other => unreachable!("{other:?}"),
                })
            };
            let pushers: Vec<_> = (0..producers).map(push).collect();
            let finisher = spawn({
                let sink = sink.clone();
                move || sink.finish()
            });
            let received = block_on(stream.by_ref().collect::<Vec<_>>());
            join(finisher);
            let returned: Vec<_> = pushers.into_iter().filter_map(join).collect();
            assert_eq!(tally.count(), 0, "a value was dropped");
            assert_eq!(received.len() + returned.len(), producers);
            let stats = sink.stats();
            assert_eq!(
                (stats.received, stats.late),
                (received.len() as u64, returned.len() as u64)
            );
        });
    }
}

fn an_overtaking_close_drops_each_value_once() {
    for (pushed, read) in [(2, 1), (2, 2), (3, 1), (3, 2), (3, 3)] {
        check(3, move || {
            let tally = Tally::default();
            let (sink, mut stream) = open(3);
            for id in 0..pushed {
                assert!(sink.push(tally.value(id)).is_queued());
            }
            let closer = spawn({
                let sink = sink.clone();
                move || sink.close_now()
            });
            let mut received = Vec::new();
            block_on(async {
                while let Some(value) = stream.next().await {
                    received.push(value);
                    if received.len() == read {
                        break;
                    }
                }
            });
            join(closer);
            assert!(
                block_on(stream.next()).is_none(),
                "handed out after the close"
            );
            let is_in_order = received
                .iter()
                .enumerate()
                .all(|(index, it)| it.id == index);
            assert!(is_in_order, "{received:?}");
            assert_eq!(received.len() + tally.count(), pushed);
            let stats = sink.stats();
            assert_eq!(stats.discarded, tally.count() as u64);
            assert_eq!(
                (stats.queued, stats.depth),
                (stats.received + stats.discarded, 0)
            );
        });
    }
}

fn waiting_producers_hear_of_the_end() {
    for how in [End::Finish, End::CloseNow, End::DropStream] {
        check(2, move || {
            let tally = Tally::default();
            let (sink, stream) = open(1);
            let mut stream = Some(stream);
            assert!(sink.push(tally.value(9)).is_queued());
            let push = |id| {
                let (sink, value) = (sink.clone(), tally.value(id));
                spawn(move || match sink.push(value) {
                    Push::Closed(value) => value.id,
                    other => unreachable!("{other:?}"),
                })
            };
            let pushers = [push(0), push(1)];
            end(how, &sink, &mut stream);
            assert_eq!(pushers.map(join), [0, 1]);
            drop(stream);
            assert_eq!(tally.count(), 3);
            assert_eq!((sink.stats().late, sink.stats().blocked_now), (2, 0));
        });
    }
}

fn a_waiting_consumer_hears_of_the_end() {
    for how in [End::Finish, End::CloseNow] {
        check(3, move || {
            let (sink, mut stream) = open(1);
            let closer = spawn({
                let sink = sink.clone();
                move || end(how, &sink, &mut None)
            });
            assert!(block_on(stream.next()).is_none());
            join(closer);
            drop(sink);
        });
    }
}

fn the_last_sink_ends_the_stream() {
    check(3, || {
        let tally = Tally::default();
        let (sink, mut stream) = open(2);
        let leave = |sink: Sink<Counted>| {
            let value = tally.value(0);
            spawn(move || assert!(sink.push(value).is_queued()))
        };
        let leavers = [leave(sink.clone()), leave(sink)];
        let received = block_on(stream.by_ref().collect::<Vec<_>>());
        leavers.into_iter().for_each(join);
        assert_eq!(received.len(), 2);
    });
}

/// Where a hook says that it has run, and why.
#[derive(Default)]
struct Said {
    reasons: Mutex<Vec<CloseReason>>,
    told: Condvar,
}

impl Said {
    fn say(&self, reason: CloseReason) {
        self.reasons.lock().expect("no poison").push(reason);
        self.told.notify_all();
    }

    fn wait(&self) -> CloseReason {
        let mut reasons = self.reasons.lock().expect("no poison");
        while reasons.is_empty() {
            reasons = self.told.wait(reasons).expect("no poison");
        }
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons[0].clone()
    }
}

fn the_close_hook_runs_once() {
    let pairs = [
        (End::Finish, End::CloseNow),
        (End::CloseNow, End::DropStream),
        (End::Finish, End::DropStream),
    ];
    for (first, second) in pairs {
        check(2, move || {
            let said = Arc::new(Said::default());
            let (sink, stream) = callback_stream::<Counted>("model")
                .overflow(Overflow::Fail)
                .on_close({
                    let said = Arc::clone(&said);
                    move |reason| said.say(reason)
                })
                .build();
            let mut stream = Some(stream);
            let closer = spawn({
                let sink = sink.clone();
                move || end(first, &sink, &mut None)
            });
            end(second, &sink, &mut stream);
            join(closer);
            drop((sink, stream));
            let reason = said.wait();
            let expected = [first, second].map(|how| match how {
                End::Finish => CloseReason::Finished,
                End::CloseNow => CloseReason::ClosedNow,
                End::DropStream => CloseReason::StreamDropped,
            });
            assert!(expected.contains(&reason), "{reason:?}");
        });
    }
}

fn the_close_hook_runs_though_its_pool_ends() {
    check(2, || {
        let said = Arc::new(Said::default());
        let pool = BlockingPool::builder().name("hooks").threads(1).build();
        let (sink, stream) = callback_stream::<Counted>("model")
            .overflow(Overflow::Fail)
            .on_close_in(&pool, {
                let said = Arc::clone(&said);
                move |reason| said.say(reason)
            })
            .build();
        let closer = spawn(move || sink.finish());
        let report = pool.shutdown(Duration::from_secs(1));
        assert!(report.is_clean(), "{report:?}");
        join(closer);
        assert_eq!(said.wait(), CloseReason::Finished);
        drop(stream);
    });
}
