//! How much may be in hand, by count and by bytes, and what is too much.
//!
//! Either limit, once it is reached, has the intake rest until a fifth of it is free again: or
//! every message that ends would lead to a call for one message. What is deliberately absent: the
//! numbers themselves, which the consumer has.

/// The limits to what is in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    count_max: usize,
    bytes_max: usize,
    is_full: bool,
    is_shedding: bool,
    /// What a message weighs, more or less: the latest eight or so.
    mean_bytes: usize,
}

/// What is in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl Flow {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self {
            count_max,
            bytes_max,
            is_full: false,
            is_shedding: false,
            mean_bytes: MEAN_BYTES_AT_FIRST,
        }
    }

    /// For how many messages there is room; 0 while the intake is to rest.
    pub(crate) fn room(&mut self, load: Load) -> usize {
        let (count_max, bytes_max) = if self.is_full {
            (resumes_at(self.count_max), resumes_at(self.bytes_max))
        } else {
            (self.count_max - 1, self.bytes_max - 1)
        };
        self.is_full = load.count > count_max || load.bytes > bytes_max;
        if self.is_full {
            return 0;
        }
        let by_bytes = (self.bytes_max - load.bytes) / self.mean_bytes.max(1);
        by_bytes.clamp(1, self.count_max - load.count)
    }

    /// Whether the intake was resting when it was asked for room the last time.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Messages come that were asked for together.
    pub(crate) fn begin_batch(&mut self) {
        self.is_shedding = false;
    }

    /// Weighs a message that has come; returns whether it is too much.
    ///
    /// So is every later one of its batch, whatever it weighs: they come in an order.
    pub(crate) fn is_too_much(&mut self, load: Load, bytes: usize) -> bool {
        self.mean_bytes = self.mean_bytes - self.mean_bytes / 8 + bytes / 8;
        let is_count_met = load.count >= self.count_max.saturating_mul(OVERSHOOT);
        // One message may be more than all the room there is: it passes while there is any.
        let is_over = load.bytes.saturating_add(bytes) > self.bytes_max.saturating_mul(OVERSHOOT);
        self.is_shedding |= is_count_met || (is_over && load.bytes >= self.bytes_max);
        self.is_shedding
    }
}

/// How little must be in hand for an intake that rests to go on.
fn resumes_at(limit: usize) -> usize {
    limit - (limit / 5).max(1)
}

/// How many times the limit is borne from a broker that delivers more than it was asked for.
const OVERSHOOT: usize = 2;

/// More than most messages have, so that the first call does not ask for far too much.
const MEAN_BYTES_AT_FIRST: usize = 64 << 10;

#[cfg(test)]
mod tests;
