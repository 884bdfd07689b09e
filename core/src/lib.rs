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
//!
//! # Promises
//!
//! - A lease runs from receipt, is extended while its message waits or is handled, and ends with
//!   the handler, whatever way the handler is left.
//! - An ack is sent only after the handler has returned [`Verdict::Ack`]. A panic, a cancel and an
//!   early return lead to a nack; a lost lease leads to nothing at all, because somebody else may
//!   have the message.
//! - Every delivery has exactly one end in the [`Report`], and the ends add up.
//! - One message's failure touches only that message; a failure of the broker, of the observer or
//!   of the executor stops the consumer in order.
//!
//! Two guides lie beside this crate, in `docs`: `write-a-handler.md`, and
//! `write-a-broker-adapter.md`; `comparison.md` compares.
//!
//! # Examples
//!
//! A consumer without any runtime, on the executor of the `futures` crate:
//!
//! ```
//! use std::sync::Mutex;
//! use std::time::Duration;
//!
//! use futures::future::{BoxFuture, FutureExt, pending, ready};
//! use mayhem_core::{
//!     Broker, BrokerError, Caps, Clock, Consumer, Delivery, Extension, Instant, LeaseToken,
//!     Message, MessageId, Outcome, Pull, Received, Settlement, Verdict,
//! };
//!
//! type Answer<'a, T> = BoxFuture<'a, Result<Vec<T>, BrokerError>>;
//!
//! /// Delivers its messages once and then ends.
//! struct Queue(Mutex<Vec<&'static str>>);
//!
//! impl Broker for Queue {
//!     fn receive(&self, _pull: Pull) -> Answer<'_, Received> {
//!         let ids = std::mem::take(&mut *self.0.lock().unwrap());
//!         let received = ids.into_iter().map(|id| Received {
//!             message: Message {
//!                 id: MessageId::from(id),
//!                 lease: LeaseToken::from(format!("lease of {id}")),
//!                 attempt: 1,
//!                 payload: id.to_uppercase().into_bytes(),
//!             },
//!             deadline: Instant::ZERO + Duration::from_secs(60),
//!         });
//!         ready(Ok(received.collect())).boxed()
//!     }
//!
//!     fn settle(&self, batch: Vec<Settlement>) -> Answer<'_, Outcome> {
//!         ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
//!     }
//!
//!     fn extend(&self, batch: Vec<Extension>) -> Answer<'_, Outcome> {
//!         ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
//!     }
//!
//!     fn caps(&self) -> Caps {
//!         Caps {
//!             settle_count_max: 100,
//!             extend_count_max: 100,
//!             nack_delay: true,
//!             confirmed_ack: true,
//!         }
//!     }
//! }
//!
//! /// A clock that stands still: nothing here lasts.
//! struct Still;
//!
//! impl Clock for Still {
//!     fn now(&self) -> Instant {
//!         Instant::ZERO
//!     }
//!
//!     fn sleep_until(&self, _deadline: Instant) -> BoxFuture<'static, ()> {
//!         pending().boxed()
//!     }
//! }
//!
//! let consumer = Consumer::builder()
//!     .broker(Queue(Mutex::new(vec!["web-1", "web-2", ""])))
//!     .clock(Still)
//!     .handler(async |delivery: &Delivery| match delivery.payload() {
//!         b"" => Verdict::Dead("nothing to do".to_owned()),
//!         _ => Verdict::Ack,
//!     })
//!     .build();
//!
//! let report = futures::executor::LocalPool::new().run_until(consumer.run());
//!
//! assert_eq!(report.totals.acked, 2);
//! assert_eq!(report.totals.dead_lettered, 1);
//! assert!(report.is_balanced());
//! ```
//!
//! # Modules
//!
//! In reading order: `time`, `message`, `broker`, `clock` (what a consumer needs), `verdict`,
//! `backoff`, `timeout`, `rate`, `event`, `hook`, `report`, `metrics`, `changes`, `control` (what
//! it says and hears), `flow`, `order`, `lease` (how much may be in hand, who goes before whom,
//! who holds what until when), `signal`, `isolate`, `delivery`, `fan_out`, `handler` (the scope of
//! one message), `batched` (several of them in one call), `slots` (where handlers run), `consumer`
//! (the engine).

mod backoff;
mod batched;
mod bits;
mod broker;
mod changes;
mod clock;
mod consumer;
mod control;
mod delivery;
mod event;
mod fan_out;
mod flow;
mod handler;
mod hook;
mod isolate;
mod lease;
mod message;
mod metrics;
mod order;
mod rate;
mod report;
mod signal;
mod slots;
#[cfg(test)]
mod testing;
mod time;
mod timeout;
mod verdict;

pub use backoff::{Backoff, Jitter};
pub use batched::Batched;
pub use broker::{
    Broker, BrokerError, Caps, Cause, Extension, Outcome, Pull, Received, Settle, Settlement,
};
pub use clock::Clock;
pub use consumer::{Builder, Consumer, NoBroker, NoClock, NoHandler};
pub use control::{Control, Plan};
pub use delivery::{Delivery, LeaseLost, Overdue, ShieldError, Shielded};
pub use event::{BrokerCall, DeliveryKey, Event, Phase};
pub use fan_out::{Branch, BranchError, BranchFailure, Branches, FanOut, Joined, Raced};
pub use handler::{Execution, Handler, Inline, Spawned};
pub use hook::{HookEnd, HookOutcome};
pub use message::{LeaseToken, Message, MessageId};
pub use metrics::{Health, Histogram, Metrics};
pub use order::{NackedHead, OrderKey};
pub use rate::Rate;
pub use report::{Failure, Report, Stats, Totals};
pub use time::Instant;
pub use timeout::Timeout;
pub use verdict::Verdict;
