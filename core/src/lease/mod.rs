//! Leases: who holds which message until when.

/// Names one lease in the table; a stale one names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle {
    index: u32,
    generation: u32,
}
