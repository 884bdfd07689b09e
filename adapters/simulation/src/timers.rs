//! Timers: what is due next, and who is woken then.
//!
//! A timer is set once, looked at often and mostly forgotten before it is due. It therefore has a
//! slot for its waker, and an entry in a heap that is only looked at when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

use mayhem_core::Instant;

#[derive(Default)]
pub(crate) struct Timers {
    /// By deadline, and those of one deadline in the order in which they were made.
    heap: BinaryHeap<Reverse<Entry>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// A timer that was set, and where its waker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerSlot(usize);

struct Slot {
    serial: u64,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Instant,
    serial: u64,
    slot: usize,
}

impl Timers {
    /// Sets a timer; `serial` tells it from all others, and earlier ones from later ones.
    pub(crate) fn set(&mut self, deadline: Instant, serial: u64, waker: Waker) -> TimerSlot {
        let waker = Some(waker);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Slot { serial, waker };
                slot
            }
            None => {
                self.slots.push(Slot { serial, waker });
                self.slots.len() - 1
            }
        };
        self.heap.push(Reverse(Entry {
            deadline,
            serial,
            slot,
        }));
        TimerSlot(slot)
    }

    /// Puts a waker in the place of a timer's, which is returned; or returns it, if the timer has
    /// gone off.
    pub(crate) fn replace(
        &mut self,
        TimerSlot(slot): TimerSlot,
        serial: u64,
        waker: Waker,
    ) -> Waker {
        let slot = &mut self.slots[slot];
        match &mut slot.waker {
            Some(present) if slot.serial == serial => std::mem::replace(present, waker),
            _ => waker,
        }
    }

    /// Forgets a timer; returns its waker, which is to be dropped without a lock held.
    pub(crate) fn forget(&mut self, TimerSlot(slot): TimerSlot, serial: u64) -> Option<Waker> {
        if self.slots[slot].serial != serial {
            return None;
        }
        let waker = self.slots[slot].waker.take()?;
        self.free.push(slot);
        let live_count = self.slots.len() - self.free.len();
        if self.heap.len() > 2 * live_count + HEAP_MIN {
            let slots = &self.slots;
            self.heap.retain(|Reverse(entry)| is_set(slots, entry));
        }
        Some(waker)
    }

    /// When the next timer is due.
    pub(crate) fn first(&mut self) -> Option<Instant> {
        while let Some(Reverse(entry)) = self.heap.peek() {
            if is_set(&self.slots, entry) {
                return Some(entry.deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the next timer that is due by `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        if self.first()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.free.push(entry.slot);
        self.slots[entry.slot].waker.take()
    }
}

fn is_set(slots: &[Slot], entry: &Entry) -> bool {
    let slot = &slots[entry.slot];
    slot.serial == entry.serial && slot.waker.is_some()
}

/// Below this many the entries of forgotten timers are not worth removing.
const HEAP_MIN: usize = 64;
