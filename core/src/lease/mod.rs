//! Leases: who holds which message until when.
//!
//! [`LeaseTable`] is a state machine without clock, future or lock: it is told what happened and
//! the time, and answers which leases are to be extended and which are lost. What is deliberately
//! absent: what is done with the messages, which is the consumer's.

mod ages;
mod cohorts;
mod deadlines;
mod extensions;
mod gathering;
mod index;
mod sketch;
mod slab;
mod slot;
mod spread;
mod table;
#[cfg(test)]
mod testing;
mod timers;
mod wheel;

pub(crate) use extensions::{ExtendBatch, Member};
pub(crate) use index::IdHash;
pub(crate) use slab::Handle;
pub(crate) use slot::{Lease, Leased};
pub(crate) use table::{LeaseSettings, LeaseTable};
#[cfg(test)]
pub(crate) use timers::Commands;
