//! A broker in memory: what is left of a consumer's cost is the consumer's.
//!
//! A message is made when it is received, as every peer does: one that waited in memory since the
//! start would be measured with the cache misses of all that came before it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use mayhem_core::{
    Broker, BrokerError, Caps, Clock, Extension, LeaseToken, Message, MessageId, Outcome, Pull,
    Received, Settlement,
};
use mayhem_smol::SmolClock;

/// Hands out as many messages as it was made for, then says that the source has ended.
#[derive(Debug)]
pub(crate) struct MemoryBroker {
    /// How many are still to be received.
    left: Mutex<usize>,
    /// Used in turn; more of them than messages are outstanding at a time.
    names: Vec<(MessageId, LeaseToken)>,
    lease: Duration,
    extended: AtomicU64,
    /// What the broker allocated for batches and messages.
    allocated: AtomicU64,
    stays_open: bool,
    payload: &'static [u8],
}

impl MemoryBroker {
    /// `n` messages of 64 bytes, each leased for `lease` from its receipt, of which at most
    /// `outstanding` are unsettled at a time.
    pub(crate) fn with_messages(n: u64, outstanding: usize, lease: Duration) -> Self {
        let left = usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            left: Mutex::new(left),
            names: names(left.min(2 * outstanding)),
            lease,
            extended: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            stays_open: false,
            payload: &[0; 64],
        }
    }

    /// The same, but the source does not end when it is empty: it waits until it is closed.
    pub(crate) fn staying_open(self) -> Self {
        Self {
            stays_open: true,
            ..self
        }
    }

    /// The same, with messages that have no payload.
    pub(crate) fn without_payload(self) -> Self {
        Self {
            payload: &[],
            ..self
        }
    }

    /// How often the broker has allocated: for a message, a batch of them, a batch of outcomes and
    /// the future of a call.
    pub(crate) fn allocated(&self) -> u64 {
        // Relaxed: a counter that publishes nothing.
        self.allocated.load(Ordering::Relaxed)
    }

    /// How many leases have been extended.
    pub(crate) fn extended(&self) -> u64 {
        // Relaxed: a counter that publishes nothing.
        self.extended.load(Ordering::Relaxed)
    }
}

impl Broker for MemoryBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        let mut left = self
            .left
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let first = *left;
        let count = match pull {
            Pull::Next { count_max } => count_max.min(first),
            Pull::Hold | Pull::Close => 0,
        };
        *left -= count;
        drop(left);
        let payloads = if self.payload.is_empty() { 0 } else { count };
        let batches = usize::from(count > 0);
        self.allocated
            .fetch_add((payloads + batches + 1) as u64, Ordering::Relaxed);
        let deadline = SmolClock.now() + self.lease;
        let batch: Vec<Received> = (first - count..first)
            .map(|number| {
                let (id, lease) = self.names[number % self.names.len()].clone();
                let message = Message {
                    id,
                    lease,
                    attempt: 1,
                    payload: self.payload.to_vec(),
                };
                Received { message, deadline }
            })
            .collect();
        let waits = pull == Pull::Hold || (self.stays_open && pull != Pull::Close);
        if batch.is_empty() && waits {
            return future::pending().boxed();
        }
        future::ready(Ok(batch)).boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        self.allocated.fetch_add(2, Ordering::Relaxed);
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        self.extended
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        future::ready(Ok(vec![Outcome::Done; batch.len()])).boxed()
    }

    fn caps(&self) -> Caps {
        CAPS
    }
}

/// Names of messages and of their leases.
pub(super) fn names(count: usize) -> Vec<(MessageId, LeaseToken)> {
    let name = |number: usize| (number.to_string().into(), number.to_string().into());
    (0..count).map(name).collect()
}

pub(super) const CAPS: Caps = Caps {
    settle_count_max: 1000,
    extend_count_max: 2500,
    nack_delay: true,
    confirmed_ack: true,
};
