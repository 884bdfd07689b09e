//! A broker in memory: what is left of a consumer's cost is the consumer's.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use mayhem_core::{
    Broker, BrokerError, Caps, Clock, Extension, Message, Outcome, Pull, Received, Settlement,
};
use mayhem_smol::SmolClock;

/// Hands out the messages it was made with, then says that the source has ended.
#[derive(Debug)]
pub(crate) struct MemoryBroker {
    ready: Mutex<VecDeque<Received>>,
    extended: AtomicU64,
    stays_open: bool,
}

impl MemoryBroker {
    /// `n` messages of 64 bytes, each leased for `lease` from now.
    pub(crate) fn with_messages(n: u64, lease: Duration) -> Self {
        let deadline = SmolClock.now() + lease;
        let message = |number: u64| Received {
            message: Message {
                id: number.to_string().into(),
                lease: number.to_string().into(),
                attempt: 1,
                payload: vec![0; 64],
            },
            deadline,
        };
        Self {
            ready: Mutex::new((0..n).map(message).collect()),
            extended: AtomicU64::new(0),
            stays_open: false,
        }
    }

    /// The same, but the source does not end when it is empty: it waits until it is closed.
    pub(crate) fn staying_open(self) -> Self {
        Self {
            stays_open: true,
            ..self
        }
    }

    /// How many leases have been extended.
    pub(crate) fn extended(&self) -> u64 {
        // Relaxed: a counter that publishes nothing.
        self.extended.load(Ordering::Relaxed)
    }
}

impl Broker for MemoryBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        let mut ready = self
            .ready
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let batch = match pull {
            Pull::Next { count_max } => {
                let count = count_max.min(ready.len());
                ready.drain(..count).collect::<Vec<_>>()
            }
            Pull::Close => Vec::new(),
        };
        if batch.is_empty() && self.stays_open && pull != Pull::Close {
            return future::pending().boxed();
        }
        future::ready(Ok(batch)).boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        self.extended
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn caps(&self) -> Caps {
        Caps {
            settle_count_max: 1000,
            extend_count_max: 2500,
            nack_delay: true,
            confirmed_ack: true,
        }
    }
}
