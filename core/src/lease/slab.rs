//! A slab whose handles notice that their slot was given to somebody else.

/// Names one value of one slab; after its removal it names nothing, even if the slot is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    pub(super) fn index(self) -> u32 {
        self.index
    }

    /// The number of the slot, which no other value has as long as this one is there.
    pub(crate) fn slot(self) -> usize {
        self.index as usize
    }
}

/// Values in reusable slots, which never move, not even when they are removed: some of the removed
/// ones stay where they were, for what they have allocated, until their slot is used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    /// Each with room for [`CHUNK`]: growing copies nothing.
    chunks: Vec<Vec<Slot<T>>>,
    /// Slots that still have their last value; used first.
    retired: Vec<u32>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            retired: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a slot for a new value; what is in it is a retired one or nothing.
    #[inline]
    pub(super) fn take(&mut self) -> (Handle, &mut Option<T>) {
        self.len += 1;
        let index = match self.retired.pop().or_else(|| self.free.pop()) {
            Some(index) => index,
            None => self.add(),
        };
        let slot = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        slot.generation = slot.generation.wrapping_add(1);
        let generation = slot.generation;
        (Handle { index, generation }, &mut slot.value)
    }

    pub(super) fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slot(handle.index)?;
        if slot.generation == handle.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    pub(super) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slot_mut(handle.index)?;
        if slot.generation == handle.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    /// Removes a value, which may stay in its slot if `retire` says so; returns whether it was
    /// there.
    #[inline]
    pub(super) fn remove(&mut self, handle: Handle, retire: impl FnOnce(&mut T) -> bool) -> bool {
        let is_room = self.retired.len() < RETIRED_MAX;
        let Some(slot) = self.slot_mut(handle.index) else {
            return false;
        };
        let Some(value) = slot.value.as_mut() else {
            return false;
        };
        if slot.generation != handle.generation {
            return false;
        }
        // Wraps after two billion uses of one slot, when no handle that old is left.
        slot.generation = slot.generation.wrapping_add(1);
        if is_room && retire(value) {
            self.retired.push(handle.index);
        } else {
            slot.value = None;
            self.free.push(handle.index);
        }
        self.len -= 1;
        true
    }

    /// The handle of the value in slot `index`.
    pub(super) fn handle_at(&self, index: u32) -> Handle {
        let generation = self.slot(index).map_or(0, |slot| slot.generation);
        Handle { index, generation }
    }

    /// The value in slot `index`, which has one.
    pub(super) fn at_mut(&mut self, index: u32) -> &mut T {
        self.slot_mut(index)
            .and_then(|slot| slot.value.as_mut())
            .expect("a slot that is linked to has a value")
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.chunks
            .iter()
            .flatten()
            .zip(0_u32..)
            .filter(|(slot, _)| slot.is_taken())
            .map(|(slot, index)| Handle {
                index,
                generation: slot.generation,
            })
    }

    /// The handles in the next `count` slots from `first` on, and where to go on.
    pub(super) fn handles_from(&self, first: u32, count: usize) -> (Vec<Handle>, Option<u32>) {
        let slots = self
            .chunks
            .last()
            .map_or(0, |chunk| (self.chunks.len() - 1) * CHUNK + chunk.len());
        let end = slots.min(first as usize + count);
        // Lossless: so many slots have a number.
        let (end, is_end) = (end as u32, end == slots);
        let taken = |index: &u32| self.slot(*index).is_some_and(Slot::is_taken);
        let handles = (first..end)
            .filter(taken)
            .map(|index| self.handle_at(index));
        (handles.collect(), (!is_end).then_some(end))
    }

    /// Adds an empty slot.
    #[cold]
    fn add(&mut self) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let index = number * CHUNK + chunk.len();
        chunk.push(Slot {
            generation: 0,
            value: None,
        });
        u32::try_from(index).expect("fewer than 2^32 messages in hand")
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }
}

#[derive(Debug)]
struct Slot<T> {
    /// Odd while the slot is taken.
    generation: u32,
    value: Option<T>,
}

impl<T> Slot<T> {
    fn is_taken(&self) -> bool {
        self.generation % 2 == 1
    }
}

/// How many removed values stay: enough for what ends in a few passes.
const RETIRED_MAX: usize = 1024;

/// Slots allocated at a time.
const CHUNK: usize = 1024;

#[cfg(test)]
mod tests;
