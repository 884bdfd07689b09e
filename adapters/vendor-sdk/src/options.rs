//! Options of a handle and of a subscription, with their defaults.

use std::time::Duration;

/// How a file is opened.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use vendor_sdk::Options;
///
/// let options = Options { busy_timeout: Duration::from_secs(1), ..Options::default() };
/// assert_eq!(options.bytes_max, None);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call waits for another process's transaction before
    /// [`Error::Locked`](crate::Error::Locked). Default 5 s.
    pub busy_timeout: Duration,
    /// The most bytes that the database file may have; more is
    /// [`Error::Full`](crate::Error::Full). Default: no limit but the disk's.
    pub bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            bytes_max: None,
        }
    }
}

/// How a subscription pulls.
///
/// # Examples
///
/// ```
/// use vendor_sdk::SubscribeOptions;
///
/// let options = SubscribeOptions { threads: 4, ..SubscribeOptions::new("orders") };
/// assert_eq!(options.topic, "orders");
/// ```
#[derive(Clone, Debug)]
pub struct SubscribeOptions {
    /// The topic to read. It need not exist yet.
    pub topic: String,
    /// How long a delivered message is this subscriber's. Default 60 s.
    pub lease: Duration,
    /// The most messages leased and not yet settled, from 1. Default 1000.
    pub max_outstanding: usize,
    /// Callback threads, from 1. Default 2.
    pub threads: usize,
    /// Whether to take back, at once, the leases that other handles hold on the topic. Right only
    /// for a caller who knows that their holders are dead. Default no.
    pub takeover: bool,
    /// After how many leases that ran out unsettled a message is a dead letter with the reason
    /// `crash loop`; 0 means never. Default 100.
    pub expiries_max: u32,
}

impl SubscribeOptions {
    /// The defaults, for `topic`.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            lease: Duration::from_secs(60),
            max_outstanding: 1000,
            threads: 2,
            takeover: false,
            expiries_max: 100,
        }
    }
}
