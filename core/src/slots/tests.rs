use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::Ready;
use super::ready::SlotWaker;
use crate::bits::bits;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker(ready: &Arc<Ready>, index: usize) -> Waker {
    let ready = Arc::clone(ready);
    futures::task::waker(Arc::new(SlotWaker { index, ready }))
}

fn taken(ready: &Ready) -> Vec<usize> {
    let mut indices = Vec::new();
    let end = ready.take_from(0, |first, word| {
        indices.extend(bits(word).map(|bit| first + bit));
        true
    });
    assert_eq!(end, None);
    indices
}

#[test]
fn each_woken_slot_is_taken_once_however_often_it_was_woken() {
    let ready = Ready::new(10_000);
    let woken = [0, 1, 63, 64, 4095, 4096, 9_999];
    for index in woken.iter().rev() {
        waker(&ready, *index).wake_by_ref();
        waker(&ready, *index).wake();
    }

    assert_eq!(taken(&ready), woken);
    assert_eq!(taken(&ready), []);
}

#[test]
fn slots_that_are_not_taken_stay_in_the_set() {
    let ready = Ready::new(10_000);
    for index in [5, 64, 70, 5_000, 9_999] {
        waker(&ready, index).wake();
    }
    let mut seen = Vec::new();
    let mut next = Some(0);

    while let Some(from) = next {
        next = ready.take_from(from, |first, word| {
            seen.push(bits(word).map(|bit| first + bit).collect::<Vec<_>>());
            // One word at a time, and one that was woken again behind it.
            waker(&ready, 5).wake();
            false
        });
    }

    assert_eq!(seen, [vec![5], vec![64, 70], vec![5_000], vec![9_999]]);
    assert_eq!(taken(&ready), [5]);
}

#[test]
fn the_engine_is_woken_once_and_only_when_it_sleeps() {
    let ready = Ready::new(100);
    let count = Arc::new(Count::default());
    ready.register(&Waker::from(Arc::clone(&count)));

    waker(&ready, 7).wake();
    assert!(!ready.sleep(), "a slot was woken before");
    assert_eq!(taken(&ready), [7]);
    assert_eq!(count.0.load(Ordering::SeqCst), 0);

    assert!(ready.sleep());
    waker(&ready, 8).wake();
    waker(&ready, 9).wake();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(taken(&ready), [8, 9]);
}

#[test]
fn wakes_of_the_polling_thread_and_of_others_are_taken_together() {
    let ready = Ready::new(10_000);
    ready.register(Waker::noop());
    waker(&ready, 7).wake();
    std::thread::scope(|scope| {
        scope.spawn(|| [7, 8, 4_096].map(|index| waker(&ready, index).wake()));
    });
    waker(&ready, 9_999).wake();

    assert!(!ready.sleep(), "slots were woken");
    assert_eq!(taken(&ready), [7, 8, 4_096, 9_999]);
    assert_eq!(taken(&ready), []);
    assert!(ready.sleep());
}

#[test]
fn the_polling_thread_wakes_the_engine_when_it_has_left_it() {
    let ready = Ready::new(100);
    let count = Arc::new(Count::default());
    let engine = Waker::from(Arc::clone(&count));
    ready.register(&engine);
    waker(&ready, 1).wake();
    ready.leave();
    assert_eq!(taken(&ready), [1]);
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "it was awake");

    ready.register(&engine);
    assert!(ready.sleep());
    waker(&ready, 2).wake();

    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(taken(&ready), [2]);
}

#[test]
fn a_wake_from_another_thread_is_never_lost() {
    let ready = Ready::new(300);
    let count = Arc::new(Count::default());
    let engine = Waker::from(Arc::clone(&count));
    let rounds = 2_000;
    let mut seen = 0;
    let turn = &AtomicUsize::new(0);

    std::thread::scope(|scope| {
        let wakers: Vec<Waker> = (0..300).map(|index| waker(&ready, index)).collect();
        scope.spawn(move || {
            for round in 0..rounds {
                while turn.load(Ordering::SeqCst) < round {
                    std::thread::yield_now();
                }
                wakers[round % 300].wake_by_ref();
            }
        });
        while seen < rounds {
            ready.register(&engine);
            let woken = count.0.load(Ordering::SeqCst);
            seen += taken(&ready).len();
            turn.store(seen, Ordering::SeqCst);
            if seen < rounds && ready.sleep() {
                // What the executor would do: nothing, until it is woken.
                while count.0.load(Ordering::SeqCst) == woken {
                    std::thread::yield_now();
                }
            }
        }
    });

    assert_eq!(seen, rounds);
}
