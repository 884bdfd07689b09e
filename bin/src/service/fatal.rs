//! The failure that ends the service: the store cannot be used any more.
//!
//! One message's failure touches only that message. A store that cannot write touches them all: no
//! intent would be durable and no ack would be true. The first such failure is kept, and it stops
//! the consumer in order; nothing is lost, since what could not be settled is delivered again.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::exit::Failure;

/// Where the first fatal failure is reported and waited for.
#[derive(Clone, Debug)]
pub(super) struct Fatal {
    first: Arc<Mutex<Option<Failure>>>,
    sender: Sender<()>,
    raised: Receiver<()>,
}

impl Fatal {
    pub(super) fn new() -> Self {
        let (sender, raised) = async_channel::bounded(1);
        Self {
            first: Arc::default(),
            sender,
            raised,
        }
    }

    /// Reports a failure; only the first is kept, the others follow from it.
    pub(super) fn raise(&self, failure: Failure) {
        let mut first = self.first.lock();
        if first.is_none() {
            *first = Some(failure);
            drop(first);
            // Ignored: it is full only when it has been raised already.
            let _ = self.sender.try_send(());
        }
    }

    /// Waits for the first failure.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: one waiter sees it once.
    pub(super) async fn raised(&self) {
        // Ignored: a sender lives in every clone, so the channel cannot be closed here.
        let _ = self.raised.recv().await;
    }

    /// The failure, when there is one.
    pub(super) fn take(&self) -> Option<Failure> {
        self.first.lock().take()
    }
}
