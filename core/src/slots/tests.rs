use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::Ready;
use super::ready::{SlotWaker, bits};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker(ready: &Arc<Ready>, index: usize) -> Waker {
    let ready = Arc::clone(ready);
    Waker::from(Arc::new(SlotWaker { index, ready }))
}

fn taken(ready: &Ready) -> Vec<usize> {
    let mut indices = Vec::new();
    ready.take_all(|first, word| indices.extend(bits(word).map(|bit| first + bit)));
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
