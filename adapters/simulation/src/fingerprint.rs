//! A hash that is the same in every process, profile and release of Rust.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map that is quick to look into. Never iterated where the order would matter.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fingerprint>>;

/// Multiplies and rotates: it tells runs apart, it resists nobody.
#[derive(Clone, Default)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Goes on where another was [paused](Self::pause).
    pub(crate) fn resume(state: u64) -> Self {
        Self(state)
    }

    /// All that there is to it.
    pub(crate) fn pause(self) -> u64 {
        self.0
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.add(word_of(rest));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// The number whose bytes these are, the lowest first, of which there are one to seven.
fn word_of(bytes: &[u8]) -> u64 {
    // Without a loop: names are hashed with every fact and event.
    let count = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        return u64::from(low) | u64::from(high) << (8 * (count - 4));
    }
    let at = |place: usize| u64::from(bytes[place]) << (8 * place);
    at(0) | at(count / 2) | at(count - 1)
}

const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

#[cfg(test)]
mod tests;
