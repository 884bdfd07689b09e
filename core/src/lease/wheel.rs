//! Numbers by their tick: a ring of ticks for those that are near one another, a tree for the rest.
//!
//! Timers crowd: nearly all that are armed at a time are due within two leases of each other, and
//! for them a ring finds, adds and removes in a few instructions. Nothing ever moves from one level
//! to another, so that no poll has to move many at once.

use std::collections::BTreeMap;

/// One number for each of some ticks.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The first tick of the ring's window; every tick in the ring is in it.
    base: u64,
    /// A number, where the bit of its place is set.
    slots: Box<[u32; TICKS]>,
    bits: [u64; WORDS],
    /// What was outside of the window when it was added.
    rest: BTreeMap<u64, u32>,
    /// The first tick and its number: asked for several times in every pass, and changed only when
    /// something is added before it or it is removed.
    first: Option<(u64, u32)>,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            base: 0,
            slots: Box::new([0; TICKS]),
            bits: [0; WORDS],
            rest: BTreeMap::new(),
            first: None,
        }
    }

    pub(super) fn get(&self, tick: u64) -> Option<u32> {
        if self.is_in_ring(tick) {
            return Some(self.slots[place(tick)]);
        }
        // Nearly always empty.
        if self.rest.is_empty() {
            return None;
        }
        self.rest.get(&tick).copied()
    }

    /// Adds the number of a tick that has none.
    pub(super) fn insert(&mut self, tick: u64, number: u32) {
        if !self.is_in_window(tick) {
            self.move_window(tick);
        }
        if self.is_in_window(tick) {
            self.slots[place(tick)] = number;
            self.bits[place(tick) / BITS] |= 1 << (place(tick) % BITS);
        } else {
            self.rest.insert(tick, number);
        }
        if self.first.is_none_or(|(first, _)| tick < first) {
            self.first = Some((tick, number));
        }
    }

    /// Removes a tick, if it is there.
    pub(super) fn remove(&mut self, tick: u64) {
        if self.is_in_ring(tick) {
            self.bits[place(tick) / BITS] &= !(1 << (place(tick) % BITS));
        } else {
            self.rest.remove(&tick);
        }
        if self.first.is_some_and(|(first, _)| tick == first) {
            self.first = self.look_for_first();
        }
    }

    /// The first tick and its number.
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        self.first
    }

    fn look_for_first(&self) -> Option<(u64, u32)> {
        let near = self
            .first_in_ring()
            .map(|tick| (tick, self.slots[place(tick)]));
        let rest = self.rest.first_key_value();
        let rest = rest.map(|(tick, number)| (*tick, *number));
        match (near, rest) {
            (Some(near), Some(rest)) => Some(near.min(rest)),
            (near, rest) => near.or(rest),
        }
    }

    /// Moves the window towards `tick`, as far as what is in the ring lets it.
    fn move_window(&mut self, tick: u64) {
        let first = self.first_in_ring();
        // Some room is left for ticks before the first.
        let wanted = first.unwrap_or(tick).saturating_sub(TICKS as u64 / 4);
        let lowest = tick.saturating_sub(TICKS as u64 - 1);
        match first {
            Some(first) if tick < self.base || lowest > first => self.base = first.max(self.base),
            _ => self.base = wanted.max(lowest),
        }
    }

    fn is_in_window(&self, tick: u64) -> bool {
        tick.checked_sub(self.base)
            .is_some_and(|distance| distance < TICKS as u64)
    }

    fn is_in_ring(&self, tick: u64) -> bool {
        let place = place(tick);
        self.bits[place / BITS] >> (place % BITS) & 1 != 0 && self.is_in_window(tick)
    }

    fn first_in_ring(&self) -> Option<u64> {
        let start = place(self.base);
        let (first, begin) = (start / BITS, start % BITS);
        // The window begins within a word, which therefore comes last as well.
        let head = self.bits[first] & (u64::MAX << begin);
        let words = (1..=WORDS).map(|step| {
            let word = (first + step) % WORDS;
            (step, self.bits[word])
        });
        let (step, word) = std::iter::once((0, head))
            .chain(words)
            .find(|(_, word)| *word != 0)?;
        let distance = step * BITS + word.trailing_zeros() as usize - begin;
        Some(self.base + distance as u64)
    }
}

/// Where a tick stands in the ring.
fn place(tick: u64) -> usize {
    tick as usize % TICKS
}

/// How many ticks are near: of renewals as many as two leases have.
const TICKS: usize = 1024;

/// Bits of a word, and how many words there are.
const BITS: usize = 64;
const WORDS: usize = TICKS / BITS;

#[cfg(test)]
mod tests;
