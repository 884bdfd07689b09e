//! A lease-managed, at-least-once message consumer that runs on any async executor.
//!
//! ```text
//! Broker::receive ─→ intake ─→ lease table ─→ permit ─→ handler (fan-out: branch ∥ branch)
//!                                  │                        │ Verdict, or dropped = nack
//!                                  └── poll(now): extend ── settle batches ─→ Broker::settle
//! ```
//!
//! The crate owns no clock, no thread, no timer and no runtime: everything it needs from the world
//! comes through the three ports [`Broker`], [`Clock`] and, optionally, [`futures::task::Spawn`].
//! Modules, in reading order:
mod broker;
mod clock;
mod message;
mod time;

pub use broker::{
    Broker, BrokerError, Caps, Cause, Extension, Outcome, Pull, Received, Settle, Settlement,
};
pub use clock::Clock;
pub use message::{LeaseToken, Message, MessageId};
pub use time::Instant;
