//! Every way to push, every way to receive, and every way to end a stream, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mayhem_bridge::{CallbackStream, Overflow, Push, Sink, callback_stream};

use super::pick;
use crate::world::{Counted, Tally, Turns, block_on, explore, join, pass_time, spawn};

const PRODUCERS: usize = 3;
const VALUES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn a_stream_in_many_hands() {
    explore(|| {
        let (dropped, turns) = (Tally::default(), Turns::default());
        let capacity = 1 + pick(3);
        let overflow = [
            Overflow::Block,
            Overflow::BlockFor(PATIENCE),
            Overflow::DropOldest,
        ];
        let (sink, stream) = callback_stream("model")
            .capacity(capacity)
            .overflow(overflow[pick(3)])
            .watermarks(0, capacity, turns.tell("pause"), turns.tell("resume"))
            .build();
        let (queued, displaced) = (Counter::default(), Counter::default());
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| {
                let (sink, queued) = (sink.clone(), Arc::clone(&queued));
                let displaced = Arc::clone(&displaced);
                let values: Vec<_> = (0..VALUES).map(|id| dropped.value(id)).collect();
                spawn(move || {
                    for value in values {
                        let push = push_somehow(&sink, value);
                        let is_displaced = matches!(push, Some(Push::Displaced(_)));
                        displaced.fetch_add(usize::from(is_displaced), Ordering::Relaxed);
                        let is_queued = push.is_some_and(|push| push.is_queued());
                        queued.fetch_add(usize::from(is_queued), Ordering::Relaxed);
                        assert!(sink.stats().depth <= capacity);
                    }
                })
            })
            .collect();
        let time = spawn(pass_time);
        let observer = sink.clone();
        let stopper = spawn(move || match pick(2) {
            0 => sink.finish(),
            _ => sink.close_now(),
        });
        let received = block_on(receive_somehow(stream));
        producers.into_iter().for_each(join);
        join(stopper);
        join(time);

        let stats = observer.stats();
        assert_eq!(dropped.count() + received.len(), PRODUCERS * VALUES);
        assert_eq!(stats.queued, queued.load(Ordering::Relaxed) as u64);
        assert_eq!(stats.displaced, displaced.load(Ordering::Relaxed) as u64);
        assert_eq!(stats.received, received.len() as u64);
        assert_eq!(
            stats.queued,
            stats.received + stats.displaced + stats.discarded
        );
        assert_eq!((stats.depth, stats.reserved, stats.blocked_now), (0, 0, 0));
        turns.check();
    });
}

/// What became of the value; `None` if it was not even pushed.
fn push_somehow(sink: &Sink<Counted>, value: Counted) -> Option<Push<Counted>> {
    let push = match pick(6) {
        0 => sink.try_push(value),
        1 => sink.push_timeout(value, PATIENCE),
        2 => block_on(sink.push_async(value)),
        3 => match sink.permit(1) {
            Ok(permit) if pick(4) > 0 => permit.send(value),
            Ok(_) | Err(_) => return None,
        },
        4 => {
            sink.when_ready(|| {});
            sink.push(value)
        }
        _ => sink.push(value),
    };
    let is_expected = matches!(
        push,
        Push::Queued | Push::Displaced(_) | Push::Full(_) | Push::TimedOut(_) | Push::Closed(_)
    );
    assert!(is_expected, "{push:?}");
    Some(push)
}

type Counter = Arc<AtomicUsize>;

/// Receives by one or by several, to the end or until it has enough; then drops the stream.
async fn receive_somehow(mut stream: CallbackStream<Counted>) -> Vec<Counted> {
    let enough = [1, 3, usize::MAX][pick(3)];
    let mut received = Vec::new();
    while received.len() < enough {
        let max = 1 + pick(2);
        if stream.next_batch(&mut received, max).await == 0 {
            break;
        }
    }
    received
}
