//! What the tests of leases share: messages, and how a table takes them.

use std::time::Duration;

use super::{Handle, LeaseTable, Leased};
use crate::{Instant, LeaseToken, MessageId};

/// How long a lease lasts.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// A message with its first token.
pub(super) struct Message(MessageId, LeaseToken);

impl Leased for Message {
    fn id(&self) -> &MessageId {
        &self.0
    }

    fn token(&self) -> &LeaseToken {
        &self.1
    }
}

/// So many seconds after the beginning.
pub(super) fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// Has the table take a message that is not in hand.
pub(super) fn insert(
    table: &mut LeaseTable<Message>,
    now: Instant,
    id: &str,
    deadline: Instant,
) -> Handle {
    let message = Message(MessageId::from(id), LeaseToken::from("first"));
    assert_eq!(table.find(&message.0), None, "{id} is in hand already");
    let hash = table.hash(&message.0);
    table.insert(now, hash, deadline, |_, _| Some(message))
}
