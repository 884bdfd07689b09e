//! Where handlers run: their futures stay in place, and a slot is used again and again.
//!
//! A slot has one allocation for the future, which [`Pin::set`] fills again, and one for its waker.
//! What is deliberately absent: fairness by order of the wakes. Woken handlers are polled once in
//! the order of the slots, round and round, so that none waits for another's second poll.

mod ready;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::task::waker_ref;

use crate::Verdict;
use crate::bits::bits;
use crate::handler::Finish;
use crate::isolate::{Isolated, leave, panic_message, poll_isolated};
use crate::lease::Handle;

pub(crate) use ready::Ready;
use ready::SlotWaker;

/// Handlers in reusable slots.
pub(crate) struct Slots<F> {
    slots: Vec<Slot<F>>,
    /// Half as wide as an index, for a million of them.
    free: Vec<u32>,
    /// Nearly always one; each time there is to be more room there is one more.
    banks: Vec<Bank>,
    /// Room for so many in all of the banks.
    capacity: usize,
    /// The bank and its word where the next look for woken handlers begins.
    next: (usize, usize),
}

/// What a poll of a handler came to.
// What nearly all come to is a name of its own, so that nothing else is moved with it.
#[derive(Debug)]
pub(crate) enum Polled {
    Pending,
    /// It has ended with an ack.
    Acked,
    /// It has ended otherwise.
    Ended(Finish),
}

/// The wakes of some of the slots, all of those from `first` on up to those of the next bank.
struct Bank {
    first: usize,
    ready: Arc<Ready>,
}

impl<F: Future<Output = Finish>> Slots<F> {
    /// Room for at most `count_max` handlers; memory is taken as it is needed.
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            banks: vec![Bank {
                first: 0,
                ready: Ready::new(count_max),
            }],
            capacity: count_max,
            next: (0, 0),
        }
    }

    /// Makes room for `count_max` handlers in all; whoever was to be woken is `waker`.
    pub(crate) fn grow(&mut self, count_max: usize, waker: &Waker) {
        if count_max <= self.capacity {
            return;
        }
        // At least as many again, so that there are few banks however often it grows.
        let more = (count_max - self.capacity).max(self.capacity);
        let ready = Ready::new(more);
        ready.register(waker);
        self.banks.push(Bank {
            first: self.capacity,
            ready,
        });
        self.capacity += more;
    }

    /// Notes that the engine is awake, and who is to be woken when it sleeps.
    pub(crate) fn register(&self, waker: &Waker) {
        for bank in &self.banks {
            bank.ready.register(waker);
        }
    }

    /// Notes that the poll of the engine ends.
    pub(crate) fn leave(&self) {
        for bank in &self.banks {
            bank.ready.leave();
        }
    }

    /// Lets the engine sleep; returns whether it may: it must not when a handler was woken
    /// meanwhile.
    pub(crate) fn sleep(&self) -> bool {
        self.banks.iter().all(|bank| bank.ready.sleep())
    }

    /// Takes the handler in that `start` makes and polls it for the first time; returns in which
    /// slot it is, and what the poll came to. There must be room.
    #[inline]
    pub(crate) fn start(&mut self, handle: Handle, start: impl FnOnce() -> F) -> (usize, Polled) {
        let number = self.free.pop().unwrap_or_else(|| self.add(handle));
        let index = number as usize;
        let slot = &mut self.slots[index];
        slot.handle = handle;
        // It is empty. Because the compiler knows that as well, nothing is dropped when it is
        // filled, and the future is made here instead of being moved here.
        if slot.is_taken() {
            slot.future.set(None);
        }
        slot.future.set(Some(start()));
        let polled = slot.poll();
        if !matches!(polled, Polled::Pending) {
            self.free.push(number);
        }
        (index, polled)
    }

    /// Polls handlers that were woken, each once and about `count_max` of them; `tell` is told of
    /// each, and what the poll came to. Returns how many it polled.
    ///
    /// The next call goes on where this one stopped, so that each has its turn.
    pub(crate) fn poll(&mut self, count_max: usize, mut tell: impl FnMut(Handle, Polled)) -> usize {
        let Self {
            slots, free, banks, ..
        } = self;
        let mut count = 0;
        let mut poll = |index: usize| {
            // None: woken after its end, when it was not used again.
            let Some(slot) = slots.get_mut(index).filter(|slot| slot.is_taken()) else {
                return;
            };
            count += 1;
            let polled = slot.poll();
            if !matches!(polled, Polled::Pending) {
                free.push(slot_number(index));
            }
            tell(slot.handle, polled);
        };
        let (first_bank, first_word) = std::mem::take(&mut self.next);
        for (number, bank) in banks.iter().enumerate().skip(first_bank) {
            let from = if number == first_bank { first_word } else { 0 };
            let mut seen = 0;
            let stopped = bank.ready.take_from(from, |first, word| {
                bits(word).for_each(|bit| poll(bank.first + first + bit));
                seen += word.count_ones() as usize;
                seen < count_max
            });
            if let Some(word) = stopped {
                self.next = (number, word);
                break;
            }
        }
        count
    }

    /// Drops handlers, about `count_max` of them and from slot `from` on; returns where to go on.
    pub(crate) fn cancel(
        &mut self,
        from: usize,
        count_max: usize,
        finished: &mut Vec<(Handle, Finish)>,
    ) -> Option<usize> {
        let end = self.slots.len().min(from + count_max);
        for (index, slot) in self.slots.iter_mut().enumerate().take(end).skip(from) {
            if slot.is_taken() {
                self.free.push(slot_number(index));
                finished.push((slot.handle, slot.cancel()));
            }
        }
        (end < self.slots.len()).then_some(end)
    }

    /// Drops the handler in slot `index`, if it is still that of `handle`.
    pub(crate) fn cancel_one(
        &mut self,
        index: usize,
        handle: Handle,
        finished: &mut Vec<(Handle, Finish)>,
    ) {
        if let Some(slot) = self.slot_of(index, handle) {
            let finish = slot.cancel();
            self.free.push(slot_number(index));
            finished.push((handle, finish));
        }
    }

    /// Polls the handler in slot `index`, if it is still that of `handle`; returns whether it has
    /// ended now.
    pub(crate) fn poll_one(
        &mut self,
        index: usize,
        handle: Handle,
        finished: &mut Vec<(Handle, Finish)>,
    ) -> bool {
        let finish = match self.slot_of(index, handle).map(Slot::poll) {
            None | Some(Polled::Pending) => return false,
            Some(Polled::Acked) => Finish::Verdict(Verdict::Ack),
            Some(Polled::Ended(finish)) => finish,
        };
        self.free.push(slot_number(index));
        finished.push((handle, finish));
        true
    }

    /// Slot `index`, if the handler of `handle` is in it.
    fn slot_of(&mut self, index: usize, handle: Handle) -> Option<&mut Slot<F>> {
        let slot = self.slots.get_mut(index)?;
        (slot.is_taken() && slot.handle == handle).then_some(slot)
    }

    /// Adds a slot, for the handler of `handle`.
    fn add(&mut self, handle: Handle) -> u32 {
        let index = self.slots.len();
        let (ready, first) = self.bank_of(index);
        let ready = Arc::clone(ready);
        let waker = SlotWaker {
            index: index - first,
            ready,
        };
        self.slots.push(Slot {
            handle,
            waker: Arc::new(waker),
            future: Box::pin(None),
        });
        slot_number(index)
    }

    /// Who is told of the wakes of slot `index`, and the first slot of those.
    fn bank_of(&self, index: usize) -> (&Arc<Ready>, usize) {
        let mut later = self.banks.iter().rev();
        let bank = later.find(|bank| bank.first <= index);
        let bank = bank.expect("the first bank begins with the first slot");
        (&bank.ready, bank.first)
    }
}

