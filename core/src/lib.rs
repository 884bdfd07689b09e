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
mod backoff;
mod broker;
mod clock;
mod consumer;
mod control;
mod delivery;
mod event;
mod fan_out;
mod handler;
mod isolate;
mod lease;
mod message;
mod report;
mod signal;
mod time;
mod verdict;

pub use backoff::{Backoff, Jitter};
pub use broker::{
    Broker, BrokerError, Caps, Cause, Extension, Outcome, Pull, Received, Settle, Settlement,
};
pub use clock::Clock;
pub use consumer::{Builder, Consumer, NoBroker, NoClock, NoHandler};
pub use control::{Control, Plan};
pub use delivery::{Delivery, LeaseLost, ShieldError, Shielded};
pub use event::{BrokerCall, DeliveryKey, Event, Phase};
pub use fan_out::{Branch, BranchError, BranchFailure, Branches, FanOut, Joined};
pub use handler::{Execution, Handler, Inline, Spawned};
pub use message::{LeaseToken, Message, MessageId};
pub use report::{Failure, Report, Stats, Totals};
pub use time::Instant;
pub use verdict::Verdict;
