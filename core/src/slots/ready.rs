//! Which slots were woken: a bit for each, and above 64 of them one that says where to look.
//!
//! A wake costs two writes to memory, none of them to the executor unless the engine sleeps. Nearly
//! all wakes come from the thread that polls the engine, while it does: those have bits of their
//! own, which are written without a locked instruction.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use futures::task::{ArcWake, AtomicWaker};

use crate::bits::bits;

/// The set of the woken slots.
///
/// Every access to what all threads write is sequentially consistent: a wake writes from the leaf
/// to the root and the engine reads from the root to the leaf, so that one of them sees what the
/// other has written.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The engine's; used when it sleeps.
    waker: AtomicWaker,
    /// Whether the engine is going to look at the set before it sleeps, or was woken to.
    is_awake: AtomicBool,
    /// Where the engine is being polled; [`NOWHERE`] between its polls.
    poller: AtomicUsize,
    /// Those woken by any thread.
    shared: Bits,
    /// Those woken by the polling thread while it polls. Only that one writes them; the next one
    /// sees them because executors order the polls of a future.
    own: Bits,
}

impl Ready {
    /// An empty set for `capacity` slots.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            waker: AtomicWaker::new(),
            is_awake: AtomicBool::new(true),
            poller: AtomicUsize::new(NOWHERE),
            shared: Bits::new(capacity),
            own: Bits::new(capacity),
        })
    }

    /// Notes that the engine is awake and polled by this thread, and who is to be woken when it
    /// sleeps.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        self.is_awake.store(true, Ordering::SeqCst);
        // Relaxed: what this thread writes here concerns no other thread.
        self.poller.store(here(), Ordering::Relaxed);
    }

    /// Notes that the poll of the engine ends: this thread may go on without it.
    pub(crate) fn leave(&self) {
        // Relaxed: as in `register`.
        self.poller.store(NOWHERE, Ordering::Relaxed);
    }

    /// Lets the engine sleep; returns whether it may: it must not when a slot was woken meanwhile.
    pub(crate) fn sleep(&self) -> bool {
        self.is_awake.store(false, Ordering::SeqCst);
        // After the store: who wakes later than this look sees that the engine sleeps.
        if self.is_empty() {
            self.leave();
            return true;
        }
        self.is_awake.store(true, Ordering::SeqCst);
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        let is_empty = |bits: &Bits| {
            let mut summary = bits.summary.iter();
            summary.all(|word| word.load(Ordering::SeqCst) == 0)
        };
        is_empty(&self.shared) && is_empty(&self.own)
    }

    /// Takes slots out of the set from a word on, one word at a time, as long as `take` wants more;
    /// it gets the number of the first slot of a word and its bits. For the polling thread.
    ///
    /// Returns from which word on to go on, or `None` at the end. What is added meanwhile may be
    /// left for the next time.
    pub(super) fn take_from(
        &self,
        from: usize,
        mut take: impl FnMut(usize, u64) -> bool,
    ) -> Option<usize> {
        let mut mask = u64::MAX << (from % BITS);
        for index in from / BITS..self.shared.summary.len() {
            let wanted = std::mem::replace(&mut mask, u64::MAX);
            // A plain look first: most are empty.
            let shared = self.shared.summary[index].load(Ordering::SeqCst) & wanted;
            let own = self.own.summary[index].load(Ordering::Relaxed) & wanted;
            for bit in bits(shared | own) {
                let word = index * BITS + bit;
                let mut woken = self.own.take_own(index, bit);
                if shared & (1 << bit) != 0 {
                    woken |= self.shared.take(index, bit);
                }
                if !take(word * BITS, woken) {
                    return Some(word + 1);
                }
            }
        }
        None
    }

    /// Adds a slot, and wakes the engine if it sleeps.
    fn wake(&self, index: usize) {
        // Relaxed: that it is this thread, only this thread can have written.
        if self.poller.load(Ordering::Relaxed) == here() {
            return self.own.add_own(index);
        }
        self.shared.add(index);
        // A plain look first: most wakes come while the engine is awake.
        if !self.is_awake.load(Ordering::SeqCst) && !self.is_awake.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// A bit for each slot, and above them a bit for each word that may have some.
#[derive(Debug)]
struct Bits {
    summary: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
}

impl Bits {
    fn new(capacity: usize) -> Self {
        let words = capacity.div_ceil(BITS);
        Self {
            summary: zeroed(words.div_ceil(BITS)),
            words: zeroed(words),
        }
    }

    fn add(&self, index: usize) {
        let (word, bit) = (index / BITS, 1 << (index % BITS));
        self.words[word].fetch_or(bit, Ordering::SeqCst);
        let (word, bit) = (word / BITS, 1 << (word % BITS));
        if self.summary[word].load(Ordering::SeqCst) & bit == 0 {
            self.summary[word].fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes the word that a bit of the summary stands for.
    fn take(&self, index: usize, bit: usize) -> u64 {
        self.summary[index].fetch_and(!(1 << bit), Ordering::SeqCst);
        self.words[index * BITS + bit].swap(0, Ordering::SeqCst)
    }

    /// What `add` does, where no other thread writes.
    fn add_own(&self, index: usize) {
        // Relaxed: read and written by one thread.
        let add = |to: &AtomicU64, index: usize| {
            let bits = to.load(Ordering::Relaxed);
            to.store(bits | 1 << (index % BITS), Ordering::Relaxed);
        };
        let word = index / BITS;
        add(&self.words[word], index);
        add(&self.summary[word / BITS], word);
    }

    /// What `take` does, where no other thread writes.
    fn take_own(&self, index: usize, bit: usize) -> u64 {
        // Relaxed: read and written by one thread.
        let (summary, word) = (&self.summary[index], &self.words[index * BITS + bit]);
        let woken = word.load(Ordering::Relaxed);
        word.store(0, Ordering::Relaxed);
        let others = summary.load(Ordering::Relaxed) & !(1 << bit);
        summary.store(others, Ordering::Relaxed);
        woken
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

fn zeroed(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Names this thread among those that are alive: no two have their locals at the same address.
fn here() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| ptr::from_ref(here).addr())
}

/// Where no thread is.
const NOWHERE: usize = 0;

/// Bits of a word.
const BITS: usize = 64;
