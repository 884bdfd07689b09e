//! Buckets of hashes and slot numbers, as wide as a line of the processor's cache.
//!
//! A search compares a hash with all of a bucket at once, without a branch for each, and nearly
//! always ends there. What does not fit goes into the next bucket with room, and is counted in
//! those that it has passed, so that a search knows where to end.

use crate::bits::bits;

/// An open-addressing table, at most five sevenths full.
#[derive(Debug)]
pub(super) struct Buckets {
    /// A power of two of them.
    buckets: Vec<Bucket>,
    len: usize,
    /// Those before this one have been emptied.
    emptied: usize,
}

/// Seven entries, in eight lanes: as many as one comparison takes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    /// In the last one how many entries were passed on from here, or from before, to behind.
    hashes: [u32; LANES],
    /// Each plus one; zero where there is no entry.
    slots: [u32; LANES],
}

impl Buckets {
    /// A power of two of empty buckets.
    pub(super) fn new(count: usize) -> Self {
        Self {
            buckets: vec![EMPTY; count],
            len: 0,
            emptied: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn count(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.buckets.len() * FULL
    }

    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let home = hash as usize & mask;
        let mut position = home;
        loop {
            let bucket = &self.buckets[position];
            for place in bits(bucket.matches(hash)) {
                let slot = bucket.slots[place];
                if slot != 0 && is_it(slot - 1) {
                    return Some(slot - 1);
                }
            }
            if bucket.passed() == 0 {
                return None;
            }
            position = (position + 1) & mask;
            // In time every bucket may come to have passed one on.
            if position == home {
                return None;
            }
        }
    }

    /// Adds an entry; there must be room.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        self.len += 1;
        let mask = self.buckets.len() - 1;
        let mut position = hash as usize & mask;
        loop {
            let bucket = &mut self.buckets[position];
            if let Some(place) = bits(bucket.vacant()).next() {
                bucket.hashes[place] = hash;
                bucket.slots[place] = slot + 1;
                return;
            }
            bucket.hashes[PASSED] += 1;
            position = (position + 1) & mask;
        }
    }

    /// Removes the entry of a slot, which has one at the most; returns whether it was there.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) -> bool {
        let mask = self.buckets.len() - 1;
        let home = hash as usize & mask;
        let mut position = home;
        loop {
            let bucket = &mut self.buckets[position];
            if let Some(place) = bits(places(&bucket.slots, slot + 1)).next() {
                // The hash as well: one that stays would be found, in vain, with the next like it.
                (bucket.hashes[place], bucket.slots[place]) = (0, 0);
                break;
            }
            if bucket.passed() == 0 {
                return false;
            }
            position = (position + 1) & mask;
            if position == home {
                return false;
            }
        }
        self.len -= 1;
        let mut passed = home;
        while passed != position {
            self.buckets[passed].hashes[PASSED] -= 1;
            passed = (passed + 1) & mask;
        }
        true
    }

    /// Removes what is in the next bucket, and tells of each entry.
    pub(super) fn empty_one(&mut self, mut tell: impl FnMut(u32, u32)) {
        let Some(Bucket { hashes, slots }) = self.buckets.get(self.emptied).copied() else {
            return;
        };
        self.emptied += 1;
        for (hash, slot) in hashes.into_iter().zip(slots).take(PASSED) {
            if slot != 0 {
                self.remove(hash, slot - 1);
                tell(hash, slot - 1);
            }
        }
    }
}

impl Bucket {
    /// How many entries were passed on from here, or from before, to behind.
    fn passed(&self) -> u32 {
        self.hashes[PASSED]
    }

    /// The places that have this hash, as bits; if it is zero, those without an entry as well.
    fn matches(&self, hash: u32) -> u64 {
        places(&self.hashes, hash)
    }

    /// The places without an entry, as bits.
    fn vacant(&self) -> u64 {
        places(&self.slots, 0)
    }
}

/// The places of a value, as bits, found without a branch.
fn places(lanes: &[u32; LANES], value: u32) -> u64 {
    let mut places = 0;
    for (place, lane) in lanes.iter().enumerate() {
        places |= u64::from(*lane == value) << place;
    }
    places & !(1 << PASSED)
}

/// Two arrays of so many fill a line of 64 bytes.
const LANES: usize = 8;

/// Which lane has no entry.
const PASSED: usize = LANES - 1;

/// How many entries a bucket has when all of them have equally many and the table is full.
const FULL: usize = 5;

const EMPTY: Bucket = Bucket {
    hashes: [0; LANES],
    slots: [0; LANES],
};
