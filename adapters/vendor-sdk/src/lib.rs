//! A blocking, callback-based message queue SDK with its own threads, durable on SQLite.
//!
//! It stands for every SDK of its kind and knows nothing of async. Messages go to a topic; a
//! subscription leases them, a callback gets each on one of the SDK's threads, and somebody, at any
//! time and on any thread, settles it by its token. What is not settled is delivered again.
//!
//! ```text
//! publish ─┐                            ┌─ puller ─ queue ─→ callback threads ─→ your callback
//! settle  ─┼→ store thread: one writer, │      ↑ wake on commit, look at the file every 20 ms
//! extend  ─┘  group commit, fsync ──────┴──────┘
//! ```
//!
//! One SQLite file holds it all, in WAL mode with `synchronous=FULL`, and several processes may use
//! it at a time. What it promises:
//!
//! - `publish`, `settle` and `extend` return after the disk has it.
//! - A lease, with its token and its count, is durable before the callback runs.
//! - After any error of the disk the handle latches: it acknowledges nothing any more.
//! - Leases are timed by boot time and end with the boot; delays by wall time. When the wall clock
//!   goes back behind the moment a delay was set, the delay begins anew from then.
//!
//! Absent on purpose: ordering keys, several subscriptions per topic, and retry limits other than
//! for crash loops, which are a consumer's business.
//!
//! Modules, in reading order:

mod error;
mod message;
mod options;
mod time;

mod file;
mod schema;

mod connection;
mod reading;

mod queue;

mod gate;
mod store;

mod shared;

mod pulling;
mod subscription;

mod client;

#[cfg(test)]
mod testing;

pub use client::Client;
pub use error::Error;
pub use message::{
    Browsed, DeadLetter, InvalidToken, Leased, Outcome, Outgoing, PAYLOAD_BYTES_MAX, Settle, State,
    Stats, Token,
};
pub use options::{Options, SubscribeOptions};
pub use subscription::Subscription;
