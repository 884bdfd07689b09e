//! A message as a broker hands it over.

use std::fmt;

use ecow::EcoString;

/// Names a message for its whole life: every delivery of it has the same id.
///
/// A clone is cheap, and cheapest up to 15 bytes: a longer name is shared by its clones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(EcoString);

impl MessageId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one lease of one message; the broker refuses a settlement under any other token.
///
/// Also the fencing token of the delivery: a later delivery of the same message has another one. As
/// cheap to clone as a [`MessageId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(EcoString);

impl LeaseToken {
    /// The token as the broker wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LeaseToken {
    fn from(token: &str) -> Self {
        Self(token.into())
    }
}

impl From<String> for LeaseToken {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

/// A message under lease.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message's name, the same in every delivery.
    pub id: MessageId,
    /// The name of this lease.
    pub lease: LeaseToken,
    /// Which attempt this is, from 1. Postponed and released deliveries were not attempts.
    pub attempt: u32,
    /// What was published, to the byte.
    pub payload: Vec<u8>,
}
