//! Which slots were woken: a bit for each, and above 64 of them one that says where to look.
//!
//! A wake costs two writes to memory, none of them to the executor unless the engine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures::task::{ArcWake, AtomicWaker};

/// The set of the woken slots.
///
/// Every access is sequentially consistent: a wake writes from the leaf to the root and the engine
/// reads from the root to the leaf, so that one of them sees what the other has written.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The engine's; used when it sleeps.
    waker: AtomicWaker,
    /// Whether the engine is going to look at the set before it sleeps, or was woken to.
    is_awake: AtomicBool,
    summary: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
}

impl Ready {
    /// An empty set for `capacity` slots.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let words = capacity.div_ceil(BITS);
        Arc::new(Self {
            waker: AtomicWaker::new(),
            is_awake: AtomicBool::new(true),
            summary: zeroed(words.div_ceil(BITS)),
            words: zeroed(words),
        })
    }

    /// Notes that the engine is awake, and who is to be woken when it sleeps.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        self.is_awake.store(true, Ordering::SeqCst);
    }

    /// Lets the engine sleep; returns whether it may: it must not when a slot was woken meanwhile.
    pub(crate) fn sleep(&self) -> bool {
        self.is_awake.store(false, Ordering::SeqCst);
        // After the store: who wakes later than this look sees that the engine sleeps.
        let is_empty = self.is_empty();
        if !is_empty {
            self.is_awake.store(true, Ordering::SeqCst);
        }
        is_empty
    }

    pub(super) fn is_empty(&self) -> bool {
        self.summary
            .iter()
            .all(|word| word.load(Ordering::SeqCst) == 0)
    }

    /// Adds a slot without waking the engine, which is awake.
    pub(super) fn add(&self, index: usize) {
        let (word, bit) = (index / BITS, 1 << (index % BITS));
        self.words[word].fetch_or(bit, Ordering::SeqCst);
        let (word, bit) = (word / BITS, 1 << (word % BITS));
        if self.summary[word].load(Ordering::SeqCst) & bit == 0 {
            self.summary[word].fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes slots out of the set from a word on, one word at a time, as long as `take` wants more;
    /// it gets the number of the first slot of a word and its bits.
    ///
    /// Returns from which word on to go on, or `None` at the end. What is added meanwhile may be
    /// left for the next time.
    pub(super) fn take_from(
        &self,
        from: usize,
        mut take: impl FnMut(usize, u64) -> bool,
    ) -> Option<usize> {
        let mut mask = u64::MAX << (from % BITS);
        for index in from / BITS..self.summary.len() {
            let summary = &self.summary[index];
            // A plain look first: most are empty.
            let woken = summary.load(Ordering::SeqCst) & std::mem::replace(&mut mask, u64::MAX);
            for bit in bits(woken) {
                summary.fetch_and(!(1 << bit), Ordering::SeqCst);
                let word = index * BITS + bit;
                if !take(word * BITS, self.words[word].swap(0, Ordering::SeqCst)) {
                    return Some(word + 1);
                }
            }
        }
        None
    }

    fn wake(&self, index: usize) {
        self.add(index);
        // A plain look first: most wakes come while the engine is awake.
        if !self.is_awake.load(Ordering::SeqCst) && !self.is_awake.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// The waker of one slot.
pub(super) struct SlotWaker {
    pub(super) index: usize,
    pub(super) ready: Arc<Ready>,
}

impl ArcWake for SlotWaker {
    fn wake_by_ref(waker: &Arc<Self>) {
        waker.ready.wake(waker.index);
    }
}

/// The numbers of the bits that are set, lowest first.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        word &= word - 1;
        Some(bit as usize)
    })
}

fn zeroed(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Bits of a word.
const BITS: usize = 64;
