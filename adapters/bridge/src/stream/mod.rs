//! Callbacks of a foreign SDK as a stream: many pushing threads, one async consumer.
//!
//! ```text
//! Sink::push ─→ queue (one lock, bounded) ─ swapped whole ─→ hand of the stream ─→ poll_next
//!      ↑ full: the policy decides                                  │
//!      └──────────── room, once values leave the hand ─────────────┘
//! ```
//!
//! The capacity is exact: queue and hand together never hold more, however many sinks there are.
//! Order: values of one thread stay in order; those of several threads are ordered by the lock.
//!
//! Room is held by values in line, values in the hand, and permits.
//!
//! Deliberately absent: a default policy (each one loses something: time, old or new values), and
//! a timer (deadlines of foreign threads are those of their own condition variable).

mod builder;
mod choice;
mod closing;
mod flow;
mod full;
mod once;
mod outcome;
mod permit;
mod queue;
mod receiver;
mod room;
mod sink;
mod state;

pub use builder::{CallbackStreamBuilder, callback_stream};
pub use choice::{Chosen, Unchosen};
pub use once::{Abandoned, CallbackOnce, Reply, callback_once};
pub use outcome::{Cause, CloseReason, Overflow, Push, Refusal, StreamStats};
pub use permit::Permit;
pub use receiver::CallbackStream;
pub use sink::Sink;

#[cfg(test)]
mod tests;
