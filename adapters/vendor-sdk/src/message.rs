//! Messages, leases and settlements as callers see them.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

/// The most bytes a payload may have: 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id; `None` draws a version 7 one. Publishing an id that the file still holds changes
    /// nothing, so a publish with an unknown outcome may be repeated.
    pub id: Option<Uuid>,
    /// At most [`PAYLOAD_BYTES_MAX`] bytes, of any kind.
    pub payload: Vec<u8>,
}

impl From<Vec<u8>> for Outgoing {
    fn from(payload: Vec<u8>) -> Self {
        Self { id: None, payload }
    }
}

/// Names one lease of one message.
///
/// Also a fencing token: a later lease of the same message is greater. As text, `SEQ-DELIVERY`.
///
/// # Examples
///
/// ```
/// use vendor_sdk::Token;
///
/// let token: Token = "12-3".parse()?;
/// assert_eq!(token.to_string(), "12-3");
/// assert!(token < "12-4".parse()?);
/// # Ok::<(), vendor_sdk::InvalidToken>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The message's place in the file; never used again for another message.
    pub(crate) seq: i64,
    /// Which delivery of the message this is, from 1.
    pub(crate) delivery: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.delivery)
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let (seq, delivery) = text.split_once('-').ok_or(InvalidToken)?;
        Ok(Self {
            seq: seq.parse().map_err(|_| InvalidToken)?,
            delivery: delivery.parse().map_err(|_| InvalidToken)?,
        })
    }
}

/// A text that is no lease token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a lease token")
    }
}

impl Error for InvalidToken {}

/// A message under lease, as a callback gets it. The lease is durable before the callback runs.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The message's id, the same in every delivery.
    pub id: Uuid,
    /// The name of this lease.
    pub token: Token,
    /// What was published.
    pub payload: Vec<u8>,
    /// Which attempt this is, from 1: one more than the nacks that were counted.
    pub attempt: u32,
    /// How often the message was delivered, this time included.
    pub deliveries: u32,
    /// When the lease ends, as time since boot (`CLOCK_BOOTTIME`).
    pub deadline_boot: Duration,
    /// When the message was published, on the wall clock.
    pub published_at: SystemTime,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Done: the message is removed.
    Ack,
    /// Deliver it again.
    Nack {
        /// Not before this long from now.
        after: Duration,
        /// Whether this delivery was an attempt.
        counted: bool,
    },
    /// Keep it as a dead letter.
    Dead {
        /// Why, for a person.
        reason: String,
    },
}

/// What became of one item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, durably.
    Done,
    /// The lease is over or the message is gone: nothing was changed.
    Gone,
}

/// How many messages a topic holds, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Could be delivered now; a lease that has run out counts here.
    pub ready: u64,
    /// Under a lease that runs.
    pub leased: u64,
    /// Nacked with a delay that has not passed.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
}

/// A message that is in the file and not a dead letter.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// The message's id.
    pub id: Uuid,
    /// What was published.
    pub payload: Vec<u8>,
    /// Counted nacks so far.
    pub attempts: u32,
    /// Deliveries so far.
    pub deliveries: u32,
    /// Leases that ran out unsettled so far.
    pub expiries: u32,
    /// Where it stands.
    pub state: State,
    /// When it was published, on the wall clock.
    pub published_at: SystemTime,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be delivered now.
    Ready,
    /// It is delivered and not settled.
    Leased {
        /// When the lease ends, as time since boot.
        deadline_boot: Duration,
    },
    /// It was nacked with a delay.
    Delayed {
        /// When it can be delivered again, on the wall clock.
        due_at: SystemTime,
    },
}

/// A message that will not be delivered again.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message's id.
    pub id: Uuid,
    /// What was published.
    pub payload: Vec<u8>,
    /// Attempts made.
    pub attempts: u32,
    /// Deliveries made.
    pub deliveries: u32,
    /// Leases that ran out unsettled.
    pub expiries: u32,
    /// Why it is dead.
    pub reason: String,
    /// When it was published, on the wall clock.
    pub published_at: SystemTime,
}
