//! Leases by the id of their message: a table of hashes and slot numbers, without the ids.

mod buckets;

use std::hash::{BuildHasher, Hasher, RandomState};

use buckets::Buckets;

/// Finds the slot of an id; the ids themselves are compared by the caller, in the slots.
///
/// It grows by twice, and moves what it has a little at a time: with each insertion, of which there
/// are many more before it grows again.
#[derive(Debug)]
pub(super) struct Index {
    seed: u64,
    buckets: Buckets,
    /// Those from before it grew, until all that is in them has moved.
    older: Option<Buckets>,
}

/// The hash of an id in one [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdHash(u32);

impl Index {
    pub(super) fn new() -> Self {
        Self {
            // From the operating system: ids may be chosen by somebody who means harm.
            seed: RandomState::new().build_hasher().finish(),
            buckets: Buckets::new(BUCKETS_MIN),
            older: None,
        }
    }

    /// Hashes an id by multiplying and folding eight bytes at a time.
    #[inline]
    pub(super) fn hash(&self, id: &str) -> IdHash {
        let bytes = id.as_bytes();
        // The length in every bit: in a few, it would undo a difference between short ids.
        let mut hash = self.seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word), FACTOR);
        }
        if !rest.is_empty() {
            hash = fold(hash ^ last_word(bytes), FACTOR);
        }
        let hash = fold(hash ^ self.seed.rotate_left(32), FACTOR);
        IdHash((hash ^ (hash >> 32)) as u32)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len() + self.older.as_ref().map_or(0, Buckets::len)
    }

    /// The slot whose id has this hash and is the one that `is_it` knows.
    pub(super) fn find(&self, hash: IdHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.buckets.find(hash.0, &is_it);
        found.or_else(|| self.older.as_ref()?.find(hash.0, &is_it))
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, hash: IdHash, slot: u32) {
        if self.older.is_some() {
            self.move_some();
        } else if self.buckets.is_full() {
            let larger = Buckets::new(2 * self.buckets.count());
            self.older = Some(std::mem::replace(&mut self.buckets, larger));
        }
        self.buckets.insert(hash.0, slot);
    }

    /// Removes a slot; does nothing if it is not there.
    pub(super) fn remove(&mut self, hash: IdHash, slot: u32) {
        if !self.buckets.remove(hash.0, slot)
            && let Some(older) = &mut self.older
        {
            older.remove(hash.0, slot);
        }
    }

    /// Moves what is in some of the older buckets.
    #[cold]
    fn move_some(&mut self) {
        let Some(older) = &mut self.older else {
            return;
        };
        for _ in 0..MOVED_BUCKETS {
            older.empty_one(|hash, slot| self.buckets.insert(hash, slot));
        }
        if older.len() == 0 {
            self.older = None;
        }
    }
}

/// The last eight bytes, or as many as there are; some of few are in it twice, which costs less
/// than to copy them.
fn last_word(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        return u64::from_le_bytes(*last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << 32;
    }
    // Of three bytes or fewer: the first, the middle and the last.
    let byte = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0));
    byte(0) | byte(bytes.len() / 2) << 8 | byte(bytes.len().saturating_sub(1)) << 16
}

/// Multiplies to 128 bits and folds the halves: every bit of the input reaches every bit.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// Odd, with bits well spread: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const BUCKETS_MIN: usize = 4;

/// How many older buckets are emptied with each insertion. One would do: by the time the larger
/// ones are full, there have been five insertions for each.
const MOVED_BUCKETS: usize = 2;

#[cfg(test)]
mod tests;