impl<F> Drop for Slots<F> {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| slot.future.set(None))) {
                // The text is of no use: nobody waits for what was dropped.
                panic_message(payload);
            }
        }
    }
}

struct Slot<F> {
    /// Whose handler is in it, or was.
    handle: Handle,
    waker: Arc<SlotWaker>,
    /// None once it has ended, however it has.
    future: Pin<Box<Option<F>>>,
}

impl<F: Future<Output = Finish>> Slot<F> {
    fn is_taken(&self) -> bool {
        self.future.is_some()
    }

    /// Polls the handler, and drops it if it has ended.
    #[inline]
    fn poll(&mut self) -> Polled {
        let waker = waker_ref(&self.waker);
        let mut cx = Context::from_waker(&waker);
        let keep = |finish| match finish {
            Finish::Verdict(Verdict::Ack) => None,
            finish => Some(finish),
        };
        match poll_isolated(self.future.as_mut(), &mut cx, keep) {
            Poll::Pending => Polled::Pending,
            Poll::Ready(Isolated::Done(None)) => Polled::Acked,
            Poll::Ready(Isolated::Done(Some(finish))) => Polled::Ended(finish),
            Poll::Ready(Isolated::Panicked(message)) => Polled::Ended(Finish::Panicked(message)),
            Poll::Ready(Isolated::Cancelled) => Polled::Ended(Finish::Cancelled),
        }
    }

    /// Drops the future, whose destructor may panic.
    fn cancel(&mut self) -> Finish {
        leave::<_, Finish>(self.future.as_mut(), Isolated::Cancelled).into()
    }
}

/// The number of a slot, of which there are no more than handlers at a time.
fn slot_number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 slots")
}

#[cfg(test)]
mod tests;
