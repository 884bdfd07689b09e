//! Leases by the id of their message: a table of hashes and slot numbers, without the ids.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Finds the slot of an id; the ids themselves are compared by the caller, in the slots.
///
/// Open addressing with linear probing, at most three quarters full; eight bytes an entry.
#[derive(Debug)]
pub(super) struct Index {
    seed: u64,
    len: usize,
    /// A power of two of them.
    entries: Vec<Entry>,
}

/// The hash of an id in one [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdHash(u32);

impl Index {
    pub(super) fn new() -> Self {
        Self {
            // From the operating system: ids may be chosen by somebody who means harm.
            seed: RandomState::new().build_hasher().finish(),
            len: 0,
            entries: vec![EMPTY; CAPACITY_MIN],
        }
    }

    /// Hashes an id by multiplying and folding eight bytes at a time.
    pub(super) fn hash(&self, id: &str) -> IdHash {
        let bytes = id.as_bytes();
        let mut hash = self.seed ^ bytes.len() as u64;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word), FACTOR);
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            hash = fold(hash ^ u64::from_le_bytes(word), FACTOR);
        }
        let hash = fold(hash ^ self.seed.rotate_left(32), FACTOR);
        IdHash((hash ^ (hash >> 32)) as u32)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot whose id has this hash and is the one that `is_it` knows.
    pub(super) fn find(&self, hash: IdHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let position = self.position(hash, is_it)?;
        Some(self.entries[position].index)
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, hash: IdHash, index: u32) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.len += 1;
        self.put(Entry {
            hash: hash.0,
            index,
        });
    }

    /// Removes a slot; does nothing if it is not there.
    pub(super) fn remove(&mut self, hash: IdHash, index: u32) {
        let Some(mut hole) = self.position(hash, |other| other == index) else {
            return;
        };
        self.len -= 1;
        // Those that follow move up, so that no search ends at the hole before it should.
        let mask = self.entries.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let entry = self.entries[next];
            if entry.index == NONE {
                break;
            }
            let home = entry.hash as usize & mask;
            let from_home = next.wrapping_sub(home) & mask;
            let from_hole = next.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.entries[hole] = entry;
                hole = next;
            }
        }
        self.entries[hole] = EMPTY;
    }

    fn position(&self, hash: IdHash, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.entries.len() - 1;
        let mut position = hash.0 as usize & mask;
        // Ends: a quarter of the entries is empty.
        loop {
            let entry = self.entries[position];
            if entry.index == NONE {
                return None;
            }
            if entry.hash == hash.0 && is_it(entry.index) {
                return Some(position);
            }
            position = (position + 1) & mask;
        }
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut position = entry.hash as usize & mask;
        while self.entries[position].index != NONE {
            position = (position + 1) & mask;
        }
        self.entries[position] = entry;
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; self.entries.len() * 2];
        for entry in std::mem::replace(&mut self.entries, larger) {
            if entry.index != NONE {
                self.put(entry);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    index: u32,
}

/// Multiplies to 128 bits and folds the halves: every bit of the input reaches every bit.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// No slot.
const NONE: u32 = u32::MAX;

const EMPTY: Entry = Entry {
    hash: 0,
    index: NONE,
};

/// Odd, with bits well spread: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const CAPACITY_MIN: usize = 16;

#[cfg(test)]
mod tests;
