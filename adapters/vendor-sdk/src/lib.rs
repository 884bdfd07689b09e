//! A blocking, callback-based message queue SDK with its own threads, durable on SQLite.
//!
//! It stands for every SDK of its kind and knows nothing of async.
mod client;
mod error;
mod message;
mod options;
mod subscription;

pub use client::Client;
pub use error::Error;
pub use message::{
    Browsed, DeadLetter, InvalidToken, Leased, Outcome, Outgoing, PAYLOAD_BYTES_MAX, Settle, State,
    Stats, Token,
};
pub use options::{Options, SubscribeOptions};
pub use subscription::Subscription;
